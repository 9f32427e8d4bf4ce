"""Texts to vectors of unit norm: an encoder that learns which texts belong together."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.models import Batch
from jaxmem.models.encoder import NEVER, EncoderModel

# The vectors of both texts of each row.
Pairs = tuple[Float[Array, "B D"], Float[Array, "B D"]]


class TextEmbedder(EncoderModel):
  """A vector for each text, near that of the text which belongs to it.

      model = TextEmbedder(minilm.config())
      vectors = model.apply({"params": minilm.read()}, batch, method="embed")

  A batch has the texts of `models.encoder.Encoder`, and

      other, other_length  int32 [B, T], [B]  the text that belongs to each
      group, other_group   int32 [B]          rows that share one are no negatives
      weights              float32 [B]        of each loss; 0 is padding, no negative

  Attributes:
    config: of the encoder.
    temperature: of the similarities in the loss, > 0.
  """

  temperature: float = 0.05

  def embed(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B D"]:
    """A vector of unit norm for each text."""
    x = self.encoder.vector(batch, deterministic)
    # the root of a clipped square: that of a norm has no gradient at a vector of zeros
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.maximum(square, 1e-24))

  @property
  def across_rows(self) -> bool:
    """The loss of a row reads other rows; see `models.TrainableModel`."""
    return True

  def by_row(self, batch: Batch, deterministic: bool = True) -> Pairs:
    """The vectors of both texts of each row."""
    other = {"tokens": batch["other"], "length": batch["other_length"]}
    return self.embed(batch, deterministic), self.embed(other, deterministic)

  @nn.nowrap  # it has no parameters
  def nats_across(self, vectors: Pairs, batch: Batch) -> Float[Array, " B"]:
    """Nats of each row of a whole batch, from the vectors of all."""
    return info_nce(*vectors, batch, self.temperature)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Nats of finding the text that belongs to each row among those of the batch."""
    return self.nats_across(self.by_row(batch, deterministic), batch), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
    batch = super().example(batch_size, length)
    row = batch["length"]
    groups = {"group": row, "other_group": row}
    return batch | groups | {"other": batch["tokens"], "other_length": row}


def info_nce(
  a: Float[Array, "B D"], b: Float[Array, "B D"], batch: Batch, temperature: float
) -> Float[Array, " B"]:
  """InfoNCE with in-batch negatives, both ways, their mean.

      -log softmax_j(a_i . b_j / t)_i / 2 - log softmax_j(b_i . a_j / t)_i / 2

  Args:
    a: vectors of unit norm, float32.
    b: likewise, of the text that belongs to each.
    batch: "group" and "other_group": rows that share one are no negatives; "weights".
    temperature: t > 0.

  Source: van den Oord et al. 2018, arXiv:1807.03748.
  """
  positive, negative = jnp.eye(len(a), dtype=bool), batch["weights"] > 0
  for group in (batch["group"], batch["other_group"]):
    negative &= group[:, None] != group
  scores = jnp.matmul(a, b.T, precision="highest") / temperature
  both = [jnp.where(positive | negative, s, NEVER) for s in (scores, scores.T)]
  return sum(-jnp.diagonal(jax.nn.log_softmax(s)) for s in both) / 2
