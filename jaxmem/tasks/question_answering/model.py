"""A model of answers: an encoder, and logits of where an answer begins and ends."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.layers.primitives import dense
from jaxmem.models import Batch
from jaxmem.models.encoder import NEVER, EncoderModel


class SpanReader(EncoderModel):
  """Finds the span of a text that answers a question.

  A batch has the texts of `models.encoder.Encoder`, each after its question, and

      first    int32   [B]     the first token of the answer
      last     int32   [B]     the last one
      context  bool    [B, T]  where answers may lie
      weights  float32 [B]     how much each row's loss counts

  Attributes:
    config: the encoder's config.
  """

  def setup(self):
    super().setup()
    self.head = dense(2, ("embed", None), "head", "float32", bias=True)

  def spans(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T 2"]:
    """Returns logits of an answer's first and last token, -1e9 outside the context."""
    x = self.encoder.tokens(batch, deterministic).astype(jnp.float32)  # [B, T, D]
    x = self.head(self.encoder.drop(x, deterministic=deterministic))  # [B, T, 2]
    return jnp.where(batch["context"][..., None], x, NEVER)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Returns the mean of the nats of the first and the last token of each row."""
    return span_cross_entropy(self.spans(batch, deterministic), batch), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    batch = super().example(batch_size, length)
    row, context = batch["length"], batch["tokens"].astype(bool)
    return batch | {"first": row, "last": row, "context": context}


def span_cross_entropy(
  logits: Float[Array, "B T 2"], batch: Batch
) -> Float[Array, " B"]:
  """Returns the mean of the cross entropies of an answer's first and last token.

      -(log p_first(first) + log p_last(last)) / 2

  Args:
    logits: logits over the tokens of where an answer begins and ends, float32.
    batch: has "first" and "last".

  Returns:
    Nats of each row.

  Source: Devlin et al. 2018, arXiv:1810.04805.
  """
  logp = jax.nn.log_softmax(logits, axis=1)  # [B, T, 2]
  ends = jnp.stack([batch["first"], batch["last"]], -1)[:, None]  # [B, 1, 2]
  return -jnp.take_along_axis(logp, ends, 1)[:, 0].mean(-1)
