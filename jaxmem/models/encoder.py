"""An encoder: every token reads its text both ways, and one head reads the tokens.

Any memory will do; causal ones are run forwards and backwards. The heads: "masked", the
words that were hidden (Devlin et al. 2018, arXiv:1810.04805); "labels", a class of the
text; "spans", where an answer begins and ends; "embedding", a vector of the text, near
that of a text it belongs to. A text longer than a window is read window by window.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.typing import Activations, Reset, Tokens
from jaxmem.layers.embedder import Embedder
from jaxmem.layers.norms import LAYER_NORM
from jaxmem.layers.primitives import Dropout, dense, rms_norm
from jaxmem.models import Batch, heads
from jaxmem.models import pattern as patterns
from jaxmem.models.encoder_config import BLOCKS, EncoderConfig
from jaxmem.models.pattern import check_language, check_own
from jaxmem.models.stack import Stack
from jaxmem.models.wrappers.bidirectional import one_text
from jaxmem.ops.recurrence import scan


class Encoder(nn.Module):
  """Texts to features a token, and what a head makes of them.

      model = Encoder(EncoderConfig(vocab_size=257, classes=2))
      batch = model.example(8, 64)
      params = model.init(key, batch, (), method="objective")
      logits = model.apply(params, batch, method="logits")

  A batch has texts, padded on the right to T, and what its head learns:

      tokens   int32   [B, T]
      length   int32   [B]     tokens of the text; and "types", int32 [B, T]
      labels:    label int32 [B], choices bool [B, C]: the classes that a row may have
      spans:     first, last int32 [B], context bool [B, T]: where answers may lie
      embedding: other, other_length: the text that belongs to each; group, other_group
                 int32 [B]: rows that share one are no negatives of each other
      masked:    targets int32 [B, T], reset bool [B, T] in the place of length
      weights  float32 [B], or [B, T] where words are hidden
      noise    float32 [B, T, D], perhaps: added to the embeddings

  Attributes:
    config: see `EncoderConfig`.
  """

  config: EncoderConfig

  def setup(self):
    c = self.config
    # BERT's embeddings are as they were learned; ours are of unit size
    scale = 1.0 if c.block == "post" else 0.0
    self.embedder = Embedder(
      c.vocab_size,
      c.d_model,
      scale=scale,
      positions=c.positions,
      types=c.types,
      dtype=c.dtype,
    )
    nn.share_scope(self, self.embedder)
    if c.block == "post":
      self.embedding_norm = LAYER_NORM.make("embedding_norm", c.dtype)
    check_own(c.pattern)
    sizes = c.d_model, c.d_ff or 2 * c.d_model, c.num_groups, c.dropout
    self.stack = Stack(
      patterns.both_ways(c.pattern),
      *sizes,
      dtype=c.dtype,
      **BLOCKS[c.block],
      name="stack",
    )
    if c.block == "pre":
      self.norm = rms_norm("norm", c.dtype)
    if c.between:
      check_language(c.between)
      self.carry = Stack(c.between, *sizes[:2], dtype=c.dtype, name="carry")
    self.drop = Dropout(c.dropout)
    sizes = {"labels": c.classes, "spans": 2}
    if c.head in sizes:
      self.head = dense(sizes[c.head], ("embed", None), "head", "float32", bias=True)

  def features(
    self,
    tokens: Tokens,
    reset: Reset,
    types: Int[Array, "B T"] | None = None,
    noise: Float[Array, "B T D"] | None = None,
    deterministic: bool = True,
  ) -> Activations:
    """What the encoder makes of every token, each document of a row alone.

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
    tokens, mask = batch["tokens"], self._mask(batch)
    cut = lambda a: a.reshape(-1, self._window(tokens.shape[1]), *a.shape[2:])
    given = [batch.get(name) for name in ("types", "noise")]
    types, noise = (None if a is None else cut(a) for a in given)
    x = self.features(cut(tokens), one_text(cut(mask)), types, noise, deterministic)
    return x.reshape(*tokens.shape, x.shape[-1])

  def vector(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B D"]:
    """One vector a text, float32: windows pooled, then carried or averaged."""
    x = self.tokens(batch, deterministic).astype(jnp.float32)
    rows, length = batch["tokens"].shape
    window = self._window(length)
    x = x.reshape(rows, length // window, window, x.shape[-1])
    mask = self._mask(batch).reshape(x.shape[:3])
    x, some = heads.pool(x, mask, self.config.pool), mask.any(-1)
    if not self.config.between:
      total = jnp.where(some[..., None], x, 0).sum(1)
      return total / jnp.maximum(some.sum(1, keepdims=True), 1).astype(x.dtype)
    state = self.carry.init_state(rows)
    y, _ = self.carry(
      x.astype(jnp.dtype(self.config.dtype)), state, None, deterministic
    )
    last = jnp.maximum(some.sum(1) - 1, 0)  # the windows behind it are padding
    return jnp.take_along_axis(y, last[:, None, None], axis=1)[:, 0].astype(jnp.float32)

  def logits(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B C"]:
    """Of the classes; those that a row may not have are at -1e9."""
    x = self.drop(self.vector(batch, deterministic), deterministic=deterministic)
    return jnp.where(batch["choices"], self.head(x), heads.NEVER)

  def spans(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T 2"]:
    """Logits of the first and the last token of an answer, -1e9 outside the context."""
    x = self.tokens(batch, deterministic).astype(jnp.float32)
    x = self.head(self.drop(x, deterministic=deterministic))
    return jnp.where(batch["context"][..., None], x, heads.NEVER)

  def embed(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B D"]:
    """A vector of length 1 for each text."""
    x = self.vector(batch, deterministic)
    # the root of a clipped square: that of a norm has no gradient at a vector of zeros
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.maximum(square, 1e-24))

  def losses(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T"]:
    """Nats of each target, for the head "masked"."""
    given = batch["tokens"], batch["reset"], None, batch.get("noise"), deterministic
    return self.embedder.nats(self.features(*given), batch["targets"])

  def words(
    self, tokens: Tokens, reset: Reset, places: Int[Array, "B K"]
  ) -> Float[Array, "B K V"]:
    """Logits of what stands at some places, float32, for the head "masked"."""
    x = self.features(tokens, reset)
    x = jnp.take_along_axis(x, places[..., None], axis=1)
    return self.embedder.decode(x)

  @property
  def across_rows(self) -> bool:
    """Whether the loss of a row reads other rows; see `models.TrainableModel`."""
    return self.config.head == "embedding"

  def by_row(
    self, batch: Batch, deterministic: bool = True
  ) -> tuple[Float[Array, "B D"], Float[Array, "B D"]]:
    """The vectors of both texts of each row, for the head "embedding"."""
    other = {"tokens": batch["other"], "length": batch["other_length"]}
    mine, theirs = (self.embed(side, deterministic) for side in (batch, other))
    return mine, theirs

  @nn.nowrap  # it has no parameters
  def nats_across(
    self, vectors: tuple[Float[Array, "B D"], Float[Array, "B D"]], batch: Batch
  ) -> Float[Array, " B"]:
    """Nats of each row of a whole batch, from the vectors of all."""
    return heads.pair_nats(*vectors, batch, self.config.temperature)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "..."], tuple[()]]:
    """Nats of what the head learns, a row, or a token where words are hidden."""
    learn = {
      "masked": self.losses,
      "labels": self._label_nats,
      "spans": self._span_nats,
      "embedding": self._pair_nats,
    }
    return learn[self.config.head](batch, deterministic), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
    c = self.config
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    row, flags = jnp.zeros(batch_size, jnp.int32), tokens.astype(bool)
    batch = {"tokens": tokens, "weights": row.astype(jnp.float32)}
    if c.head == "masked":
      weights = tokens.astype(jnp.float32)
      return batch | {"targets": tokens, "reset": flags, "weights": weights}
    batch |= {"length": row, "types": tokens}
    return (
      batch
      | {
        "labels": {"label": row, "choices": jnp.ones((batch_size, c.classes), bool)},
        "spans": {"first": row, "last": row, "context": flags},
        "embedding": {
          "other": tokens,
          "other_length": row,
          "group": row,
          "other_group": row,
        },
      }[c.head]
    )

  def init_state(self, batch_size: int) -> tuple[()]:
    """Nothing: a text is read whole."""
    return ()

  def state_axes(self) -> tuple[()]:
    return ()

  def noise_shape(self, batch: Batch) -> tuple[int, int, int]:
    """Of the "noise" that a batch may have; see `jaxmem.training.adversarial`."""
    return (*batch["tokens"].shape, self.config.d_model)

  def _window(self, length: int) -> int:
    """Tokens of a window; raises ValueError if the row does not divide."""
    scan.check_length(length)
    window = self.config.window or length
    if length % window:
      raise ValueError(f"a row of {length} tokens is not cut into windows of {window}")
    return window

  def _mask(self, batch: Batch) -> Bool[Array, "B T"]:
    return jnp.arange(batch["tokens"].shape[1]) < batch["length"][:, None]

  def _label_nats(self, batch: Batch, deterministic: bool) -> Float[Array, " B"]:
    share = 0.0 if deterministic else self.config.smoothing
    return heads.label_nats(self.logits(batch, deterministic), batch, share)

  def _span_nats(self, batch: Batch, deterministic: bool) -> Float[Array, " B"]:
    return heads.span_nats(self.spans(batch, deterministic), batch)

  def _pair_nats(self, batch: Batch, deterministic: bool) -> Float[Array, " B"]:
    return self.nats_across(self.by_row(batch, deterministic), batch)


Config = EncoderConfig
Model = Encoder
