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
  bias: Float[Array, " V"] | None = None,
) -> Float[Array, "B T"]:
  """Returns -log softmax(x_t table^T)[target_t], chunk by chunk over time.

  Cost: T V D multiplies a row, twice in the reverse pass, which computes the logits of
  a chunk again; [B, C, V] logits are all that ever exists.

  Args:
    x: the features that the head reads.
    table: one row for each token of the vocabulary; it is cast to the dtype of x.
    targets: ids in 0 .. V - 1.
    chunk_size: tokens of a chunk, C >= 1; T need not be a multiple.
    smoothing: s in [0, 1): the target has 1 - s of the probability, and all V share s
      alike (Szegedy et al. 2015, arXiv:1512.00567).
    logit_cap: see `capped`.
    bias: added to the logits of every token.

  Returns:
    Nats for every token, at least float32.

  Raises:
    ValueError: if chunk_size < 1.

  Source: Chen et al. 2016, arXiv:1604.06174 (computing again), applied to the head.
  """
  scan.check_chunk_size(chunk_size)
  length = x.shape[1]
  size = min(chunk_size, length)
  table = table.astype(x.dtype)  # [V, D]: both operands narrow, the sum is wide

  # without it the loop would keep the logits of every chunk, [B, T, V] in all
  @jax.checkpoint
  def nats(x, targets):
    """The loss of a chunk, [B, C]."""
    logits = einsum("btd,vd->btv", x, table, scan.state_dtype(x.dtype))  # [B, C, V]
    logits = logits if bias is None else logits + bias.astype(logits.dtype)
    logits = capped(logits, logit_cap)
    correct = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    if smoothing:
      # the weights of the log probabilities sum to 1, so logsumexp is subtracted once
      correct = (1 - smoothing) * correct + smoothing * logits.mean(-1)
    return jax.nn.logsumexp(logits, axis=-1) - correct  # [B, C]

  chunks = (scan.to_chunks(x, size), scan.to_chunks(targets, size))  # [T/C, B, C, ...]
  return scan.from_chunks(jax.lax.map(lambda xs: nats(*xs), chunks), length)


def capped(logits: Float[Array, "..."], cap: float) -> Float[Array, "..."]:
  """Bounds logits smoothly: cap tanh(logits / cap).

  Args:
    logits: of any shape.
    cap: the bound; 0 leaves the logits as they are.

  Source: Gemma Team 2024, arXiv:2408.00118, section 2.
  """
  return cap * jnp.tanh(logits / cap) if cap else logits
