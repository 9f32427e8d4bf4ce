"""A masked language model: an encoder whose embedding predicts the masked tokens."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Reset, Tokens
from jaxmem.models import Batch
from jaxmem.models.encoder import EncoderModel


class MaskedLM(EncoderModel):
  """Predicts masked tokens from the others; the head is the embedding.

  A batch has rows of documents:

      tokens   int32   [B, T]     the text with some tokens masked
      targets  int32   [B, T]     the text itself
      reset    bool    [B, T]     where documents begin
      weights  float32 [B, T]     1 for the tokens that are to be predicted, else 0
      noise    float32 [B, T, D]  is added to the embeddings; may be left out

  Attributes:
    config: the encoder's config.
  """

  def losses(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T"]:
    """Returns the nats of each target."""
    x = self.encoder.features(
      batch["tokens"],
      batch["reset"],
      noise=batch.get("noise"),
      deterministic=deterministic,
    )  # [B, T, D]
    return self.encoder.embedder.nats(x, batch["targets"])

  def logits(
    self, tokens: Tokens, reset: Reset, position: Int[Array, "B K"]
  ) -> Float[Array, "B K V"]:
    """Returns the logits of the tokens at some positions, float32.

    Args:
      tokens: the rows, [B, T].
      reset: where documents begin, [B, T].
      position: the positions of each row.
    """
    x = self.encoder.features(tokens, reset)  # [B, T, D]
    # before the head: logits of whole rows would be the largest array by far
    x = jnp.take_along_axis(x, position[..., None], axis=1)  # [B, K, D]
    return self.encoder.embedder.decode(x)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], tuple[()]]:
    """Returns the nats of each target, and no memory."""
    return self.losses(batch, deterministic), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    weights = tokens.astype(jnp.float32)
    reset = tokens.astype(bool)
    return {"tokens": tokens, "targets": tokens, "reset": reset, "weights": weights}
