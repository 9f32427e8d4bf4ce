"""What an encoder's heads learn, as functions of what they say of a batch.

A batch is that of `models.encoder.Encoder`. All are float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Batch = dict[str, Any]
# Of what cannot be chosen: a softmax of it is 0, and its gradient is finite.
NEVER = -1e9


def pool(
  x: Float[Array, "B N W D"], mask: Bool[Array, "B N W"], kind: str
) -> Float[Array, "B N D"]:
  """A vector for every window, 0 for one of padding.

  Args:
    x: features of the tokens.
    mask: which tokens are no padding.
    kind: "mean" or "max" over them, or "first".
  """
  some = mask[..., None]
  if kind == "first":
    return jnp.where(some, x, 0)[:, :, 0]
  if kind == "max":
    return jnp.where(some.any(2), jnp.where(some, x, NEVER).max(2), 0)
  count = jnp.maximum(some.sum(2), 1).astype(x.dtype)
  return jnp.where(some, x, 0).sum(2) / count


def label_nats(
  logits: Float[Array, "B C"], batch: Batch, smoothing: float
) -> Float[Array, " B"]:
  """Of the right class, smoothed.

      (1 - s) -log p(label) + s mean over the row's choices of -log p

  Args:
    logits: of the classes.
    batch: "label" and "choices".
    smoothing: s, in [0, 1).

  Source: Szegedy et al. 2015, arXiv:1512.00567.
  """
  logp = jax.nn.log_softmax(logits)
  right = -jnp.take_along_axis(logp, batch["label"][:, None], 1)[:, 0]
  if not smoothing:
    return right
  choices = batch["choices"].astype(logp.dtype)
  every = -jnp.where(batch["choices"], logp, 0).sum(-1) / choices.sum(-1)
  return (1 - smoothing) * right + smoothing * every


def span_nats(logits: Float[Array, "B T 2"], batch: Batch) -> Float[Array, " B"]:
  """Of the first and the last token of the answer, their mean.

  Args:
    logits: of where an answer begins and ends.
    batch: "first" and "last".

  Source: Devlin et al. 2018, arXiv:1810.04805.
  """
  logp = jax.nn.log_softmax(logits, axis=1)
  right = jnp.stack([batch["first"], batch["last"]], -1)[:, None]
  return -jnp.take_along_axis(logp, right, 1)[:, 0].mean(-1)


def pair_nats(
  a: Float[Array, "B D"], b: Float[Array, "B D"], batch: Batch, temperature: float
) -> Float[Array, " B"]:
  """InfoNCE, both ways: a text must find its own among the others, and be found by it.

  Args:
    a: vectors of length 1.
    b: likewise, of the text that belongs to each.
    batch: "group" and "other_group": rows that share one are no rivals; "weights".
    temperature: of the similarities, > 0.

  Source: van den Oord et al. 2018, arXiv:1807.03748.
  """
  own, rival = jnp.eye(len(a), dtype=bool), batch["weights"] > 0  # padding is none
  for group in (batch["group"], batch["other_group"]):
    rival &= group[:, None] != group
  scores = jnp.matmul(a, b.T, precision="highest") / temperature
  ways = [jnp.where(own | rival, s, NEVER) for s in (scores, scores.T)]
  return sum(-jnp.diagonal(jax.nn.log_softmax(s)) for s in ways) / 2
