"""Every op against a peer that nobody here wrote, with all gradients, in float32.

The peers do not come with the project's own test extra, and what is not installed is
skipped. `python tests/test_parity.py` prints the errors of all of them as a table.
"""

import dataclasses
import importlib
import importlib.metadata
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.ops import attention, diagonal, gated_delta, lstm, rglru, short_conv, window
from jaxmem.testing.tolerance import worst

ROWS, LENGTH = 2, 37  # no multiple of any chunk
BORDERS = (13, 21)  # the first document continues the initial state
RESET = jnp.zeros((ROWS, LENGTH), bool).at[:, jnp.array(BORDERS)].set(True)
KINDS = ("y", "final state", "d weights", "d inputs", "d initial state")


@dataclasses.dataclass(frozen=True)
class Case:
  """One op and one peer, both as `f(params, inputs, state) -> (y, state)`.

  Attributes:
    op: the op's name.
    peer: what the table calls the peer.
    module: what must be importable.
    shapes: (params, inputs, state), tuples of shapes.
    forms: ours, by form.
    theirs: `() -> f`, called once the peer is known to be there.
    prepare: makes legal values of normal draws.
  """

  op: str
  peer: str
  module: str
  shapes: tuple[tuple, tuple, tuple]
  forms: dict[str, Callable]
  theirs: Callable[[], Callable]
  prepare: Callable = lambda *trees: trees


def _random(shapes, seed):
  rng = np.random.default_rng(seed)
  draw = lambda shape: np.asarray(rng.normal(size=shape), np.float32)
  is_shape = lambda s: bool(s) and all(type(n) is int for n in s)
  return jax.tree.map(draw, shapes, is_leaf=is_shape)


def _by_jax(f, args, cotangents):
  out, pull = jax.vjp(f, *args)
  return out, pull(jax.tree.unflatten(jax.tree.structure(out), cotangents))


def _by_torch(f, args, cotangents):
  torch = importlib.import_module("torch")
  leaves, tree = jax.tree.flatten(args)
  leaves = [torch.tensor(np.asarray(a), requires_grad=True) for a in leaves]
  out = f(*jax.tree.unflatten(tree, leaves))
  weights = [torch.tensor(c) for c in cotangents]
  grads = torch.autograd.grad(
    jax.tree.leaves(out), leaves, weights, allow_unused=True, materialize_grads=True
  )
  numbers = lambda a: a.detach().numpy()
  return jax.tree.map(numbers, (out, jax.tree.unflatten(tree, grads)))


def measure(case: Case, form: str) -> dict[str, tuple[float, float]]:
  """kind -> (worst error relative to the largest element, multiple of what is allowed).

  One random cotangent for y and the final state; every leaf is compared by itself.
  """
  args = case.prepare(*_random(case.shapes, seed=len(case.op)))
  ours = jax.jit(case.forms[form])
  shape = jax.eval_shape(ours, *args)
  cotangents = jax.tree.leaves(_random(jax.tree.map(lambda a: a.shape, shape), seed=1))
  theirs = case.theirs()
  by = _by_jax if case.module.startswith("recurrentgemma") else _by_torch
  (y, state), got = jax.jit(lambda *a: _by_jax(ours, a, cotangents))(*args)
  (y0, state0), want = by(theirs, args, cotangents)
  pairs = zip(KINDS, (y, tuple(state), *got), (y0, tuple(state0), *want), strict=True)
  return {kind: _worst(g, w) for kind, g, w in pairs if jax.tree.leaves(w)}


def _worst(got, want):
  relative = allowed = 0.0
  for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    g, w = np.asarray(g), np.asarray(w)
    # where the peer's is exactly 0 (a memory that nobody has written) so must ours be
    relative = max(relative, float(np.abs(g - w).max() / (np.abs(w).max() or 1)))
    allowed = max(allowed, worst(g, w, "float32")[0])
  return relative, allowed


def _ours(op, form, reset=RESET, **options):
  """A form of an op on plain tuples of arrays."""

  def run(params, inputs, state):
    y, new = op.FORMS[form](params, inputs, op.State(*state), reset, **options)
    return y, tuple(new)

  return run


