"""Models of flash-linear-attention on a CPU, where its kernels do not run.

A model's forward stays fla's own: its layers, their parameters and names, the order of
what they do. Replaced are the functions that call Triton:

- norms of features and of heads, gated ones too, by torch's arithmetic of the same
  equations (means and roots in float32, epsilon under the root);
- the L2 norm, the SwiGLU and swish functions, the token shift, the short convolution
  and the rotary positions, likewise;
- the recurrences by fla's naive ones (`fla.ops.*.naive`), token by token; what a kernel
  does to its inputs before (norms of q and k, gates) is done by torch;
- in RWKV-7 the fused products by the references that fla has beside them.
"""

import contextlib
import importlib
from unittest import mock

import torch
from torch.nn import functional

__all__ = ["torch_code"]


@contextlib.contextmanager
def torch_code():
  """Lets models of fla be made and run without Triton."""
  importlib.import_module("fla.models")  # transformers then knows its model types
  with contextlib.ExitStack() as stack:
    for module, functions in (_SHARED | _LAYERS).items():
      package = importlib.import_module(f"fla.{module}")
      names = {name: functions[name] for name in functions if hasattr(package, name)}
      assert names.keys() == functions.keys(), f"fla.{module} has other functions"
      stack.enter_context(mock.patch.multiple(package, **names))
    modules = importlib.import_module("fla.modules")
    for name, forward in _FORWARDS.items():
      layer = getattr(modules, name)
      stack.enter_context(mock.patch.object(layer, "forward", forward))
    yield


def _with_residual(norm):
  """A norm of x, or of x and the residual, which is then also given."""

  def normed(x, *args, residual=None, prenorm=False, residual_in_fp32=False, **options):
    x = x if residual is None else x + residual
    y = norm(x, *args, **options)
    return (y, x) if prenorm else y

  return normed


def _layer_norm(x, weight, bias, eps):
  return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _rms_norm(x, weight, bias, eps):
  assert bias is None
  return functional.rms_norm(x, x.shape[-1:], weight, eps)


def _rms_norm_linear(x, norm_weight, norm_bias, weight, bias, eps=1e-5):
  return functional.linear(_rms_norm(x, norm_weight, norm_bias, eps), weight, bias)


def _group_norm(x, weight, bias, eps, is_rms_norm, num_groups):
  assert not is_rms_norm
  rows = x.reshape(-1, x.shape[-1])
  return functional.group_norm(rows, num_groups, weight, bias, eps).reshape(x.shape)


def _rms_norm_gated(x, g, weight, bias, activation, eps):
  gate = torch.sigmoid(g) if activation == "sigmoid" else functional.silu(g)
  return _rms_norm(x, weight, bias, eps) * gate


def _l2_norm(x, eps=1e-6):
  return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + eps)


def _swiglu(gate, up):
  return functional.silu(gate) * up


def _swiglu_linear(gate, up, weight, bias):
  return functional.linear(_swiglu(gate, up), weight, bias)


def _token_shift(x, *_, **__):
  before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
  return before - x, x[:, -1:]


def _causal_conv1d(x, weight, bias=None, activation=None, **_):
  padded = functional.pad(x.mT, (weight.shape[-1] - 1, 0))
  y = functional.conv1d(padded, weight[:, None], bias, groups=len(weight)).mT
  return (functional.silu(y) if activation else y), None


def _conv_forward(self, x, *_, **__):
  return _causal_conv1d(x, self.weight.squeeze(1), self.bias, self.activation)


def _naive(module, name):
  return getattr(importlib.import_module(f"fla.ops.{module}.naive"), name)


def _rwkv7(r, w, k, v, a, b, **_):
  q = r * r.shape[-1] ** 0.5  # the naive rule scales it
  inputs = (x.transpose(1, 2) for x in (q, k, v, a, b, w))
  y, s = _naive("generalized_delta_rule.dplr", "dplr_recurrence")(*inputs)
  return y.transpose(1, 2), s


def _rwkv7_part(module, name):
  def call(*args):
    return getattr(importlib.import_module(f"fla.ops.rwkv7.{module}"), name)(*args)

  return call


def _gated_delta(q, k, v, g, beta, A_log, dt_bias, allow_neg_eigval, **_):
  g = -A_log.exp() * functional.softplus(g + dt_bias)
  beta = beta.sigmoid() * (2 if allow_neg_eigval else 1)
  group = v.shape[2] // q.shape[2]
  q, k = (_l2_norm(x).repeat_interleave(group, 2) for x in (q, k))
  rule = _naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")
  return rule(q, k, v, beta, g)


