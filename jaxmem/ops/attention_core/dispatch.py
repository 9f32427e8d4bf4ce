"""Which code computes a softmax: cuDNN on NVIDIA GPUs, splash on TPUs, or our blocks.

Each backend says why it refuses a call, by what is known when the call is traced. What
only the running program knows (whether the memory is empty, where documents begin) is
asked there, and our blocks take what the backend cannot: the answer is always the same.

Source: `jax.nn.dot_product_attention` (cuDNN's fused attention); splash attention in
`jax.experimental.pallas.ops.tpu`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmem.ops.attention_core import engine
from jaxmem.ops.attention_core.masks import Both, Causal, Document, Mask, Window
from jaxmem.ops.attention_core.scores import Params
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import scan


class Backend(NamedTuple):
  """A way to compute a call whose memory is empty.

  Attributes:
    refuses: `(spec, q, k, v) -> why it cannot`, None if it can; of the arrays it looks
      at shapes and dtypes alone.
    can: of the call's tokens, whether the documents are such that it can.
    run: `(spec, q, k, v, tokens) -> y`.
  """

  refuses: Callable[[AttentionSpec, Array, Array, Array], str | None]
  can: Callable[[Tokens], Bool[Array, ""]]
  run: Callable[[AttentionSpec, Array, Array, Array, Tokens], Float[Array, "B T A V"]]


class LibraryMask(NamedTuple):
  """A mask as other libraries describe it.

  Attributes:
    causal: whether a query sees nothing after it.
    window: how many tokens it sees, itself included; None is without end.
  """

  causal: bool
  window: int | None


def library_mask(mask: Mask, length: int) -> LibraryMask | None:
  """What a mask is for a document of `length` tokens; None if others do not know it."""
  if isinstance(mask, Document | Causal):
    return LibraryMask(isinstance(mask, Causal), None)
  if isinstance(mask, Both):
    pair = sorted((mask.a, mask.b), key=lambda m: type(m).__name__)
    if [type(m) for m in pair] == [Causal, Window]:
      size = pair[1].size
      return LibraryMask(True, None if size >= length else size)
  return None


# Their names before 0.2.
Sight, sight = LibraryMask, library_mask


def _device() -> jax.Device:
  device = jax.config.jax_default_device
  return device if isinstance(device, jax.Device) else jax.devices(device)[0]


def _common(spec: AttentionSpec, q: Array, k: Array, v: Array) -> str | None:
  """Why neither of the other libraries can."""
  if spec.scores.bias is not None:
    return "it knows no bias that is a function of distance"
  if spec.with_lse or spec.scores.sink:
    return "the softmax has other members, for which its denominator is needed"
  if library_mask(spec.mask, q.shape[1]) is None:
    return f"it has no word for the mask {spec.mask}"
  if not q.dtype == k.dtype == v.dtype:
    return f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}"
  if q.shape[-1] != v.shape[-1]:
    return f"keys are of {q.shape[-1]} numbers, values of {v.shape[-1]}"
  return None


def _cudnn_refuses(spec: AttentionSpec, q: Array, k: Array, v: Array) -> str | None:
  device = _device()
  if device.platform != "gpu" or "cuda" not in device.client.platform_version:
    return f"it needs an NVIDIA GPU, this is {device.device_kind}"
  capability = float(device.compute_capability)
  if capability < 8:
    return f"it needs compute capability 8.0, this has {capability}"
  if q.dtype not in (jnp.bfloat16, jnp.float16):
    return f"it needs bfloat16 or float16, not {q.dtype}"
  size, most = q.shape[-1], 256 if capability >= 9 else 128
  if size % 8 or size > most:
    return f"head_dim {size} is no multiple of 8 up to {most}"
  if spec.scores.cap is not None:
    return "it does not cap scores"
  return _common(spec, q, k, v)


def _cudnn(spec: AttentionSpec, q: Array, k: Array, v: Array, tokens: Tokens) -> Array:
  return by_jax(spec, q, k, v, "cudnn")


def by_jax(
  spec: AttentionSpec, q: Array, k: Array, v: Array, implementation: str
) -> Float[Array, "B T A V"]:
  """The call as JAX's own function takes it."""
  causal, window = library_mask(spec.mask, q.shape[1])
  return jax.nn.dot_product_attention(
    q,
    k,
    v,
    scale=spec.scores.factor(q),
    is_causal=causal,
    # JAX counts the tokens before the query, we count the query too
    local_window_size=None if window is None else (window - 1, 0),
    implementation=implementation,
  )


# Splash walks over tiles of this many tokens at least.
_TILE = 128