def _by_document(peer):
  """A peer that knows no documents, called once for each of them."""
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    outputs, edges = [], (0, *BORDERS, LENGTH)
    for begin, end in zip(edges, edges[1:], strict=False):
      if begin:
        state = tuple(torch.zeros_like(s) for s in state)
      y, state = peer(params, tuple(a[:, begin:end] for a in inputs), state)
      outputs.append(y)
    return torch.cat(outputs, dim=1), state

  return run


def _torch_lstm():
  torch = importlib.import_module("torch")
  module = torch.nn.LSTM(5, 6, batch_first=True)

  def run(params, inputs, state):
    w, r, b = params
    named = {"weight_ih_l0": w.T, "weight_hh_l0": r.T, "bias_ih_l0": b}
    named["bias_hh_l0"] = torch.zeros_like(b)
    c, h = (s[None] for s in state)
    y, (h, c) = torch.func.functional_call(module, named, (inputs[0], (h, c)))
    return y, (c[0], h[0])

  return _by_document(run)


def _torch_conv():
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    seen = torch.cat([state[0], inputs[0]], dim=1)
    taps = params[0].T.flip(1)[:, None]  # torch's last tap is the present
    y = torch.nn.functional.conv1d(seen.mT, taps, groups=taps.shape[0])
    return y.mT, (seen[:, -state[0].shape[1] :],)

  return _by_document(run)


def _delta_peer(module, name):
  def load():
    # what transformers wraps calls fla's GPU kernel where fla is installed
    rule = inspect.unwrap(getattr(importlib.import_module(module), name))

    def run(params, inputs, state):
      names = ("q", "k", "v") if module.startswith("fla") else ("query", "key", "value")
      named = dict(zip((*names, "g", "beta"), inputs, strict=True))
      y, s = rule(**named, initial_state=state[0], output_final_state=True)
      return y, (s,)

    return _by_document(run)

  return load


def _delta_legal(params, inputs, state):
  q, k, v, g, beta = inputs
  k = k / np.linalg.norm(k, axis=-1, keepdims=True)
  sigmoid = lambda a: np.float32(1) / (1 + np.exp(-a))
  return params, (q, k, v, np.log(sigmoid(g)), 2 * sigmoid(beta)), state


def _delta_ours(form, **options):
  run = _ours(gated_delta, form, **options)

  def scaled(params, inputs, state):  # the peers scale q themselves
    q, *rest = inputs
    return run(params, (q * q.shape[-1] ** -0.5, *rest), state)

  return scaled


def _hawk_ours(form):
  """RG-LRU with the gates of Hawk's layer: lambda is minus the released parameter."""
  run = _ours(rglru, form)

  def layer(params, inputs, state):
    decay, (wi, bi, wr, br), (x,) = params[0], params[1:], inputs
    cut = x.reshape(*x.shape[:2], *bi.shape)
    gate = lambda w, b: jax.nn.sigmoid(
      (jnp.einsum("bthi,hij->bthj", cut, w) + b).reshape(x.shape)
    )
    r, i = gate(wr, br), gate(wi, bi)
    # the released code scales a document's first token by 1, not by sqrt(1 - a^2)
    a = jnp.exp(-8 * r * jax.nn.softplus(decay))
    x = jnp.where(RESET[..., None], x / jnp.sqrt(1 - a * a), x)
    return run((-decay,), (x, r, i), state)

  return layer


def _places():
  place = np.arange(LENGTH)[None] + 50 * np.ones((ROWS, 1), int)
  for border in BORDERS:
    place[:, border:] = np.arange(LENGTH - border)
  return place


