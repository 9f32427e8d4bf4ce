"""A reader of answers: an encoder, and logits of where an answer begins and ends."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.layers.primitives import dense
from jaxmem.models import Batch
from jaxmem.models.encoder import NEVER, EncoderModel


class SpanReader(EncoderModel):
  """The span of a text that answers a question.

  A batch has the texts of `models.encoder.Encoder`, each behind its question, and

      first    int32   [B]     the first token of the answer
      last     int32   [B]     the last one
      context  bool    [B, T]  where answers may lie
      weights  float32 [B]     of each loss

  Attributes:
    config: of the encoder.
  """

  def setup(self):
    super().setup()
    self.head = dense(2, ("embed", None), "head", "float32", bias=True)

  def spans(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T 2"]:
    """Logits of the first and the last token of an answer, -1e9 outside the context."""
    x = self.encoder.tokens(batch, deterministic).astype(jnp.float32)
    x = self.head(self.encoder.drop(x, deterministic=deterministic))
    return jnp.where(batch["context"][..., None], x, NEVER)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Nats of the first and of the last token, their mean a row."""
    return span_cross_entropy(self.spans(batch, deterministic), batch), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
    batch = super().example(batch_size, length)
    row, context = batch["length"], batch["tokens"].astype(bool)
    return batch | {"first": row, "last": row, "context": context}


def span_cross_entropy(
  logits: Float[Array, "B T 2"], batch: Batch
) -> Float[Array, " B"]:
  """The mean of the cross entropies of an answer's first and last token.

  Args:
    logits: of where an answer begins and ends, float32.
    batch: "first" and "last".

  Source: Devlin et al. 2018, arXiv:1810.04805.
  """
  logp = jax.nn.log_softmax(logits, axis=1)
  ends = jnp.stack([batch["first"], batch["last"]], -1)[:, None]  # [B, 1, 2]
  return -jnp.take_along_axis(logp, ends, 1)[:, 0].mean(-1)