def _splash_refuses(spec: AttentionSpec, q: Array, k: Array, v: Array) -> str | None:
  device = _device()
  if device.platform != "tpu":
    return f"it needs a TPU, this is {device.device_kind}"
  if jax.sharding.get_abstract_mesh().size > 1:
    return "the compiler does not spread its kernel over the devices of a mesh"
  if q.dtype != jnp.bfloat16:  # of float32 it multiplies but the upper half
    return f"it needs bfloat16, not {q.dtype}"
  if q.shape[-1] % 16:
    return f"head_dim {q.shape[-1]} is no multiple of 16"
  if q.shape[1] % _TILE:
    return f"{q.shape[1]} tokens are no multiple of {_TILE}"
  return _common(spec, q, k, v)


def _splash(
  spec: AttentionSpec,
  q: Array,
  k: Array,
  v: Array,
  tokens: Tokens,
  interpret: bool = False,
) -> Array:
  # heavy, and of no use but on a TPU
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  length, heads = q.shape[1:3]
  causal, window = library_mask(spec.mask, length)
  shape = length, length
  if window is not None:
    mask = splash.LocalMask(shape, (window - 1, 0), offset=0)
  else:
    mask = splash.CausalMask(shape) if causal else splash.FullMask(shape)
  tile = next(n for n in (512, 256, _TILE) if length % n == 0)
  kernel = splash.make_splash_mha(
    splash.MultiHeadMask([mask] * heads),
    block_sizes=splash.BlockSizes(*[tile] * 8),
    attn_logits_soft_cap=spec.scores.cap,
    head_shards=1,
    q_seq_shards=1,
    interpret=interpret,
  )
  q = (spec.scores.factor(q) * q).astype(q.dtype)
  q, k, v = (jnp.moveaxis(a, 1, 2) for a in (q, k, v))  # [B, A or H, T, .]
  segments = splash.SegmentIds(tokens.start, tokens.start)
  return jnp.moveaxis(jax.vmap(kernel)(q, k, v, segments), 1, 2)


CUDNN = Backend(_cudnn_refuses, lambda tokens: (tokens.start == 0).all(), _cudnn)
SPLASH = Backend(_splash_refuses, lambda tokens: (tokens.start >= 0).all(), _splash)

# In the order in which "auto" asks; our blocks refuse nothing.
BACKENDS = {"cudnn": CUDNN, "splash": SPLASH, "xla": None}


def choose(
  spec: AttentionSpec, q: Array, k: Array, v: Array, sharded: bool = False
) -> Backend | None:
  """The backend for a call; None for our blocks.

  Args:
    spec: its `implementation` is a key of BACKENDS, or "auto" for the first that does
      not refuse.
    q: [B, T, A, K]; of it and the next two shape and dtype are looked at.
    k: [B, T, H, K].
    v: [B, T, H, V].
    sharded: whether devices share the time of the call.

  Raises:
    ValueError: if there is no such backend, or it refuses; says why each does.
  """
  name = spec.implementation
  if name not in ("auto", *BACKENDS):
    names = ", ".join(["auto", *BACKENDS])
    raise ValueError(f"implementation {name!r}: it is one of {names}")
  libraries = {other: b for other, b in BACKENDS.items() if b is not None}
  if sharded:
    reasons = dict.fromkeys(libraries, "devices share the time of the call")
  else:
    reasons = {other: b.refuses(spec, q, k, v) for other, b in libraries.items()}
  if name == "auto":
    return next((b for other, b in libraries.items() if reasons[other] is None), None)
  if reasons.get(name):
    each = "; ".join(f"{other}: {why or 'can'}" for other, why in reasons.items())
    raise ValueError(f"implementation {name!r} refuses. {each}; xla: can")
  return BACKENDS[name]


def attend(
  spec: AttentionSpec, params: Params, q: Array, kv: tuple, tokens: Tokens
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """A call that reads its own tokens and no memory, by the backend that can.

  Args:
    spec: see `choose`.
    params: of the scores.
    q: [B, T, A, K].
    kv: keys and values of the same tokens.
    tokens: where they lie.

  Returns:
    y, and the log of the denominator, which may be NaN unless `spec.with_lse`.
  """
  backend = choose(spec, q, *kv)
  if backend is None:
    return engine.attend(spec, params, q, kv, tokens, tokens)
  blocks = functools.partial(engine.attend, spec, params, q, kv, tokens, tokens)
  return run(backend, spec, q, kv, tokens, blocks)


def run(
  backend: Backend,
  spec: AttentionSpec,
  q: Array,
  kv: tuple,
  tokens: Tokens,
  blocks: Callable[[], tuple],
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """The backend where the call's documents are such that it can, else `blocks`.

  Args:
    backend: one that does not refuse the call.
    spec: of the call.
    q: [B, T, A, K].
    kv: keys and values of the same tokens.
    tokens: where they lie; who starts before position 0 has a memory.
    blocks: y and the log of the denominator, memory included, by our blocks.
  """

  def library():
    lse = jnp.full(q.shape[:-1], jnp.nan, scan.state_dtype(q.dtype))  # it gives none
    return backend.run(spec, q, *kv[:2], tokens), lse

  # what only the running program knows: so a branch, and both are compiled
  return jax.lax.cond(backend.can(tokens), library, blocks)
