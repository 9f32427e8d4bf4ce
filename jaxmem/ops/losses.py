"""The loss of a language model without its logits."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.ops.recurrence import scan
from jaxmem.ops.recurrence.precision import einsum


def chunked_cross_entropy(
  x: Float[Array, "B T D"],
  table: Float[Array, "V D"],
  targets: Int[Array, "B T"],
  *,
  chunk_size: int = 512,
  smoothing: float = 0.0,
  logit_cap: float = 0.0,
) -> Float[Array, "B T"]:
  """-log softmax(x_t table^T)[target_t], chunk by chunk over time.

  Cost: T V D multiplies a row, twice in the reverse pass, which computes the logits of
  a chunk again; [B, C, V] logits are all that ever exists.

  Args:
    x: what the head reads.
    table: one row a token of the vocabulary.
    targets: ids in 0 .. V - 1.
    chunk_size: tokens of a chunk, C >= 1; T need not be a multiple.
    smoothing: s in [0, 1): the target has 1 - s of the probability, and all V share s
      alike (Szegedy et al. 2015, arXiv:1512.00567).
    logit_cap: see `capped`.

  Returns:
    Nats for every token, at least float32.

  Raises:
    ValueError: if chunk_size < 1.

  Source: Chen et al. 2016, arXiv:1604.06174 (computing again), applied to the head.
  """
  scan.check_chunk_size(chunk_size)
  length = x.shape[1]
  size = min(chunk_size, length)
  table = table.astype(x.dtype)

  @jax.checkpoint
  def nats(x, targets):
    logits = einsum("btd,vd->btv", x, table, scan.state_dtype(x.dtype))
    logits = capped(logits, logit_cap)
    right = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    if smoothing:
      right = (1 - smoothing) * right + smoothing * logits.mean(-1)
    return jax.nn.logsumexp(logits, axis=-1) - right

  chunks = (scan.to_chunks(x, size), scan.to_chunks(targets, size))
  return scan.from_chunks(jax.lax.map(lambda xs: nats(*xs), chunks), length)


def capped(logits: Float[Array, "..."], cap: float) -> Float[Array, "..."]:
  """cap tanh(logits / cap): bounded smoothly; 0 leaves them.

  Source: Gemma Team 2024, arXiv:2408.00118, section 2.
  """
  return cap * jnp.tanh(logits / cap) if cap else logits
