"""Attention and the short convolution against torch."""

import importlib

import jax.numpy as jnp
import numpy as np

from jaxmem.ops import short_conv, window
from jaxmem.ops.attention_core import blockwise, masks
from jaxmem.ops.attention_core.rotary import Rotary
from jaxmem.ops.attention_core.scores import Scores
from jaxmem.ops.attention_core.tokens import Tokens

from .harness import BORDERS, LENGTH, RESET, ROWS, Case, by_document, ours, shapes


def _torch_conv():
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    padded = torch.cat([state[0], inputs[0]], dim=1)
    taps = params[0].T.flip(1)[:, None]  # torch's last tap is the present
    y = torch.nn.functional.conv1d(padded.mT, taps, groups=taps.shape[0])
    return y.mT, (padded[:, -state[0].shape[1] :],)

  return by_document(run)


HEADS, KEY_HEADS, DIM, WINDOW, SINKS = 4, 2, 8, 7, 2
STARTS = np.array([40, 3])  # tokens that each row's first document has had: ring full?


def _table(carried):
  """Returns position and document of every key in [ring in order | call]."""
  start = STARTS[:, None] if carried else np.zeros((ROWS, 1), int)
  call = start + np.arange(LENGTH)
  document = np.zeros((ROWS, LENGTH), int)
  for border in BORDERS:
    call[:, border:] = np.arange(LENGTH - border)
    document[:, border:] += 1
  position = np.concatenate([start + np.arange(-WINDOW, 0), call], axis=1)
  return position, np.concatenate([np.zeros((ROWS, WINDOW), int), document], axis=1)


def _sdpa_window(carried, sinks, rotary):
  """Runs torch's attention over [ring in order | call] under a dense mask."""

  def load():
    torch = importlib.import_module("torch")
    position, document = _table(carried)
    mine = position[:, WINDOW:, None]
    ago = mine - position[:, None]
    near = (ago < WINDOW) | (position[:, None] < sinks)
    same = document[:, WINDOW:, None] == document[:, None]
    visible = torch.tensor((ago >= 0) & near & same & (position[:, None] >= 0))[:, None]

    def ring(at):
      return at % WINDOW + sinks

    last = mine[:, -1] - np.arange(WINDOW)[::-1]  # positions of the last W tokens

    def run(params, inputs, state):
      q, *call = inputs
      order = torch.tensor(ring(position[:, :WINDOW]))
      rows = torch.arange(ROWS)[:, None]
      k, v = (
        torch.cat([past[rows, order], new], dim=1)
        for past, new in zip(state, call, strict=True)
      )
      after = [torch.zeros_like(s) for s in state]
      for row in range(ROWS):
        for new, line in zip(after, (k, v), strict=True):
          new[row, ring(last[row])] = line[row, -WINDOW:]
          if sinks:
            new[row, :sinks] = line[row, WINDOW + BORDERS[-1] :][:sinks]
      if rotary:
        q, k = _llama_rotary(q, k, torch.tensor(np.maximum(position, 0)))

      def heads(a):
        return a.transpose(1, 2)

      attend = torch.nn.functional.scaled_dot_product_attention
      y = attend(heads(q), heads(k), heads(v), attn_mask=visible, enable_gqa=True)
      return heads(y), tuple(after)

    return run

  return load


def _llama_rotary(q, k, position):
  llama = importlib.import_module("transformers.models.llama.modeling_llama")
  config = llama.LlamaConfig(hidden_size=DIM * HEADS, num_attention_heads=HEADS)
  cos, sin = llama.LlamaRotaryEmbedding(config)(q, position)

  def turn(a, n):
    return llama.apply_rotary_pos_emb(a, a, cos[:, -n:], sin[:, -n:], unsqueeze_dim=2)[
      0
    ]

  return turn(q, LENGTH), turn(k, position.shape[1])


def _window_ours(form, carried, score, **options):
  starts = jnp.asarray(STARTS if carried else 0 * STARTS, jnp.int32)

  def turn(k, position, sign):
    """The ring's keys, which ours keeps turned by their places in the document."""
    if score.rotary is None:
      return k
    newest = position[:, None] - 1
    return score.rotate(k, sign * (newest - (newest - jnp.arange(WINDOW)) % WINDOW))

  def run(params, inputs, state):
    k, v = state
    state = window.State(turn(k, starts, 1), v, starts)
    y, new = window.FORMS[form](params, inputs, state, RESET, score=score, **options)
    return y, (turn(new.k, new.position, -1), new.v)

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
    position = jnp.broadcast_to(jnp.arange(LENGTH, dtype=jnp.int32), (ROWS, LENGTH))
    tokens = Tokens(position, jnp.zeros_like(position))
    y, lse = blockwise.attend(
      *inputs, tokens, tokens, masks.Causal(), block_size=block_size
    )
    return y, (lse,)

  return run


def _window_case(peer, module, carried, sinks, rotary):
  options = {"num_sinks": sinks, "score": Scores(Rotary() if rotary else None)}
  heads = ((HEADS, DIM), (KEY_HEADS, DIM), (KEY_HEADS, DIM))
  ring = (WINDOW + sinks, KEY_HEADS, DIM)
  forms = {
    "recurrent": _window_ours("recurrent", carried, **options),
    "parallel": _window_ours("parallel", carried, **options),
    "parallel, blocks of 8": _window_ours("parallel", carried, block_size=8, **options),
  }

  # a memory that is not carried is empty
  def legal(p, i, s):
    return (p, i, s if carried else tuple(np.zeros_like(a) for a in s))

  return Case(
    "window",
    peer,
    module,
    shapes(inputs=heads, state=(ring, ring)),
    forms,
    _sdpa_window(carried, sinks, rotary),
    legal,
  )


HEADS_OF = ((HEADS, DIM), (KEY_HEADS, DIM), (KEY_HEADS, DIM))
CASES = [
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
    shapes(((4, 5),), ((5,),), ((3, 5),)),
    {form: ours(short_conv, form) for form in short_conv.FORMS},
    _torch_conv,
  ),
  Case(
    "attention",
    "torch SDPA, causal",
    "torch",
    shapes(inputs=HEADS_OF),
    {"blocks of 8": _attention_ours(8), "blocks of 128": _attention_ours(128)},
    _sdpa_causal,
  ),
]
