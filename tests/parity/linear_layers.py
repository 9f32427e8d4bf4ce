"""Whole layers of linear attention and its gates, small random weights.

Weights go by the peer's names and shapes; ours are made of them. fla's layers call GPU
kernels: here they are given fla's own naive forms, and torch's norms.
"""

import importlib
import types

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import mixers
from jaxmem.ops import gated_linear, mlstm, short_conv
from jaxmem.ops.attention_core import rotary

from .harness import BORDERS, LENGTH, RESET, Case, by_document, shapes

D, H = 12, 3
SMALL = np.float32(0.3)  # the size of the weights
FORMS = {
  "recurrent": {"form": "recurrent"},
  "chunk": {},
  "chunk of 16": {"chunk_size": 16},
}
MATRIX = (lambda s: gated_linear.State(*s), lambda new: (new.s,))


def _case(name, peer, module, params, state, weights, memory, theirs, **options):
  """Compares our mixer `name` with a layer.

  Args:
    name: of the mixer.
    peer: what the table calls the peer.
    module: what must be importable to ask it.
    params: the peer's weights, name -> shape.
    state: shapes of the peer's state.
    weights: the peer's weights -> our parameters.
    memory: (ours from theirs, theirs from ours), of the state.
    theirs: `() -> f`.
    options: of our mixer.
  """
  enter, leave = memory

  def form(form_options):
    mixer = mixers.get(name).Mixer(D, **{"num_heads": H, **options, **form_options})

    def run(params, inputs, state):
      tree = {"params": weights(params)}
      y, new = mixer.apply(tree, inputs[0], enter(state), RESET)
      return y, leave(new)

    return run

  def small(params, inputs, state):
    return jax.tree.map(lambda a: SMALL * a, params), inputs, state

  forms = {key: form(form_options) for key, form_options in FORMS.items()}
  of = shapes(params, ((D,),), state)
  return Case(name, peer, module, of, forms, theirs, small)


def _in(w):
  """Converts torch's [out, in] to [in, H, out / H]."""
  return {"kernel": w.T.reshape(w.shape[1], H, -1)}


def _flat(w):
  return {"kernel": w.T}


def _out(w):
  """Converts torch's [out, in] to [H, in / H, out]."""
  return {"kernel": w.T.reshape(H, -1, w.shape[0])}


def _called(module, params, *args):
  torch = importlib.import_module("torch")
  return torch.func.functional_call(module, params, args)


# Mamba-2

N, GROUPS, WIDTH, NARROW = 5, 3, 24, 6  # K, groups, E D, heads


class _Carried:
  """A cache of one layer with the methods that the mixer of transformers calls."""

  def __init__(self, conv, recurrent):
    self.conv, self.recurrent = conv, recurrent

  def get_conv_state(self, layer, state_idx=0):
    return self.conv

  def get_recurrent_state(self, layer, state_idx=0):
    return self.recurrent

  def is_recording_past(self, layer):
    return False

  def update_conv_state(self, x, layer, conv_kernel_size):
    padded = importlib.import_module("torch").cat([self.conv, x], dim=-1)
    self.conv = padded[..., 1 - conv_kernel_size :]
    return padded

  def update_recurrent_state(self, s, layer_idx):
    self.recurrent = s


def _mamba2():
  package = importlib.import_module("transformers.models.mamba2")
  config = package.Mamba2Config(
    hidden_size=D, num_heads=NARROW, head_dim=WIDTH // NARROW, state_size=N,
    n_groups=GROUPS, chunk_size=16, num_hidden_layers=1, layer_norm_epsilon=1e-6,
  )  # fmt: skip
  layer = package.modeling_mamba2.Mamba2Mixer(config, 0)

  def run(params, inputs, state):
    cache = _Carried(*state)
    y = _called(layer, params, inputs[0], cache)
    return y, (cache.conv, cache.recurrent)

  return by_document(run)


def _mamba2_weights(p):
  gate, xbc, dt = jnp.split(
    p["in_proj.weight"], [WIDTH, len(p["in_proj.weight"]) - NARROW]
  )
  return {
    "gate": _flat(gate), "xbc": _flat(xbc), "dt": _flat(dt),
    "conv": {"taps": p["conv1d.weight"][:, 0, ::-1].T, "bias": p["conv1d.bias"]},
    "rate": p["A_log"], "step": p["dt_bias"], "skip": p["D"],
    "norm": {"scale": p["norm.weight"].reshape(GROUPS, -1)},
    "out": _flat(p["out_proj.weight"]),
  }  # fmt: skip


