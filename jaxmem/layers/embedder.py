"""Maps tokens to features and features to logits: the two ends of a model of text."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, Reset, Tokens
from jaxmem.layers.primitives import named
from jaxmem.ops.losses import capped, chunked_cross_entropy
from jaxmem.ops.recurrence.precision import einsum


class Embedder(nn.Module):
  """The embedding tables of tokens, positions and types, and the output head.

  A model calls `nn.share_scope(self, self.embedder)`, so that the tables are parameters
  of the model: `embedding`, `head`, `positions`, `types`.

  Attributes:
    vocab_size: V, the ids are 0 .. V - 1.
    d_model: D, features.
    tied: uses the embedding as the head.
    scale: multiplies embeddings; 0 is D^0.5, which gives rows of norm 1 features of
      size 1.
    positions: M, learned positions; 0 makes no table.
    position_offset: rows of the table of positions before that of position 0.
    types: kinds of tokens; 0 makes no table, and all are one where there is 1.
    logit_cap: bounds logits smoothly, see `ops.losses.capped`; 0 does not bound them.
    dtype: of the features.
    head_bias: adds a bias to the logits.
  """

  vocab_size: int
  d_model: int
  tied: bool = True
  scale: float = 0.0
  positions: int = 0
  position_offset: int = 0
  types: int = 0
  logit_cap: float = 0.0
  dtype: str = "float32"
  head_bias: bool = False

  def setup(self):
    """Makes the tables."""
    self.embedding = self._table("embedding", self.vocab_size, "vocab")  # [V, D]
    if self.tied:
      self.head = self.embedding
    else:
      self.head = self._table("head", self.vocab_size, "vocab")
    if self.head_bias:
      zeros = named(nn.initializers.zeros, ("vocab",), decay=False)
      self.bias = self.param("head_bias", zeros, (self.vocab_size,))  # [V]
    if self.positions:
      rows = self.position_offset + self.positions
      self.position_table = self._table("positions", rows)
    if self.types:
      self.type_table = self._table("types", self.types)

  def _table(self, name: str, size: int, axis: str | None = None) -> Array:
    # rows of norm about 1, so that a tied head gives logits of size 1
    normal = nn.initializers.normal(self.d_model**-0.5)
    init = named(normal, (axis, "embed"), decay=True)
    return self.param(name, init, (size, self.d_model))

  def encode(
    self,
    tokens: Tokens,
    position: Int[Array, "B T"] | None = None,
    types: Int[Array, "B T"] | None = None,
  ) -> Activations:
    """Returns the features that the first layer reads.

    Args:
      tokens: ids.
      position: of each token in its document, for learned positions; those from M on
        read the last row of the table. None counts along the row.
      types: kind of each token; None is 0.

    Raises:
      ValueError: if a row has more tokens than there are positions, and `position` is
        None.
    """
    x = self.embedding[tokens] * (self.scale or self.d_model**0.5)  # [B, T, D]
    if self.positions:
      x = x + self._positions(tokens, position)
    if self.types:
      if self.types == 1:  # RoBERTa reads the second text of a pair as the first
        types = None
      x = x + self.type_table[jnp.zeros_like(tokens) if types is None else types]
    return x.astype(jnp.dtype(self.dtype))

  def _positions(self, tokens: Tokens, position: Int[Array, "B T"] | None) -> Array:
    if position is not None:
      rows = position + self.position_offset
      return self.position_table.at[rows].get(mode="clip")  # [B, T, D]
    length = tokens.shape[1]
    if length > self.positions:
      raise ValueError(
        f"{length} tokens and {self.positions} positions: read by windows"
      )
    first = self.position_offset
    return self.position_table[first : first + length]  # [T, D]

  def decode(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
    """Returns the logits, in float32."""
    # products in the dtype of x, summed in float32
    logits = einsum("...d,vd->...v", x, self.head.astype(x.dtype), jnp.float32)
    logits = logits + self.bias if self.head_bias else logits
    return capped(logits, self.logit_cap)

  def nats(
    self, x: Activations, targets: Tokens, chunk_size: int = 512, smoothing: float = 0.0
  ) -> Float[Array, "B T"]:
    """Returns -log p of each target, without the logits of a whole row.

    Args:
      x: features.
      targets: ids.
      chunk_size: tokens whose logits exist at once.
      smoothing: see `ops.losses.chunked_cross_entropy`.
    """
    return chunked_cross_entropy(
      x,
      self.head,
      targets,
      chunk_size=chunk_size,
      smoothing=smoothing,
      logit_cap=self.logit_cap,
      bias=self.bias if self.head_bias else None,
    )


class PositionTable(nn.Module):
  """A learned vector for each position of a text.

  Attributes:
    size: M, positions; those from M on read the last row.
    d_model: D, features.
    offset: how many rows of the table lie before that of the first position.
  """

  size: int
  d_model: int
  offset: int = 0

  @nn.compact
  def __call__(self, position: Int[Array, "*B"]) -> Float[Array, "*B D"]:
    normal = nn.initializers.normal(self.d_model**-0.5)
    init = named(normal, (None, "embed"), decay=True)
    table = self.param("table", init, (self.offset + self.size, self.d_model))
    return table.at[position + self.offset].get(mode="clip")


def places(
  position: Int[Array, " B"], reset: Reset | None, tokens: Tokens
) -> Int[Array, "B T"]:
  """Returns the position of every token in its document, from 0.

  Args:
    position: of the first token of each row, unless a document begins with it.
    reset: True on the first token of a document.
    tokens: ids.
  """
  index = jnp.arange(tokens.shape[1], dtype=jnp.int32)
  positions = position[:, None] + index  # [B, T], if no document begins in the row
  if reset is None:
    return positions
  # index of the first token of each token's document, -1 before any reset
  first = jax.lax.cummax(jnp.where(reset, index, -1), axis=1)
  return jnp.where(first >= 0, index - first, positions)
