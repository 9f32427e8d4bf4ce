"""Whole layers around delta rules against those of fla.

They call GPU kernels, which are replaced here by fla's naive rules and
references, and torch's convolution and norms.
"""

import importlib
from unittest import mock

from .delta_layers import DIM, HEADS, QWEN, WRITES, D, flat, layer_case
from .harness import by_document


def _fla(file, layer, options, stand_ins, weights, cached):
  """Runs a layer of fla with its naive rule.

  Args:
    file: of fla.layers.
    layer: the class.
    options: its arguments.
    stand_ins: `(package, layer) -> functions by name`, in place of the kernels.
    weights: `params -> weights by name`.
    cached: `(past, s) -> ` the layer's cache, and the way back.
  """
  to_cache, from_cache = cached

  def load():
    package = importlib.import_module(f"fla.layers.{file}")
    torch = importlib.import_module("torch")
    peer = getattr(package, layer)(layer_idx=0, **options)
    functions = stand_ins(peer)

    def run(params, inputs, state):
      cache = {}
      functions["get_layer_cache"] = lambda *_: to_cache(*state)
      functions["update_layer_cache"] = lambda *_, **new: cache.update(new)
      with mock.patch.multiple(package, **functions):
        y = torch.func.functional_call(
          peer, weights(params), inputs, {"use_cache": True}
        )
      return y[0], from_cache(cache)

    return by_document(run)

  return load


def _conv():
  torch = importlib.import_module("torch")

  class Conv(torch.nn.Module):
    """A depthwise convolution that continues from its last inputs, and silu."""

    def __init__(self, dim):
      super().__init__()
      self.weight = torch.nn.Parameter(torch.zeros(dim, 1, 4))

    def forward(self, x, cache, **_):
      padded = torch.cat([cache, x], dim=1)
      y = torch.nn.functional.conv1d(padded.mT, self.weight, groups=len(self.weight))
      return torch.nn.functional.silu(y.mT), padded[:, -3:]

  return Conv


def _three_convs(layer):
  """Returns replacements of the kernels in a layer of three convolutions and a norm."""
  conv = _conv()
  for name in "qkv":
    rows = getattr(layer, f"{name}_proj").out_features
    setattr(layer, f"{name}_conv1d", conv(rows))


def _unit(x):
  torch = importlib.import_module("torch")
  return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def _delta_net_stand_ins(layer):
  torch = importlib.import_module("torch")
  naive = importlib.import_module("fla.ops.delta_rule.naive")
  _three_convs(layer)
  layer.o_norm = torch.nn.RMSNorm(DIM, eps=1e-6)

  def rule(q, k, v, beta, initial_state, **_):
    inputs = (a.transpose(1, 2) for a in (_unit(q), _unit(k), v, beta))
    y, s = naive.delta_rule_recurrence(*inputs, initial_state=initial_state)
    return y.transpose(1, 2), s

  return {"chunk_delta_rule": rule, "fused_recurrent_delta_rule": rule}


def _product_stand_ins(layer):
  qwen = importlib.import_module(QWEN)
  naive = importlib.import_module("fla.ops.gated_delta_product.naive")
  _three_convs(layer)
  layer.o_norm = qwen.Qwen3NextRMSNormGated(DIM, eps=1e-6)

  def rule(q, k, v, g, beta, initial_state, **_):
    return naive.naive_recurrent_gated_delta_product(
      _unit(q), _unit(k), v, g, beta, DIM**-0.5,
      initial_state=initial_state.clone(), num_householder=WRITES,
    )  # fmt: skip

  return {"chunk_gated_delta_product": rule}


def _fla_weights(params):
  p = params["params"]
  writes = p["write"]["kernel"].flatten(1).shape[1] // HEADS
  sizes = [HEADS * DIM, writes * HEADS * DIM, writes * HEADS * DIM]
  parts = p["qkv"]["kernel"].split(sizes, dim=1)
  taps = p["conv"]["taps"].flip(0).split(sizes, dim=1)
  named = {f"{n}_proj.weight": a.T for n, a in zip("qkv", parts, strict=True)}
  named |= {
    f"{n}_conv1d.weight": a.T[:, None] for n, a in zip("qkv", taps, strict=True)
  }
  if "gate" in p:
    named["g_proj.weight"] = flat(p["gate"]["kernel"])
    named["a_proj.weight"] = p["decay"]["kernel"].T
    named |= {"A_log": p["rate"], "dt_bias": p["step"]}
  return named | {
    "b_proj.weight": flat(p["write"]["kernel"]),
    "o_norm.weight": p["norm"]["scale"],
    "o_proj.weight": p["out"]["kernel"].flatten(0, 1).T,
  }