def _mamba2_case():
  dim, turn = WIDTH + 2 * GROUPS * N, lambda s: s.swapaxes(-1, -2)
  state = mixers.get("mamba2").State
  memory = (
    lambda s: state(short_conv.State(turn(s[0])), gated_linear.State(turn(s[1]))),
    lambda new: (turn(new.conv.past), turn(new.ssm.s)),
  )
  params = {
    "dt_bias": (NARROW,), "A_log": (NARROW,), "D": (NARROW,),
    "conv1d.weight": (dim, 1, 4), "conv1d.bias": (dim,),
    "in_proj.weight": (WIDTH + dim + NARROW, D),
    "norm.weight": (WIDTH,), "out_proj.weight": (D, WIDTH),
  }  # fmt: skip
  return _case(
    "mamba2",
    "transformers Mamba2Mixer",
    "transformers.models.mamba2.modeling_mamba2",
    params,
    ((dim, 3), (NARROW, WIDTH // NARROW, N)),
    _mamba2_weights,
    memory,
    _mamba2,
    num_heads=NARROW,
    num_groups=GROUPS,
    state_dim=N,
  )


# mLSTM


def _xlstm():
  package = importlib.import_module("transformers.models.xlstm")
  config = package.xLSTMConfig(hidden_size=D, num_heads=H, mode="inference", eps=0.0)
  config.return_last_states = True
  layer = package.modeling_xlstm.xLSTMLayer(config)

  def run(params, inputs, state):
    c, n, m = state
    y, (c, n, m) = _called(layer, params, inputs[0], (c, n, m[..., None]))
    return y, (c, n, m[..., 0])

  return by_document(run)


def _xlstm_weights(p):
  def gate(name):
    return _flat(p[f"{name}gate_preact.weight"])

  return {
    "q": _in(p["q.weight"]), "k": _in(p["k.weight"]), "v": _in(p["v.weight"]),
    "input": gate("i"), "input_bias": p["igate_preact.bias"],
    "forget": gate("f"), "forget_bias": p["fgate_preact.bias"],
    "gate": _in(p["ogate_preact.weight"]),
    "norm": {"scale": p["multihead_norm.weight"].reshape(H, -1)},
    "out": _out(p["out_proj.weight"]),
  }  # fmt: skip


def _xlstm_case():
  key = D // 2
  params = {
    "q.weight": (key, D), "k.weight": (key, D), "v.weight": (D, D),
    "ogate_preact.weight": (D, D), "multihead_norm.weight": (D,),
    "igate_preact.weight": (H, D), "igate_preact.bias": (H,),
    "fgate_preact.weight": (H, D), "fgate_preact.bias": (H,),
    "out_proj.weight": (D, D),
  }  # fmt: skip
  return _case(
    "mlstm",
    "transformers xLSTMLayer",
    "transformers.models.xlstm.modeling_xlstm",
    params,
    ((H, key // H, D // H), (H, key // H), (H,)),
    _xlstm_weights,
    (lambda s: mlstm.State(*s), tuple),
    _xlstm,
  )


# fla's layers


def _fla(file, name, norm, **options):
  """Returns a layer of fla with its naive rule, f(params, inputs, (*others, s)).

  Args:
    file: of `fla.layers`.
    name: of the class.
    norm: `(torch, layer) -> None`, puts torch's norm in place of fla's.
    options: of the class.
  """

  def load():
    torch = importlib.import_module("torch")
    package = importlib.import_module(f"fla.layers.{file}")
    gla = importlib.import_module("fla.ops.gla.naive").naive_recurrent_gla
    rwkv6 = importlib.import_module("fla.ops.rwkv6.recurrent_naive")
    slot = types.SimpleNamespace()

    def gla_rule(q, k, v, gk, initial_state, **_):
      return gla(q, k, v, gk, initial_state, True)

    def rwkv6_rule(r, k, v, w, u, scale, initial_state, **_):
      heads = (a.transpose(1, 2) for a in (r, k, v, w))
      y, s = rwkv6.naive_recurrent_rwkv6(*heads, u, scale, initial_state, True)
      return y.transpose(1, 2), s

    def keep(layer, cache, recurrent_state, conv_state, offset):
      slot.after = (conv_state, recurrent_state)

    package.get_layer_cache = lambda layer, cache: slot.before
    package.update_layer_cache = keep
    package.fused_recurrent_gla = gla_rule
    package.fused_recurrent_rwkv6 = rwkv6_rule
    layer = getattr(package, name)(hidden_size=D, layer_idx=0, **options)
    norm(torch, package, layer)
    layer.gate_fn = torch.nn.functional.silu

    def run(params, inputs, state):
      slot.before = {"recurrent_state": state[-1], "conv_state": state[0]}
      y = _called(layer, params, inputs[0])[0]
      return y, slot.after[-len(state) :]

    return by_document(run)

  return load


def _gla_norm(torch, package, layer):
  layer.g_norm = torch.nn.RMSNorm(D // H, eps=1e-6)


def _gla_weights(p):
  decay = _in(p["gk_proj.1.weight"]) | {"bias": p["gk_proj.1.bias"].reshape(H, -1)}
  return {
    "q": _in(p["q_proj.weight"]), "k": _in(p["k_proj.weight"]),
    "v": _in(p["v_proj.weight"]), "gate": _in(p["g_proj.weight"]),
    "decay_in": _flat(p["gk_proj.0.weight"]), "decay": decay,
    "norm": {"scale": p["g_norm.weight"]}, "out": _out(p["o_proj.weight"]),
  }  # fmt: skip


def _gla_case():
  key = D // 2
  params = {
    "q_proj.weight": (key, D), "k_proj.weight": (key, D), "v_proj.weight": (D, D),
    "g_proj.weight": (D, D), "gk_proj.0.weight": (16, D),
    "gk_proj.1.weight": (key, 16), "gk_proj.1.bias": (key,),
    "g_norm.weight": (D // H,), "o_proj.weight": (D, D),
  }  # fmt: skip
  theirs = _fla("gla", "GatedLinearAttention", _gla_norm, num_heads=H, fuse_norm=False)
  state = ((H, key // H, D // H),)
  module = "fla.layers.gla"
  peer = "fla GatedLinearAttention, naive"
  return _case("gla", peer, module, params, state, _gla_weights, MATRIX, theirs)


def _hgrn2_norm(torch, package, layer):
  functional = torch.nn.functional

  def rms_norm_linear(x, norm, norm_bias, w, bias):
    return functional.linear(functional.rms_norm(x, (D,), norm, 1e-6), w, bias)

  package.rms_norm_linear = rms_norm_linear
  package.swish = functional.silu


def _hgrn2_weights(p):
  return {
    "q": _in(p["q_proj.weight"]), "forget": _in(p["f_proj.weight"]),
    "v": _in(p["i_proj.weight"]), "norm": {"scale": p["g_norm.weight"]},
    "out": _flat(p["o_proj.weight"]),
  }  # fmt: skip


def _hgrn2_case():
  names = [f"{name}_proj.weight" for name in "qfio"]
  params = dict.fromkeys(names, (D, D)) | {"g_norm.weight": (D,)}
  theirs = _fla("hgrn2", "HGRN2Attention", _hgrn2_norm, expand_ratio=D // H)
  state = ((H, D // H, D // H),)
  module, peer = "fla.layers.hgrn2", "fla HGRN2Attention, naive"
  return _case("hgrn2", peer, module, params, state, _hgrn2_weights, MATRIX, theirs)


def _rwkv6_norm(torch, package, layer):
  class Norm(torch.nn.GroupNorm):
    def forward(self, x):
      return super().forward(x.flatten(0, 1)).view_as(x)

  layer.g_norm = Norm(H, D, eps=64e-5)


MIXED = "rwkvg"  # the peer's order
RANK, DECAY_RANK = 32, 64


def _rwkv6_weights(p):
  lora = "w_proj.linear.lora"
  ours = [MIXED.index(name) for name in mixers.get("rwkv6").MIXED]
  shifts = {f"shift_{name}": p["x_bias"][i] for i, name in enumerate(MIXED)}
  into = p["x_proj.0.linear.weight"].T.reshape(D, 5, RANK)[:, jnp.array(ours)]
  out = p["x_proj.2.weight"].reshape(D, 5, RANK).transpose(1, 2, 0)
  dense = {name: _in(p[f"{name}_proj.linear.weight"]) for name in "rkvg"}
  return dense | shifts | {
    "shift": p["x_proj.0.mu"],
    "shift_in": {"kernel": into}, "shift_out": out[jnp.array(ours)],
    "decay_in": _flat(p[f"{lora}.0.weight"]), "decay": _in(p[f"{lora}.2.weight"]),
    "decay_base": p[f"{lora}.2.bias"].reshape(H, -1), "bonus": p["bonus"],
    "norm": {n: p[f"g_norm.{t}"].reshape(H, -1)
             for n, t in (("scale", "weight"), ("bias", "bias"))},
    "out": _out(p["o_proj.weight"]),
  }  # fmt: skip


def _rwkv6_case():
  lora = "w_proj.linear.lora"
  params = {f"{name}_proj.linear.weight": (D, D) for name in "rkvg"} | {
    "x_proj.0.mu": (D,), "x_proj.0.linear.weight": (5 * RANK, D),
    "x_proj.2.weight": (D, 5 * RANK), "x_bias": (5, D), "bonus": (H, D // H),
    f"{lora}.0.weight": (DECAY_RANK, D), f"{lora}.2.weight": (D, DECAY_RANK),
    f"{lora}.2.bias": (D,), "g_norm.weight": (D,), "g_norm.bias": (D,),
    "o_proj.weight": (D, D),
  }  # fmt: skip
  state = mixers.get("rwkv6").State
  memory = (
    lambda s: state(short_conv.State(s[0][:, None]), gated_linear.State(s[1])),
    lambda new: (new.shift.past[:, 0], new.wkv.s),
  )
  theirs = _fla("rwkv6", "RWKV6Attention", _rwkv6_norm, num_heads=H, expand_k=1.0)
  shape = ((D,), (H, D // H, D // H))
  module, peer = "fla.layers.rwkv6", "fla RWKV6Attention, naive"
  return _case("rwkv6", peer, module, params, shape, _rwkv6_weights, memory, theirs)


# Retention


def _retention():
  torch = importlib.import_module("torch")
  llama = importlib.import_module("transformers.models.llama.modeling_llama")
  rule = importlib.import_module("fla.ops.simple_gla.naive").naive_chunk_simple_gla
  config = llama.LlamaConfig(hidden_size=D, num_attention_heads=H)
  turn = llama.LlamaRotaryEmbedding(config)
  functional = torch.nn.functional
  log_gamma = torch.log1p(-(2.0 ** (-5 - torch.arange(H))))

  def run(params, inputs, state):
    (x,) = inputs
    rows, length, _ = x.shape

    def heads(name):
      return functional.linear(x, params[name]).view(rows, length, H, -1)

    cos, sin = turn(x, torch.arange(length)[None])
    q, k = llama.apply_rotary_pos_emb(heads("q"), heads("k"), cos, sin, unsqueeze_dim=2)
    g = log_gamma.expand(rows, length, H)
    y, s = rule(q, k, heads("v"), g, state[0], output_final_state=True)
    y = functional.group_norm(y.flatten(0, 1).flatten(1), H).view(rows, length, -1)
    gate = functional.silu(functional.linear(x, params["g"]))
    return functional.linear(y * gate, params["o"]), (s,)

  return by_document(run)


def _retention_weights(p):
  dense = {name: _in(p[name]) for name in "qkv"}
  return dense | {"gate": _in(p["g"]), "out": _out(p["o"])}


def _retention_case():
  key = D // H

  def turned(s, distance):
    """The peer turns keys by their place, ours by the distance to the last token."""
    by = rotary.angles(
      jnp.array(distance), key, rotary.Rotary(), jnp.dtype(jnp.float32)
    )
    return rotary.rotate(s.swapaxes(-1, -2), by).swapaxes(-1, -2)

  memory = (
    lambda s: gated_linear.State(turned(s[0], 1)),
    lambda new: (turned(new.s, LENGTH - BORDERS[-1] - 1),),
  )
  params = dict.fromkeys("qk", (D, D)) | dict.fromkeys("vg", (2 * D, D))
  params |= {"o": (D, 2 * D)}
  peer = "fla naive_chunk_simple_gla, Llama rotary, torch group_norm"
  module, state = "fla.ops.simple_gla.naive", ((H, key, 2 * key),)
  return _case(
    "retention", peer, module, params, state, _retention_weights, memory, _retention
  )


CASES = [
  _retention_case(),
  _mamba2_case(),
  _xlstm_case(),
  _gla_case(),
  _hgrn2_case(),
  _rwkv6_case(),
]
