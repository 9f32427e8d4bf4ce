"""An encoder of texts to vectors of unit norm, near for texts that form a pair."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.models import Batch
from jaxmem.models.encoder import NEVER, EncoderModel

# The vectors of the two texts of each row.
Pairs = tuple[Float[Array, "B D"], Float[Array, "B D"]]


class TextEmbedder(EncoderModel):
  """Maps each text to a vector near that of its partner, the other text of its pair.

      model = TextEmbedder(minilm.config())
      vectors = model.apply({"params": minilm.read()}, batch, method="embed")

  A batch has the texts of `models.encoder.Encoder`, and

      other, other_length  int32 [B, T], [B]  the partner of each text
      group, other_group   int32 [B]          rows that share one are no negatives
      weights              float32 [B]        how much each row's loss counts; rows of
                                              weight 0 are padding and no negatives

  Attributes:
    config: the encoder's config.
    temperature: the temperature of the similarities in the loss, > 0.
  """

  temperature: float = 0.05

  def embed(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B D"]:
    """Returns a vector of unit norm for each text; a vector of zeros stays zero."""
    x = self.encoder.vector(batch, deterministic)  # [B, D]
    # clips before the root, whose gradient at a vector of zeros would be infinite
    square = jnp.sum(x * x, axis=-1, keepdims=True)  # [B, 1]
    return x / jnp.sqrt(jnp.maximum(square, 1e-24))

  @property
  def across_rows(self) -> bool:
    """Whether the loss of a row reads other rows; see `models.TrainableModel`."""
    return True

  def by_row(self, batch: Batch, deterministic: bool = True) -> Pairs:
    """Returns the vectors of the two texts of each row."""
    other = {"tokens": batch["other"], "length": batch["other_length"]}
    return self.embed(batch, deterministic), self.embed(other, deterministic)

  @nn.nowrap  # it has no parameters
  def nats_across(self, vectors: Pairs, batch: Batch) -> Float[Array, " B"]:
    """Returns the nats of each row of a whole batch, from the vectors of all rows."""
    a, b = vectors
    return info_nce(a, b, batch, self.temperature)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Returns the nats of finding each text's partner among those of the batch."""
    return self.nats_across(self.by_row(batch, deterministic), batch), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    batch = super().example(batch_size, length)
    row = batch["length"]
    groups = {"group": row, "other_group": row}
    return batch | groups | {"other": batch["tokens"], "other_length": row}


def info_nce(
  a: Float[Array, "B D"], b: Float[Array, "B D"], batch: Batch, temperature: float
) -> Float[Array, " B"]:
  """Returns InfoNCE with in-batch negatives, the mean of both directions.

      -log softmax_j(a_i . b_j / t)_i / 2 - log softmax_j(b_i . a_j / t)_i / 2

  Cost: O(B^2 D).

  Args:
    a: vectors of unit norm, float32.
    b: the vectors of the partners, likewise.
    batch: has "group" and "other_group", of which rows that share one are no negatives
      of each other, and "weights", where rows of weight 0 are no negatives.
    temperature: t, > 0.

  Returns:
    Nats of each row.

  Source: van den Oord et al. 2018, arXiv:1807.03748.
  """
  positive, negative = jnp.eye(len(a), dtype=bool), batch["weights"] > 0  # [B, B], [B]
  for group in (batch["group"], batch["other_group"]):
    negative &= group[:, None] != group  # [B, B]
  # in full precision: t < 1 would magnify what an accelerator rounds
  scores = jnp.matmul(a, b.T, precision="highest") / temperature
  both = [jnp.where(positive | negative, s, NEVER) for s in (scores, scores.T)]
  return sum(-jnp.diagonal(jax.nn.log_softmax(s)) for s in both) / 2