def _transformers_rglru():
  torch = importlib.import_module("torch")
  package = importlib.import_module("transformers.models.recurrent_gemma")
  config = package.RecurrentGemmaConfig(lru_width=8, num_attention_heads=2)
  module = package.modeling_recurrent_gemma.RecurrentGemmaRglru(config)

  def run(params, inputs, state):
    gates = [f"{gate}_gate_{kind}" for gate in ("input", "recurrent")
             for kind in ("weight", "bias")]  # fmt: skip
    named = dict(zip(("recurrent_param", *gates), params, strict=True))
    module.recurrent_states = state[0]
    y = torch.func.functional_call(module, named, (inputs[0], torch.tensor(_places())))
    return y, (module.recurrent_states,)

  return run


def _recurrentgemma():
  layers = importlib.import_module("recurrentgemma.jax.layers")
  module = layers.RGLRU(width=8, num_heads=2)

  def run(params, inputs, state):
    decay, wi, bi, wr, br = params
    gates = {"input_gate": {"w": wi, "b": bi}, "a_gate": {"w": wr, "b": br}}
    tree = {"params": {"a_param": decay, **gates}}
    y, h = module.apply(tree, jnp.asarray(inputs[0]), jnp.asarray(_places()), state[0])
    return y, (h,)

  return run


def _accelerated_scan():
  torch = importlib.import_module("torch")
  scan = importlib.import_module("accelerated_scan.ref").scan

  def run(params, inputs, state):
    a, b = inputs
    b = torch.cat([b[:, :1] + a[:, :1] * state[0][:, None], b[:, 1:]], dim=1)
    y = scan(a.mT.contiguous(), b.mT.contiguous()).mT
    return y, (y[:, -1],)

  return run


def _diagonal_ours(form):
  def run(params, inputs, state):
    y, last = diagonal.SCANS[form](*inputs, *state)
    return y, (last,)

  return run


HEADS, KEY_HEADS, DIM, WINDOW, SINKS = 4, 2, 8, 7, 2
STARTS = np.array([40, 3])  # tokens that each row's first document has had: ring full?


def _table(carried):
  """Document and place of every key in [ring in order | call], by hand."""
  start = STARTS[:, None] if carried else np.zeros((ROWS, 1), int)
  call = start + np.arange(LENGTH)
  document = np.zeros((ROWS, LENGTH), int)
  for border in BORDERS:
    call[:, border:] = np.arange(LENGTH - border)
    document[:, border:] += 1
  place = np.concatenate([start + np.arange(-WINDOW, 0), call], axis=1)
  return place, np.concatenate([np.zeros((ROWS, WINDOW), int), document], axis=1)


def _sdpa_window(carried, sinks, rotary):
  """torch's attention over [ring in order | call] under a mask written out."""

  def load():
    torch = importlib.import_module("torch")
    place, document = _table(carried)
    mine, ago = place[:, WINDOW:, None], place[:, WINDOW:, None] - place[:, None]
    near = (ago < WINDOW) | (place[:, None] < sinks)
    same = document[:, WINDOW:, None] == document[:, None]
    seen = torch.tensor((ago >= 0) & near & same & (place[:, None] >= 0))[:, None]
    ring = lambda at: at % WINDOW + sinks
    last = mine[:, -1] - np.arange(WINDOW)[::-1]  # places of the last W tokens

    def run(params, inputs, state):
      q, *call = inputs
      order = torch.tensor(ring(place[:, :WINDOW]))
      rows = torch.arange(ROWS)[:, None]
      k, v = (
        torch.cat([held[rows, order], new], dim=1)
        for held, new in zip(state, call, strict=True)
      )
      after = [torch.zeros_like(s) for s in state]
      for row in range(ROWS):
        for new, line in zip(after, (k, v), strict=True):
          new[row, ring(last[row])] = line[row, -WINDOW:]
          if sinks:
            new[row, :sinks] = line[row, WINDOW + BORDERS[-1] :][:sinks]
      if rotary:
        q, k = _llama_rotary(q, k, torch.tensor(np.maximum(place, 0)))
      heads = lambda a: a.transpose(1, 2)
      attend = torch.nn.functional.scaled_dot_product_attention
      y = attend(heads(q), heads(k), heads(v), attn_mask=seen, enable_gqa=True)
      return heads(y), tuple(after)

    return run

  return load


