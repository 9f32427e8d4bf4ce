"""Which code computes a softmax: cuDNN on NVIDIA GPUs, splash on TPUs, or our blocks.

Each backend says why it refuses a call, by what is known when the call is traced. What
only the running program knows (whether the memory is empty, where documents begin) is
asked there, and our blocks take what the backend cannot: the answer is always the same.

Source: `jax.nn.dot_product_attention` (cuDNN's fused attention); splash attention in
`jax.experimental.pallas.ops.tpu`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmem.ops.attention_core.masks import Both, Causal, Document, Mask, Window
from jaxmem.ops.attention_core.scores import Scores
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import scan


class Ask(NamedTuple):
  """What is known of a call when it is traced.

  Attributes:
    q: [B, T, A, K]; it and the next two are asked for shape and dtype alone.
    k: [B, T, H, K].
    v: [B, T, H, V].
    mask: who sees whom in a document.
    score: what the softmax is of.
    merged: whether its denominator is asked for, to share it with other keys.
    cut: whether devices share the time of the call.
  """

  q: Array
  k: Array
  v: Array
  mask: Mask
  score: Scores
  merged: bool
  cut: bool


class Backend(NamedTuple):
  """A way to compute a call whose memory is empty.

  Attributes:
    refuses: why it cannot; None if it can.
    can: of the call's tokens, whether the documents are such that it can.
    run: y.
  """

  refuses: Callable[[Ask], str | None]
  can: Callable[[Tokens], Bool[Array, ""]]
  run: Callable[[Ask, Tokens], Float[Array, "B T A V"]]


class Sight(NamedTuple):
  """A mask in the words of other libraries: `window` None sees without end."""

  causal: bool
  window: int | None


def sight(mask: Mask, length: int) -> Sight | None:
  """What a mask is for a document of `length` tokens; None if others have no word."""
  if isinstance(mask, Document | Causal):
    return Sight(isinstance(mask, Causal), None)
  if isinstance(mask, Both):
    pair = sorted((mask.a, mask.b), key=lambda m: type(m).__name__)
    if [type(m) for m in pair] == [Causal, Window]:
      size = pair[1].size
      return Sight(True, None if size >= length else size)
  return None


def _device() -> jax.Device:
  device = jax.config.jax_default_device
  return device if isinstance(device, jax.Device) else jax.devices(device)[0]


def _common(ask: Ask) -> str | None:
  """Why neither of the others' libraries can."""
  if ask.cut:
    return "devices share the time of the call"
  if ask.score.bias is not None:
    return "it knows no bias that is a function of distance"
  if ask.merged:
    return "the softmax has other members, for which its denominator is needed"
  if sight(ask.mask, ask.q.shape[1]) is None:
    return f"it has no word for the mask {ask.mask}"
  if not ask.q.dtype == ask.k.dtype == ask.v.dtype:
    return f"q, k and v are {ask.q.dtype}, {ask.k.dtype} and {ask.v.dtype}"
  if ask.q.shape[-1] != ask.v.shape[-1]:
    return f"keys are of {ask.q.shape[-1]} numbers, values of {ask.v.shape[-1]}"
  return None


def _cudnn_refuses(ask: Ask) -> str | None:
  device = _device()
  if device.platform != "gpu" or "cuda" not in device.client.platform_version:
    return f"it needs an NVIDIA GPU, this is {device.device_kind}"
  capability = float(device.compute_capability)
  if capability < 8:
    return f"it needs compute capability 8.0, this has {capability}"
  if ask.q.dtype not in (jnp.bfloat16, jnp.float16):
    return f"it needs bfloat16 or float16, not {ask.q.dtype}"
  size, most = ask.q.shape[-1], 256 if capability >= 9 else 128
  if size % 8 or size > most:
    return f"head_dim {size} is no multiple of 8 up to {most}"
  if ask.score.cap is not None:
    return "it does not cap scores"
  return _common(ask)


def _cudnn(ask: Ask, tokens: Tokens) -> Array:
  return by_jax(ask, "cudnn")


def by_jax(ask: Ask, implementation: str) -> Float[Array, "B T A V"]:
  """The call as JAX's own function takes it."""
  causal, window = sight(ask.mask, ask.q.shape[1])
  return jax.nn.dot_product_attention(
    ask.q,
    ask.k,
    ask.v,
    scale=ask.score.factor(ask.q),
    is_causal=causal,
    # JAX counts the tokens before the query, we count the query too
    local_window_size=None if window is None else (window - 1, 0),
    implementation=implementation,
  )


