"""Encoder-decoder models: an encoder reads a sequence, a decoder writes another.

The patterns of memories decide which model this is: recurrent networks with attention
between them, the Transformer, or one with a long-input encoder.

Source: Bahdanau et al. 2014, arXiv:1409.0473; Luong et al. 2015, arXiv:1508.04025;
Vaswani et al. 2017, arXiv:1706.03762; Guo et al. 2021, arXiv:2112.07916 (long inputs).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.typing import Activations, State, Tokens
from jaxmem.layers.embedder import Embedder, PositionTable, places
from jaxmem.layers.encoder_memory import EncoderOutputs
from jaxmem.layers.norms import Norm
from jaxmem.layers.primitives import Dropout
from jaxmem.models import Batch
from jaxmem.models import pattern as patterns
from jaxmem.models.block import Residual, default_mlp
from jaxmem.models.encoder_decoder_config import EncoderDecoderConfig
from jaxmem.models.lm import Positioned
from jaxmem.models.pattern import Pattern
from jaxmem.models.stack import Stack, with_shared
from jaxmem.models.wrappers.bidirectional import one_text


class EncoderDecoder(nn.Module):
  """An encoder and a decoder: `start` reads a text, `step` writes a token of another.

      model = EncoderDecoder(EncoderDecoderConfig(vocab_size=300, memory_size=32))
      params = model.init(key, model.example(8, 32), (), method="objective")
      logits, state = model.apply(params, read, length, eos_id, method="start")
      logits, state = model.apply(params, tokens, state, method="step")

  A batch has what is read and what is written, padded on the right:

      read     int32   [B, S]
      length   int32   [B]     its tokens, 0 .. S
      tokens   int32   [B, T]  the EOS token and the text to write
      targets  int32   [B, T]  that text and the EOS token
      weights  float32 [B, T]  1 for a target, 0 for padding

  Attributes:
    config: see `EncoderDecoderConfig`.
  """

  config: EncoderDecoderConfig

  def setup(self):
    """Makes the encoder and the decoder, which share the embedding."""
    c = self.config
    self.embedder = Embedder(
      c.vocab_size,
      c.d_model,
      tied=c.tied,
      scale=c.embedding_scale,
      head_bias=c.head_bias,
      dtype=c.dtype,
    )
    nn.share_scope(self, self.embedder)
    self.encoder = self._encoder(name="encoder")
    self.decoder = self._decoder(name="decoder")
    norm = Norm(c.norm, c.norm_epsilon)
    if c.final_norm:
      self.encoder_norm = norm.make("encoder_norm", c.dtype)
      self.decoder_norm = norm.make("decoder_norm", c.dtype)
    if c.embedding_norm:
      self.encoder_embedding_norm = norm.make("encoder_embedding_norm", c.dtype)
      self.decoder_embedding_norm = norm.make("decoder_embedding_norm", c.dtype)
    if c.positions:
      sizes = c.d_model, c.position_offset
      self.encoder_positions = PositionTable(self._num_read, *sizes)
      self.decoder_positions = PositionTable(c.positions, *sizes)
    self.drop = Dropout(c.dropout)

  def encode(
    self, read: Tokens, length: Int[Array, " B"], deterministic: bool = True
  ) -> EncoderOutputs:
    """Encodes what the decoder may read of each row.

    Args:
      read: the text, padded on the right.
      length: how many tokens of each row are text.
      deterministic: False applies dropout.

    Raises:
      ValueError: if a row has more tokens than there are positions.
    """
    c = self.config
    mask = jnp.arange(read.shape[1]) < length[:, None]  # [B, S]
    x = self.embedder.encode(read)  # [B, S, D]
    if c.positions:
      position = _indices(read, self._num_read)
      x = x + self.encoder_positions(position).astype(x.dtype)
    x = self.encoder_embedding_norm(x) if c.embedding_norm else x
    x = self.drop(x, deterministic=deterministic)
    state = self.encoder.init_state(len(read))
    # padding is a document of its own, so nothing of it reaches the text
    x, _ = self.encoder(x, state, one_text(mask), deterministic)  # [B, S, D]
    return EncoderOutputs(self.encoder_norm(x) if c.final_norm else x, length)

  def start(
    self, read: Tokens, length: Int[Array, " B"], eos_id: Int[Array, " B"]
  ) -> tuple[Float[Array, "B V"], State]:
    """Returns logits of the first token that is written, and the decoder's memory.

    Args:
      read: the text, padded on the right.
      length: how many tokens of each row are text.
      eos_id: the id that every text begins with.
    """
    state = self.first_state(self.encode(read, length))
    return self.step(eos_id, state)

  def step(
    self, tokens: Int[Array, " B"], state: State
  ) -> tuple[Float[Array, "B V"], State]:
    """Reads one token a row; returns logits of the next, and the decoder's memory.

    Args:
      tokens: the token of each row.
      state: the memory before it, see `start`.
    """
    x, state = self._decode(tokens[:, None], state, True)  # [B, 1, D]
    return self.embedder.decode(x[:, 0]), state

  def losses(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B T"]:
    """Returns nats of each target given those before it.

    Args:
      batch: see `EncoderDecoder`.
      deterministic: False applies dropout and label smoothing.
    """
    encoded = self.encode(batch["read"], batch["length"], deterministic)
    state = self.first_state(encoded)
    x, _ = self._decode(batch["tokens"], state, deterministic)  # [B, T, D]
    smoothing = 0.0 if deterministic else self.config.smoothing
    return self.embedder.nats(x, batch["targets"], smoothing=smoothing)  # [B, T]

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], tuple[()]]:
    """Returns `losses`, in the form that the trainer asks for."""
    return self.losses(batch, deterministic), memory

  def first_state(self, encoded: EncoderOutputs) -> State:
    """Returns the decoder's memory before a text, with `encoded` in every layer."""
    layers = self.config.num_groups

    def repeat_by_layer(a):
      return jnp.broadcast_to(a[:, None], (len(a), layers, *a.shape[1:]))  # [B, G, ...]

    empty = self._decoder(parent=None).init_state(len(encoded.valid))
    # cross-attention takes `EncoderOutputs` as its state, and makes keys of it once
    by_layer = jax.tree.map(repeat_by_layer, encoded)
    pairs = zip(self.config.pattern, empty, strict=True)
    memory = tuple(by_layer if _is_given(item) else state for item, state in pairs)
    if not self.config.positions:
      return memory
    return Positioned(jnp.zeros(len(encoded.valid), jnp.int32), memory)

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    read = {"read": tokens, "length": jnp.zeros(batch_size, jnp.int32)}
    weights = {"weights": tokens.astype(jnp.float32)}
    return read | {"tokens": tokens, "targets": tokens} | weights

  def init_state(self, batch_size: int) -> tuple[()]:
    """Returns (): a step of training reads a pair whole, and carries nothing."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns (), the axis names of nothing."""
    return ()

  def _encoder(self, **fields) -> Stack:
    c = self.config
    groups = c.encoder_groups or c.num_groups
    return self._stack(patterns.both_ways(c.encoder), groups, **fields)

  def _decoder(self, **fields) -> Stack:
    c = self.config
    pattern = patterns.with_memory(c.pattern, c.memory_size)
    return self._stack(pattern, c.num_groups, **fields)

  def _stack(self, pattern: Pattern, groups: int, **fields) -> Stack:
    c = self.config
    stack = Stack
    if c.shared_buckets:
      stack = with_shared("buckets", groups, init=self._makes_params)
    return stack(
      pattern=pattern,
      d_model=c.d_model,
      d_ff=c.d_ff or 2 * c.d_model,
      num_groups=groups,
      dropout=c.dropout,
      dtype=c.dtype,
      mlp=default_mlp(c.mlp),
      residual=Residual(c.norm_position, Norm(c.norm, c.norm_epsilon)),
      **fields,
    )

  @property
  def _num_read(self) -> int:
    """How many learned positions the encoder has."""
    return self.config.encoder_positions or self.config.positions

  @property
  def _makes_params(self) -> bool:
    # an unbound model only answers for states and axes
    return self.scope is not None and self.is_initializing()

  def _decode(
    self, tokens: Tokens, state: State, deterministic: bool
  ) -> tuple[Activations, State]:
    c, memory = self.config, state
    x = self.embedder.encode(tokens)  # [B, T, D]
    if c.positions:
      position, memory = places(state.position, None, tokens), state.stack  # [B, T]
      x = x + self.decoder_positions(position).astype(x.dtype)
    x = self.decoder_embedding_norm(x) if c.embedding_norm else x
    x = self.drop(x, deterministic=deterministic)
    x, memory = self.decoder(x, memory, None, deterministic)  # [B, T, D]
    x = self.decoder_norm(x) if c.final_norm else x
    # a scale of 1 adds no multiplication to the program
    x = x if c.head_scale == 1 else x * c.head_scale
    if c.positions:
      # as in `LM`: NaN in the output only, and a count that stops at the last position
      x = jnp.where((position < c.positions)[..., None], x, jnp.nan)
      memory = Positioned(jnp.minimum(position[:, -1] + 1, c.positions), memory)
    return x, memory


def _indices(tokens: Tokens, positions: int) -> Int[Array, " T"]:
  """The position of each token of a row.

  Raises:
    ValueError: if there are fewer positions than tokens.
  """
  length = tokens.shape[1]
  if length > positions:
    raise ValueError(
      f"{length} tokens to read and {positions} positions: read fewer, or give the "
      "model more positions"
    )
  return jnp.arange(length, dtype=jnp.int32)


def _is_given(item: patterns.Entry | patterns.Block) -> bool:
  """Whether a block's memory is what was encoded; wrappers are not looked into."""
  return patterns.is_given(patterns.memory_of(item))


Config = EncoderDecoderConfig
Model = EncoderDecoder