def _llama_rotary(q, k, place):
  llama = importlib.import_module("transformers.models.llama.modeling_llama")
  config = llama.LlamaConfig(hidden_size=DIM * HEADS, num_attention_heads=HEADS)
  cos, sin = llama.LlamaRotaryEmbedding(config)(q, place)
  turn = lambda a, n: llama.apply_rotary_pos_emb(
    a, a, cos[:, -n:], sin[:, -n:], unsqueeze_dim=2
  )[0]
  return turn(q, LENGTH), turn(k, place.shape[1])


def _window_ours(form, carried, **options):
  starts = jnp.asarray(STARTS if carried else 0 * STARTS, jnp.int32)

  def run(params, inputs, state):
    state = window.State(*state, starts)
    y, new = window.FORMS[form](params, inputs, state, RESET, **options)
    return y, (new.k, new.v)

  return run


def _sdpa_causal():
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    q, k, v = (a.transpose(1, 2) for a in inputs)
    attend = torch.nn.functional.scaled_dot_product_attention
    y = attend(q, k, v, is_causal=True, enable_gqa=True)
    scores = q @ k.repeat_interleave(HEADS // KEY_HEADS, 1).mT * q.shape[-1] ** -0.5
    future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    lse = torch.logsumexp(scores.masked_fill(future, -torch.inf), -1)
    return y.transpose(1, 2), (lse.mT,)

  return run


def _attention_ours(block_size):
  def run(params, inputs, state):
    first = jnp.zeros((ROWS, LENGTH), jnp.int32)
    y, lse = attention.interval_attention(*inputs, first, block_size=block_size)
    return y, (lse,)

  return run


def _shapes(params=(), inputs=(), state=()):
  sequence = lambda shape: (ROWS, LENGTH, *shape)
  return params, tuple(map(sequence, inputs)), tuple((ROWS, *s) for s in state)


def _window_case(peer, module, carried, sinks, rotary):
  options = {"num_sinks": sinks, "rotary_base": 10_000.0 if rotary else None}
  heads = ((HEADS, DIM), (KEY_HEADS, DIM), (KEY_HEADS, DIM))
  ring = (WINDOW + sinks, KEY_HEADS, DIM)
  forms = {
    "recurrent": _window_ours("recurrent", carried, **options),
    "parallel": _window_ours("parallel", carried, **options),
    "parallel, blocks of 8": _window_ours("parallel", carried, block_size=8, **options),
  }
  # a memory that is not carried is empty
  legal = lambda p, i, s: (p, i, s if carried else tuple(np.zeros_like(a) for a in s))
  return Case(
    "window",
    peer,
    module,
    _shapes(inputs=heads, state=(ring, ring)),
    forms,
    _sdpa_window(carried, sinks, rotary),
    legal,
  )


def _delta_cases():
  three = ((3, 8), (3, 8), (3, 6), (3,), (3,))
  shapes = _shapes(inputs=three, state=((3, 8, 6),))
  forms = {
    "recurrent": _delta_ours("recurrent"),
    "chunk": _delta_ours("chunk"),
    "chunk of 16": _delta_ours("chunk", chunk_size=16),
  }
  package = "transformers.models.qwen3_next.modeling_qwen3_next"
  naive = "fla.ops.gated_delta_rule.naive"
  peers = [
    (package, "torch_chunk_gated_delta_rule"),
    (package, "torch_recurrent_gated_delta_rule"),
    (naive, "naive_chunk_gated_delta_rule"),
    (naive, "naive_recurrent_gated_delta_rule"),
  ]
  return [
    Case(
      "gated_delta",
      f"{module.split('.')[0]} {name}",
      module,
      shapes,
      forms,
      _delta_peer(module, name),
      _delta_legal,
    )
    for module, name in peers
  ]


def _hawk_case(peer, module, theirs):
  gate = ((2, 4, 4), (2, 4))
  forms = {form: _hawk_ours(form) for form in rglru.FORMS}
  shapes = _shapes(((8,), *gate, *gate), inputs=((8,),), state=((8,),))
  return Case("rglru", peer, module, shapes, forms, theirs)


def _cases() -> list[Case]:
  weights = ((5, 24), (6, 24), (24,))
  lstm_forms = {form: _ours(lstm, form) for form in lstm.FORMS}
  lstm_forms["chunk of 8"] = _ours(lstm, "chunk", chunk_size=8)
  heads = ((HEADS, DIM), (KEY_HEADS, DIM), (KEY_HEADS, DIM))
  return [
    Case(
      "lstm",
      "torch nn.LSTM",
      "torch",
      _shapes(weights, ((5,),), ((6,), (6,))),
      lstm_forms,
      _torch_lstm,
    ),
    _hawk_case(
      "transformers RecurrentGemmaRglru",
      "transformers.models.recurrent_gemma.modeling_recurrent_gemma",
      _transformers_rglru,
    ),
    _hawk_case("recurrentgemma RGLRU", "recurrentgemma.jax.layers", _recurrentgemma),
    *_delta_cases(),
    _window_case("torch SDPA, no rotation", "torch", True, 0, False),
    _window_case("torch SDPA, sinks", "torch", False, SINKS, False),
    _window_case(
      "torch SDPA, transformers Llama rotary",
      "transformers.models.llama.modeling_llama",
      True,
      0,
      True,
    ),
    Case(
      "short_conv",
      "torch conv1d",
      "torch",
      _shapes(((4, 5),), ((5,),), ((3, 5),)),
      {form: _ours(short_conv, form) for form in short_conv.FORMS},
      _torch_conv,
    ),
    Case(
      "attention",
      "torch SDPA, causal",
      "torch",
      _shapes(inputs=heads),
      {"blocks of 8": _attention_ours(8), "blocks of 128": _attention_ours(128)},
      _sdpa_causal,
    ),
    Case(
      "diagonal",
      "accelerated_scan.ref",
      "accelerated_scan.ref",
      _shapes(inputs=((5,), (5,)), state=((5,),)),
      {form: _diagonal_ours(form) for form in diagonal.SCANS},
      _accelerated_scan,
      lambda p, i, s: (p, (1 / (1 + np.exp(-i[0])), i[1]), s),
    ),
  ]


CASES = _cases()
PAIRS = [(case, form) for case in CASES for form in case.forms]


@pytest.mark.parametrize(
  "case, form", PAIRS, ids=[f"{c.op}-{form}-{c.peer}" for c, form in PAIRS]
)
def test_parity_with_peer(case, form):
  pytest.importorskip(case.module, exc_type=ImportError)

  errors = measure(case, form)

  too_much = {kind: e for kind, (e, allowed) in errors.items() if allowed > 1}
  assert not too_much, f"{case.op} {form} against {case.peer}: {too_much}"


def _row(cells) -> str:
  return "| " + " | ".join(cells) + " |"


def main() -> None:
  """Prints the worst relative error of every op, form and quantity."""
  packages = ("jax torch transformers flash-linear-attention accelerated-scan"
              " recurrentgemma").split()  # fmt: skip
  installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
  known = [f"{p} {importlib.metadata.version(p)}" for p in packages if p in installed]
  print("# Parity with other people's code\n")
  print("Worst |ours - theirs| over the largest |theirs|, float32, CPU. Written by")
  print("`python tests/test_parity.py`. Peers: " + ", ".join(known) + ".")
  print("For attention the final state is the log of the softmax's denominator.\n")
  print(_row(["op", "form", "peer", *KINDS]))
  print(_row(["---"] * (3 + len(KINDS))))
  for case, form in PAIRS:
    try:
      importlib.import_module(case.module)
    except ImportError:
      print(_row([case.op, form, case.peer, "not installed", *[""] * 4]))
      continue
    errors = measure(case, form)
    cells = [f"{errors[kind][0]:.1e}" if kind in errors else "" for kind in KINDS]
    print(_row([case.op, form, case.peer, *cells]))


if __name__ == "__main__":
  main()
