"""A masked language model: an encoder whose embedding predicts the masked tokens."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, Reset, Tokens
from jaxmem.layers.primitives import dense
from jaxmem.models import Batch
from jaxmem.models.encoder import Encoder, EncoderModel


class MaskedLM(EncoderModel):
  """Predicts masked tokens from the others; the head is the embedding.

      logits = E x
      logits = E norm(gelu(W x + c)) + b    with `transform`, as in BERT

  A batch has rows of documents:

      tokens   int32   [B, T]     the text with some tokens masked
      targets  int32   [B, T]     the text itself
      reset    bool    [B, T]     where documents begin
      weights  float32 [B, T]     1 for the tokens that are to be predicted, else 0
      noise    float32 [B, T, D]  is added to the embeddings; may be left out

  Attributes:
    config: the encoder's config.
    transform: whether a map and a norm come before the embedding, and a bias behind it.

  Source: Devlin et al. 2018, arXiv:1810.04805.
  """

  transform: bool = False

  def setup(self):
    c = self.config
    self.encoder = Encoder(c, head_bias=self.transform)
    nn.share_scope(self, self.encoder)
    if self.transform:
      axes = ("embed", None)
      self.hidden = dense(c.d_model, axes, "transform", c.dtype, bias=True)
      self.hidden_norm = c.layer_norm.make("transform_norm", c.dtype)

  def losses(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T"]:
    """Returns the nats of each target."""
    x = self.encoder.features(
      batch["tokens"],
      batch["reset"],
      noise=batch.get("noise"),
      deterministic=deterministic,
    )  # [B, T, D]
    return self.encoder.embedder.nats(self._transformed(x), batch["targets"])

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
    return self.encoder.embedder.decode(self._transformed(x))

  def _transformed(self, x: Activations) -> Activations:
    """The features that the embedding is compared with."""
    if not self.transform:
      return x
    mlp = self.config.mlp_entry
    tanh = mlp is not None and dict(mlp.options).get("approximate", False)
    return self.hidden_norm(nn.gelu(self.hidden(x), approximate=bool(tanh)))

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
