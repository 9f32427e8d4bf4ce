"""Whole layers around delta rules against those of transformers."""

import importlib
import inspect
from unittest import mock

import jax
from flax.core import meta

from jaxmem import mixers

from .harness import RESET, Case, by_document, shapes

D, HEADS, DIM, WRITES = 16, 2, 8, 2
# Qwen3-Next's: each head of queries and keys serves two of values.
GROUPED = {"num_heads": 2 * HEADS, "num_key_heads": HEADS, "key_dim": DIM}
QWEN = "transformers.models.qwen3_next.modeling_qwen3_next"
KIMI = "transformers.models.kimi_linear.modeling_kimi_linear"


class _Cache:
  """The state of a transformers layer: the convolution's inputs and the matrices."""

  def __init__(self, past, s):
    self.past, self.s = past.mT, s

  def get_conv_state(self, *_, **__):
    return self.past

  def update_conv_state(self, new, *_, **__):
    torch = importlib.import_module("torch")
    padded = torch.cat([self.past, new], dim=-1)
    self.past = padded[..., -self.past.shape[-1] :]
    return padded

  def get_recurrent_state(self, *_, **__):
    return self.s

  def update_recurrent_state(self, s, *_, **__):
    self.s = s


def _plain(package, names):
  """Returns the torch functions that transformers may replace by kernels."""
  return {name: inspect.unwrap(getattr(package, name)) for name in names}


def _transformers(module, layer, config, rules, weights):
  def load():
    package = importlib.import_module(module)
    torch = importlib.import_module("torch")
    plain = _plain(package, ("causal_conv1d_fn", *rules))
    peer = getattr(package, layer)(config(package), 0)

    def run(params, inputs, state):
      cache = _Cache(*state)
      named, options = weights(params), {"cache_params": cache}
      with mock.patch.multiple(package, **plain):
        y = torch.func.functional_call(peer, named, inputs, options)
      return y, (cache.past.mT, cache.s)

    return by_document(run)

  return load


def _qwen_config(package):
  heads = {"linear_num_key_heads": HEADS, "linear_num_value_heads": 2 * HEADS}
  dims = {"linear_key_head_dim": DIM, "linear_value_head_dim": DIM}
  return package.Qwen3NextConfig(hidden_size=D, rms_norm_eps=1e-6, **heads, **dims)


def _kimi_config(package):
  sizes = {"linear_num_heads": HEADS, "linear_head_dim": DIM}
  return package.KimiLinearConfig(
    hidden_size=D,
    rms_norm_eps=1e-6,
    layer_types=["linear_attention"],
    num_hidden_layers=1,
    **sizes,
  )


def flat(kernel):
  """Converts [D, ...] to the weight of torch's Linear, [..., D]."""
  return kernel.flatten(1).T


def _shared(p):
  """Returns the taps, the three parts of q, k and v, and the output's weight."""
  taps = p["conv"]["taps"].flip(0).T[:, None]
  keys, qkv = HEADS * DIM, p["qkv"]["kernel"]
  parts = qkv.split([keys, keys, qkv.shape[1] - 2 * keys], dim=1)
  return taps, parts, p["out"]["kernel"].flatten(0, 1).T


def _qwen_weights(params):
  torch = importlib.import_module("torch")
  p = params["params"]
  taps, parts, out = _shared(p)

  def by_key_head(*kernels):
    """Puts what belongs to a head of queries and keys side by side."""
    apart = (a.flatten(1).unflatten(1, (HEADS, -1)) for a in kernels)
    return torch.cat([*apart], dim=-1)

  mixed = by_key_head(*parts, p["gate"]["kernel"])
  small = by_key_head(p["write"]["kernel"], p["decay"]["kernel"])
  return {
    "in_proj_qkvz.weight": flat(mixed),
    "in_proj_ba.weight": flat(small),
    "conv1d.weight": taps,
    "A_log": p["rate"],
    "dt_bias": p["step"],
    "norm.weight": p["norm"]["scale"],
    "out_proj.weight": out,
  }


def _kimi_weights(params):
  p = params["params"]
  taps, parts, out = _shared(p)
  qkv = {f"{n}_proj.weight": a.T for n, a in zip("qkv", parts, strict=True)}
  return qkv | {
    "conv1d.weight": taps,
    "forget_gate.f_a_proj.weight": p["decay_in"]["kernel"].T,
    "forget_gate.f_b_proj.weight": flat(p["decay"]["kernel"]),
    "forget_gate.A_log": p["rate"][None, None, :, None],
    "forget_gate.dt_bias": p["step"].flatten(),
    "b_proj.weight": p["write"]["kernel"].T,
    "g_a_proj.weight": p["gate_in"]["kernel"].T,
    "g_b_proj.weight": flat(p["gate"]["kernel"]),
    "o_norm.weight": p["norm"]["scale"],
    "o_proj.weight": out,
  }


def _prepare(params, inputs, state):
  """Makes weights small, and those that multiply channels close to 1."""

  def legal(path, a):
    around_one = path[-1].key in ("scale", "removed", "replaced")
    return 0.3 * a + (1 if around_one else 0)

  return jax.tree_util.tree_map_with_path(legal, params), inputs, state


def layer_case(name, peer, module, theirs, **options):
  mixer = mixers.get(name).Mixer(D, **{"num_heads": HEADS} | options)
  x = jax.ShapeDtypeStruct((1, 4, D), "float32")
  state = jax.eval_shape(lambda: mixer.init_state(1))
  params = meta.unbox(jax.eval_shape(mixer.init, jax.random.key(0), x, state))
  leaves, tree = jax.tree.flatten(state)

  def form(**how):
    def run(params, inputs, state):
      state = jax.tree.unflatten(tree, state)
      y, state = mixer.clone(**how).apply(params, *inputs, state, RESET)
      return y, tuple(jax.tree.leaves(state))

    return run

  of = jax.tree.map(lambda a: a.shape, params)
  return Case(
    f"{name} layer",
    peer,
    module,
    shapes(of, ((D,),), [a.shape[1:] for a in leaves]),
    {
      "recurrent": form(form="recurrent"),
      "chunk": form(form="chunk"),
      "chunk of 16": form(form="chunk", chunk_size=16),
    },
    theirs,
    _prepare,
  )


CASES = [
  layer_case(
    "gated_delta",
    "transformers Qwen3NextGatedDeltaNet",
    QWEN,
    _transformers(
      QWEN,
      "Qwen3NextGatedDeltaNet",
      _qwen_config,
      ("torch_chunk_gated_delta_rule",),
      _qwen_weights,
    ),
    **GROUPED,
  ),
  layer_case(
    "kda",
    "transformers KimiLinearDeltaAttention",
    KIMI,
    _transformers(
      KIMI,
      "KimiLinearDeltaAttention",
      _kimi_config,
      ("chunk_kimi_delta_attention",),
      _kimi_weights,
    ),
  ),
]