# Splash walks over tiles of this many tokens at least.
_TILE = 128


def _splash_refuses(ask: Ask) -> str | None:
  device = _device()
  if device.platform != "tpu":
    return f"it needs a TPU, this is {device.device_kind}"
  if jax.sharding.get_abstract_mesh().size > 1:
    return "the compiler does not spread its kernel over the devices of a mesh"
  if ask.q.dtype != jnp.bfloat16:  # of float32 it multiplies but the upper half
    return f"it needs bfloat16, not {ask.q.dtype}"
  if ask.q.shape[-1] % 16:
    return f"head_dim {ask.q.shape[-1]} is no multiple of 16"
  if ask.q.shape[1] % _TILE:
    return f"{ask.q.shape[1]} tokens are no multiple of {_TILE}"
  return _common(ask)


def _splash(ask: Ask, tokens: Tokens, interpret: bool = False) -> Array:
  # heavy, and of no use but on a TPU
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  length, heads = ask.q.shape[1:3]
  causal, window = sight(ask.mask, length)
  shape = length, length
  if window is not None:
    mask = splash.LocalMask(shape, (window - 1, 0), offset=0)
  else:
    mask = splash.CausalMask(shape) if causal else splash.FullMask(shape)
  tile = next(n for n in (512, 256, _TILE) if length % n == 0)
  kernel = splash.make_splash_mha(
    splash.MultiHeadMask([mask] * heads),
    block_sizes=splash.BlockSizes(*[tile] * 8),
    attn_logits_soft_cap=ask.score.cap,
    head_shards=1,
    q_seq_shards=1,
    interpret=interpret,
  )
  first = lambda a: jnp.moveaxis(a, 1, 2)
  q = (ask.score.factor(ask.q) * ask.q).astype(ask.q.dtype)
  segments = splash.SegmentIds(tokens.start, tokens.start)
  return first(jax.vmap(kernel)(first(q), first(ask.k), first(ask.v), segments))


CUDNN = Backend(_cudnn_refuses, lambda tokens: (tokens.start == 0).all(), _cudnn)
SPLASH = Backend(_splash_refuses, lambda tokens: (tokens.start >= 0).all(), _splash)

# In the order in which "auto" asks; our blocks refuse nothing.
BACKENDS = {"cudnn": CUDNN, "splash": SPLASH, "xla": None}


def choose(implementation: str, ask: Ask) -> Backend | None:
  """The backend for a call; None for our blocks.

  Args:
    implementation: a key of BACKENDS, or "auto" for the first that does not refuse.
    ask: the call.

  Raises:
    ValueError: if there is no such backend, or it refuses; says why each does.
  """
  if implementation not in ("auto", *BACKENDS):
    known = ", ".join(["auto", *BACKENDS])
    raise ValueError(f"implementation {implementation!r}: it is one of {known}")
  why = {name: b.refuses(ask) for name, b in BACKENDS.items() if b is not None}
  if implementation == "auto":
    return next((BACKENDS[name] for name in why if why[name] is None), None)
  if why.get(implementation):
    each = "; ".join(f"{name}: {text or 'can'}" for name, text in why.items())
    raise ValueError(f"implementation {implementation!r} refuses. {each}; xla: can")
  return BACKENDS[implementation]


def attend(
  implementation: str, ask: Ask, tokens: Tokens, blocks: Callable[[], tuple]
) -> tuple[Float[Array, "B T A V"], Float[Array, "B T A"]]:
  """y, and the log of the denominator where `ask.merged`; else that may be NaN.

  Args:
    implementation: see `choose`.
    ask: a call that reads its own tokens.
    tokens: where they lie; who starts before place 0 has a memory.
    blocks: y and the log of the denominator, memory included, by our blocks.
  """
  backend = choose(implementation, ask)
  if backend is None:
    return blocks()

  def other():
    dtype = scan.state_dtype(ask.q.dtype)
    return backend.run(ask, tokens), jnp.full(ask.q.shape[:-1], jnp.nan, dtype)

  return jax.lax.cond(backend.can(tokens), other, blocks)