def _three_caches(writes):
  sizes = [HEADS * DIM, writes * HEADS * DIM, writes * HEADS * DIM]

  def to_cache(past, s):
    return {"conv_state": past.split(sizes, dim=-1), "recurrent_state": s}

  def from_cache(cached):
    torch = importlib.import_module("torch")
    return torch.cat(cached["conv_state"], dim=-1), cached["recurrent_state"]

  return to_cache, from_cache


def _rwkv7_stand_ins(layer):
  torch = importlib.import_module("torch")
  naive = importlib.import_module("fla.ops.generalized_delta_rule.dplr.naive")

  def part(name):
    return importlib.import_module(f"fla.ops.rwkv7.{name}")

  def rule(r, w, k, v, a, b, initial_state, **_):
    q = r * r.shape[-1] ** 0.5  # the naive rule scales it
    inputs = (x.transpose(1, 2) for x in (q, k, v, a, b, w))
    y, s = naive.dplr_recurrence(*inputs, initial_state=initial_state)
    return y.transpose(1, 2), s

  def shift(x, *_, cache, **__):
    return torch.cat([cache, x[:, :-1]], dim=1) - x, x[:, -1:]

  return {
    "chunk_rwkv7": rule,
    "token_shift": shift,
    "fused_addcmul_rwkv7": part("fused_addcmul").torch_addcmul_rwkv7,
    "fused_k_rwkv7": part("fused_k_update").k_update_ref,
    "gate_output_correction": part("gate_output_correction").gate_output_correction_ref,
  }


def _rwkv7_weights(params):
  p = params["params"]
  named = {f"x_{n}": p[f"shift_{n}"][None, None] for n in "rwkvag"}
  named |= {f"{n}_proj.weight": p[n]["kernel"].T for n in "rkv"}
  for n in "wag":
    named[f"{n}_lora.lora.0.weight"] = p[f"{n}_in"]["kernel"].T
    named[f"{n}_lora.lora.2.weight"] = p[n]["kernel"].T
  return named | {
    "w_lora.lora.2.bias": p["decay"],
    "a_lora.lora.2.bias": p["rate"],
    "k_k": p["removed"],
    "k_a": p["replaced"],
    "r_k": p["bonus"].unflatten(0, (HEADS, DIM)),
    "g_norm.weight": p["norm"]["scale"].flatten(),
    "g_norm.bias": p["norm"]["bias"].flatten(),
    "o_proj.weight": p["out"]["kernel"].T,
  }


CASES = [
  layer_case(
    "delta_net",
    "fla DeltaNet, naive rule",
    "fla.layers.delta_net",
    _fla(
      "delta_net",
      "DeltaNet",
      {"hidden_size": D, "num_heads": HEADS},
      _delta_net_stand_ins,
      _fla_weights,
      _three_caches(1),
    ),
  ),
  layer_case(
    "gated_delta_product",
    "fla GatedDeltaProduct, naive rule",
    "fla.layers.gated_deltaproduct",
    _fla(
      "gated_deltaproduct",
      "GatedDeltaProduct",
      {"hidden_size": D, "num_heads": HEADS, "head_dim": DIM, "expand_v": 1}
      | {"num_householder": WRITES, "allow_neg_eigval": True},
      _product_stand_ins,
      _fla_weights,
      _three_caches(WRITES),
    ),
    num_writes=WRITES,
  ),
  layer_case(
    "rwkv7",
    "fla RWKV7Attention, naive rule",
    "fla.layers.rwkv7",
    _fla(
      "rwkv7",
      "RWKV7Attention",
      {"hidden_size": D, "head_dim": DIM, "num_hidden_layers": 2},
      _rwkv7_stand_ins,
      _rwkv7_weights,
      (
        lambda past, s: {"conv_state": past, "recurrent_state": s},
        lambda cached: (cached["conv_state"], cached["recurrent_state"]),
      ),
    ),
  ),
]
