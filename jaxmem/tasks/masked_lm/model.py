"""A masked language model: an encoder whose embedding says which words were hidden."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Reset, Tokens
from jaxmem.models import Batch
from jaxmem.models.encoder import EncoderModel


class MaskedLM(EncoderModel):
  """Hidden tokens from the others; the head is the embedding.

  A batch has rows of documents:

      tokens   int32   [B, T]     with some of them hidden
      targets  int32   [B, T]     as they were
      reset    bool    [B, T]     where documents begin
      weights  float32 [B, T]     of each loss
      noise    float32 [B, T, D]  added to the embeddings; may be left out

  Attributes:
    config: of the encoder.
  """

  def losses(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T"]:
    """Nats of each target."""
    x = self.encoder.features(
      batch["tokens"],
      batch["reset"],
      noise=batch.get("noise"),
      deterministic=deterministic,
    )
    return self.encoder.embedder.nats(x, batch["targets"])

  def logits(
    self, tokens: Tokens, reset: Reset, position: Int[Array, "B K"]
  ) -> Float[Array, "B K V"]:
    """Logits of the tokens at some positions, float32."""
    x = self.encoder.features(tokens, reset)
    x = jnp.take_along_axis(x, position[..., None], axis=1)
    return self.encoder.embedder.decode(x)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], tuple[()]]:
    """Nats of each target."""
    return self.losses(batch, deterministic), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    weights = tokens.astype(jnp.float32)
    reset = tokens.astype(bool)
    return {"tokens": tokens, "targets": tokens, "reset": reset, "weights": weights}
