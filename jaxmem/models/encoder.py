"""An encoder: every token reads its text both ways.

Any memory will do; causal ones are run forwards and backwards. A text longer than a
window is read window by window. What is made of the features is the task's: its head
and its loss stand in `jaxmem/tasks/<task>/model.py`, on `EncoderModel`.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.typing import Activations, Reset, Tokens
from jaxmem.layers.embedder import Embedder
from jaxmem.layers.primitives import Dropout, rms_norm
from jaxmem.models import Batch
from jaxmem.models import pattern as patterns
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import check_language, check_own
from jaxmem.models.stack import Stack
from jaxmem.models.wrappers.bidirectional import one_text
from jaxmem.ops.recurrence import scan

# The logit of what cannot be chosen: its softmax is 0, and its gradient is finite.
NEVER = -1e9


class Encoder(nn.Module):
  """Texts to features, a vector a token or a vector a text.

      encoder = Encoder(EncoderConfig(vocab_size=257))
      params = encoder.init(key, batch, method="vector")
      x = encoder.apply(params, batch, method="tokens")

  A batch has texts, padded on the right to T:

      tokens   int32   [B, T]
      length   int32   [B]        tokens of the text
      types    int32   [B, T]     kind of each token; may be left out
      noise    float32 [B, T, D]  added to the embeddings; may be left out

  Attributes:
    config: see `EncoderConfig`.
    head_bias: whether the logits of tokens have a bias, see `Embedder`.
  """

  config: EncoderConfig
  head_bias: bool = False

  def setup(self):
    c = self.config
    # BERT's embeddings are as they were learned; ours are of unit size
    scale = 1.0 if c.block == "post" else 0.0
    self.embedder = Embedder(
      c.vocab_size,
      c.d_model,
      scale=scale,
      positions=c.positions,
      position_offset=c.position_offset,
      types=c.types,
      dtype=c.dtype,
      head_bias=self.head_bias,
    )
    nn.share_scope(self, self.embedder)
    if c.block == "post":
      self.embedding_norm = c.layer_norm.make("embedding_norm", c.dtype)
    check_own(c.pattern)
    sizes = c.d_model, c.d_ff or 2 * c.d_model, c.num_groups, c.dropout
    self.stack = Stack(
      patterns.both_ways(c.pattern),
      *sizes,
      dtype=c.dtype,
      mlp=c.mlp_entry,
      residual=c.residual,
      name="stack",
    )
    if c.block == "pre":
      self.norm = rms_norm("norm", c.dtype)
    if c.between:
      check_language(c.between)
      self.carry = Stack(c.between, *sizes[:2], dtype=c.dtype, name="carry")
    self.drop = Dropout(c.dropout)

  def features(
    self,
    tokens: Tokens,
    reset: Reset,
    types: Int[Array, "B T"] | None = None,
    noise: Float[Array, "B T D"] | None = None,
    deterministic: bool = True,
  ) -> Activations:
    """A vector for every token; each document of a row is read alone.

    Args:
      tokens: rows of documents.
      reset: where documents begin.
      types: kind of each token; None is 0.
      noise: added to the embeddings.
      deterministic: no dropout.

    Raises:
      ValueError: if a row has more tokens than there are positions.
    """
    c = self.config
    x = self.embedder.encode(tokens, types=types)
    if noise is not None:
      x = x + noise.astype(x.dtype)
    if c.block == "post":
      x = self.drop(self.embedding_norm(x), deterministic=deterministic)
    state = self.stack.init_state(len(tokens))
    x, _ = self.stack(x, state, reset, deterministic)
    return self.norm(x) if c.block == "pre" else x

  def tokens(self, batch: Batch, deterministic: bool = True) -> Activations:
    """Features of the texts of a batch, window by window."""
    rows, length = batch["tokens"].shape
    window = self._window(length)

    def to_windows(array):
      return array.reshape(-1, window, *array.shape[2:])  # [B T/W, W, ...]

    optional = {k: to_windows(batch[k]) for k in ("types", "noise") if k in batch}
    x = self.features(
      to_windows(batch["tokens"]),
      one_text(to_windows(_mask(batch))),
      **optional,
      deterministic=deterministic,
    )
    return x.reshape(rows, length, x.shape[-1])

  def vector(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B D"]:
    """One vector a text, float32: windows pooled, then carried or averaged."""
    x = self.tokens(batch, deterministic).astype(jnp.float32)
    rows, length = batch["tokens"].shape
    window = self._window(length)
    x = x.reshape(rows, length // window, window, x.shape[-1])  # [B, N, W, D]
    mask = _mask(batch).reshape(x.shape[:3])
    x, read = pool(x, mask, self.config.pool), mask.any(-1)  # [B, N, D], [B, N]
    if not self.config.between:
      total = jnp.where(read[..., None], x, 0).sum(1)
      return total / jnp.maximum(read.sum(1, keepdims=True), 1).astype(x.dtype)
    state = self.carry.init_state(rows)
    y, _ = self.carry(
      x.astype(jnp.dtype(self.config.dtype)), state, None, deterministic
    )
    last = jnp.maximum(read.sum(1) - 1, 0)  # the windows behind it are padding
    return jnp.take_along_axis(y, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)

  def _window(self, length: int) -> int:
    """Tokens of a window; raises ValueError if the row does not divide."""
    scan.check_length(length)
    window = self.config.window or length
    if length % window:
      raise ValueError(f"a row of {length} tokens is not cut into windows of {window}")
    return window


class EncoderModel(nn.Module):
  """The base of a task's model: an encoder, to which it adds its head and `objective`.

  The encoder's parameters are the model's own, so that a run of one task can begin from
  that of another. See `models.TrainableModel`.

  Attributes:
    config: of the encoder.
  """

  config: EncoderConfig

  def setup(self):
    self.encoder = Encoder(self.config)
    nn.share_scope(self, self.encoder)

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of texts, all zeros; a task adds what its head learns."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    row = jnp.zeros(batch_size, jnp.int32)
    weights = row.astype(jnp.float32)
    return {"tokens": tokens, "types": tokens, "length": row, "weights": weights}

  def init_state(self, batch_size: int) -> tuple[()]:
    """Nothing: a text is read whole."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns the logical names of a memory that has no arrays."""
    return ()

  def noise_shape(self, batch: Batch) -> tuple[int, int, int]:
    """Of the "noise" that a batch may have; see `jaxmem.training.adversarial`."""
    return (*batch["tokens"].shape, self.config.d_model)


def pool(
  x: Float[Array, "B N W D"], mask: Bool[Array, "B N W"], kind: str
) -> Float[Array, "B N D"]:
  """A vector for every window, 0 for one of padding.

  Args:
    x: features of the tokens.
    mask: which tokens are no padding.
    kind: "mean" or "max" over them, or "first".
  """
  read = mask[..., None]
  if kind == "first":
    return jnp.where(read, x, 0)[:, :, 0]
  if kind == "max":
    return jnp.where(read.any(2), jnp.where(read, x, NEVER).max(2), 0)
  count = jnp.maximum(read.sum(2), 1).astype(x.dtype)
  return jnp.where(read, x, 0).sum(2) / count


def _mask(batch: Batch) -> Bool[Array, "B T"]:
  """Which tokens are no padding."""
  return jnp.arange(batch["tokens"].shape[1]) < batch["length"][:, None]


Config = EncoderConfig
Model = Encoder