def _kda(q, k, v, g, beta, A_log, dt_bias, allow_neg_eigval, safe_gate, **_):
  assert not safe_gate
  g = functional.softplus(g + dt_bias.view(g.shape[2:])) * -A_log.exp()[:, None]
  beta = beta.sigmoid() * (2 if allow_neg_eigval else 1)
  rule = _naive("kda", "naive_recurrent_kda")
  return rule(_l2_norm(q), _l2_norm(k), v, g, beta)


def _delta(q, k, v, beta, use_qk_l2norm_in_kernel, **_):
  assert use_qk_l2norm_in_kernel
  q, k, v = (x.transpose(1, 2) for x in (_l2_norm(q), _l2_norm(k), v))
  rule = _naive("delta_rule", "delta_rule_recurrence")
  y, s = rule(q, k, v, beta.transpose(1, 2))
  return y.transpose(1, 2), s


def _gla(q, k, v, gk, **_):
  return _naive("gla", "naive_recurrent_gla")(q, k, v, gk)


def _retention(q, k, v, **_):
  q, k, v = (x.transpose(1, 2) for x in (q, k, v))
  return _naive("retention", "naive_retention")(q, k, v).transpose(1, 2), None


def _rotary(self, q, k, seqlen_offset=0, **_):
  """Turns the two halves of a head, from position 0 on."""
  assert seqlen_offset == 0 and self.scale is None and not self.interleaved
  i = torch.arange(0, q.shape[-1], 2) / q.shape[-1]
  angle = torch.arange(q.shape[1])[:, None, None] * self.base**-i  # [T, 1, K/2]
  cos, sin = angle.cos(), angle.sin()

  def turned(x):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

  return turned(q), turned(k)


def _rwkv6(r, k, v, w, u, scale, **_):
  rule = importlib.import_module("fla.ops.rwkv6.recurrent_naive").naive_recurrent_rwkv6
  y, s = rule(*(x.transpose(1, 2) for x in (r, k, v, w)), u, scale)
  return y.transpose(1, 2), s


def _shifted(x, *_, **__):
  return _token_shift(x)[0]


_SHARED = {
  "modules.norm.layernorm": {
    "layer_norm": _with_residual(_layer_norm),
    "rms_norm": _with_residual(_rms_norm),
    "group_norm": _with_residual(_group_norm),
  },
  "modules.norm.fused_norm_gate": {"rms_norm_gated": _with_residual(_rms_norm_gated)},
  "modules.mlp": {"swiglu": _swiglu, "swiglu_linear": _swiglu_linear},
}
_FORWARDS = {"ShortConvolution": _conv_forward, "RotaryEmbedding": _rotary}
_LAYERS = {
  "layers.rwkv7": {
    "chunk_rwkv7": _rwkv7,
    "l2_norm": _l2_norm,
    "token_shift": _token_shift,
    "fused_addcmul_rwkv7": _rwkv7_part("fused_addcmul", "torch_addcmul_rwkv7"),
    "fused_k_rwkv7": _rwkv7_part("fused_k_update", "k_update_ref"),
    "gate_output_correction": _rwkv7_part(
      "gate_output_correction", "gate_output_correction_ref"
    ),
  },
  "models.rwkv7.modeling_rwkv7": {"token_shift": _token_shift},
  "layers.gated_deltanet": {
    "chunk_gated_delta_rule": _gated_delta,
    "causal_conv1d": _causal_conv1d,
  },
  "layers.kda": {"chunk_kda": _kda},
  "layers.delta_net": {
    "chunk_delta_rule": _delta,
    "fused_recurrent_delta_rule": _delta,
  },
  "layers.multiscale_retention": {"chunk_retention": _retention},
  "layers.rwkv6": {
    "fused_recurrent_rwkv6": _rwkv6,
    "token_shift": _shifted,
    "ACT2FN": {"swish": functional.silu},
  },
  "models.rwkv6.modeling_rwkv6": {"token_shift": _shifted},
  "layers.gla": {"fused_recurrent_gla": _gla},
  "layers.hgrn2": {
    "fused_recurrent_gla": _gla,
    "swish": functional.silu,
    "rms_norm_linear": _rms_norm_linear,
  },
}
