"""Language models: an embedding, a stack of memories, and a head."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.core.ranges import affecting, number
from jaxmem.core.typing import Activations, Reset, State, Tokens
from jaxmem.layers import norms
from jaxmem.layers.embedder import Embedder, places
from jaxmem.layers.norms import Norm
from jaxmem.models import Batch
from jaxmem.models.block import Position, Residual, default_mlp
from jaxmem.models.pattern import Pattern, check_language, entry
from jaxmem.models.stack import Stack
from jaxmem.parallel import apply


@dataclasses.dataclass(frozen=True)
class LMConfig:
  """The config of a language model, as data; it is saved in every checkpoint.

  Attributes:
    vocab_size: V, ids are 0 .. V - 1.
    d_model: D, the number of features.
    d_ff: width of the MLPs; 0 is 8/3 d_model, up to a multiple of 64.
    pattern: the memories of a group.
    num_groups: how often the pattern is repeated.
    first: memories before the groups.
    last: memories after the groups.
    mlp: the MLP of a block that names none: a file of `jaxmem.layers.mlps` and its
      options, "gelu:approximate=True", or "none".
    norm: "rms" or "layer".
    norm_epsilon: under the root of every norm.
    norm_offset: added to the scales of norms, 1 in Gemma; else 0.
    norm_bias: whether layer norms add a bias.
    norm_position: "pre", "post" or "sandwich", see `block.Residual`.
    parallel: whether the layers of a block all read the input of the block.
    residual_scale: multiplies what a layer adds.
    final_norm: whether there is a norm before the head.
    embedding_scale: multiplies the embedding where it is read; 0 is the root of
      d_model.
    embedding_norm: whether there is a norm after the embedding.
    positions: how many learned positions there are; the logits of a longer document are
      NaN from there on. 0 has none and leaves order to the memories.
    logit_cap: bounds logits smoothly (Gemma 2); 0 does not.
    dropout: rate in the blocks, in [0, 1).
    tied: whether the head is the embedding.
    remat: whether groups are computed again in the reverse pass, which saves the memory
      of their activations.
    loss_chunk: how many tokens of a row have their logits in memory at once.
    dtype: the dtype of the computation, "float32" or "bfloat16"; parameters and
      recurrent states are float32 under either.
  """

  vocab_size: int = number(at_least=0, at_most=2**24)
  d_model: int = number(128, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("rglru"), entry("gated_delta"), entry("window"))
  num_groups: int = number(1, at_least=1, at_most=2**16)
  first: Pattern = ()
  last: Pattern = ()
  mlp: str = "swiglu"
  norm: norms.Kind = "rms"
  norm_epsilon: float = number(norms.EPSILON, above=0)
  norm_offset: float = number(0.0)
  norm_bias: bool = True
  norm_position: Position = "pre"
  parallel: bool = False
  residual_scale: float = number(1.0)
  final_norm: bool = True
  embedding_scale: float = number(0.0, at_least=0)
  embedding_norm: bool = False
  positions: int = number(0, at_least=0, at_most=2**24)
  logit_cap: float = number(0.0, at_least=0)
  dropout: float = number(0.0, at_least=0, below=1, affects="training")
  tied: bool = True
  remat: bool = affecting("nothing", False)
  loss_chunk: int = number(512, at_least=1, affects="nothing")
  dtype: str = "float32"


class Positioned(NamedTuple):
  """The memory of a model with learned positions.

  Attributes:
    position: int32 [B], the position of the next token in its document.
    stack: the memory of the layers.
  """

  position: Int[Array, " B"]
  stack: State


class LM(nn.Module):
  """A language model, `logits, state = f(tokens, state, reset)`, at any length.

      model = LM(LMConfig(vocab_size=257, d_model=64))
      state = model.init_state(batch_size=2)
      params = model.init(jax.random.key(0), tokens, state)

  Attributes:
    config: see `LMConfig`.
  """

  config: LMConfig

  @property
  def d_model(self) -> int:
    """D, the number of features."""
    return self.config.d_model

  @property
  def d_ff(self) -> int:
    """The width of the MLPs."""
    # with three matrices as many parameters as an MLP of two and of width 4 D has
    return self.config.d_ff or -(-self.d_model * 8 // 3 // 64) * 64

  def setup(self):
    """Makes the embedding, the stack and the norms."""
    c = self.config
    self.embedder = Embedder(
      vocab_size=c.vocab_size,
      d_model=c.d_model,
      tied=c.tied,
      scale=c.embedding_scale,
      positions=c.positions,
      logit_cap=c.logit_cap,
      dtype=c.dtype,
    )
    # checkpoints have the path "embedding", not "embedder/embedding"
    nn.share_scope(self, self.embedder)
    if c.embedding_norm:
      self.embedding_norm = self._norm.make("embedding_norm", c.dtype)
    self.stack = self._stack(name="stack")
    if c.final_norm:
      self.norm = self._norm.make("norm", c.dtype)

  @property
  def _norm(self) -> Norm:
    c = self.config
    return Norm(c.norm, c.norm_epsilon, c.norm_offset, c.norm_bias)

  def _stack(self, **fields) -> Stack:
    c = self.config
    check_language(c.first + c.pattern + c.last)
    return Stack(
      pattern=c.pattern,
      d_model=c.d_model,
      d_ff=self.d_ff,
      num_groups=c.num_groups,
      dropout=c.dropout,
      remat=c.remat,
      dtype=c.dtype,
      mlp=default_mlp(c.mlp),
      residual=Residual(c.norm_position, self._norm, c.parallel, c.residual_scale),
      first=c.first,
      last=c.last,
      **fields,
    )

  def __call__(
    self,
    tokens: Tokens,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Float[Array, "B T V"], State]:
    """Returns logits of the token after each, float32, and the memory after the last.

    Args:
      tokens: ids.
      state: the memory before the first token, see `init_state`.
      reset: True where a document begins; None nowhere.
      deterministic: False applies dropout.
    """
    x, state = self.features(tokens, state, reset, deterministic)  # [B, T, D]
    return self.head(x), state

  def losses(
    self,
    tokens: Tokens,
    targets: Tokens,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Float[Array, "B T"], State]:
    """Returns nats of each target, float32, and the memory after the last token.

    The logits of `loss_chunk` tokens exist at once, never those of a whole segment.

    Args:
      tokens: ids.
      targets: the id that follows each.
      state: the memory before the first token, see `init_state`.
      reset: True where a document begins; None nowhere.
      deterministic: False applies dropout.
    """
    x, state = self.features(tokens, state, reset, deterministic)  # [B, T, D]
    size = self.config.loss_chunk
    nats = functools.partial(self.embedder.nats, chunk_size=size)
    return apply.by_token(nats, x, targets), state

  def objective(
    self, batch: Batch, memory: State, deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], State]:
    """Returns `losses` of a batch, in the form that the trainer asks for."""
    tokens, targets, reset = batch["tokens"], batch["targets"], batch["reset"]
    return self.losses(tokens, targets, memory, reset, deterministic)

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    reset, weights = tokens.astype(bool), tokens.astype(jnp.float32)
    return {"tokens": tokens, "targets": tokens, "reset": reset, "weights": weights}

  def features(
    self,
    tokens: Tokens,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    """Returns what the head reads, and the memory after the last token.

    Args:
      tokens: see `__call__`.
      state: see `__call__`.
      reset: see `__call__`.
      deterministic: see `__call__`.
    """
    c, memory = self.config, state
    position: Any = None
    if c.positions:
      position, memory = places(state.position, reset, tokens), state.stack  # [B, T]
    x = self.embedder.encode(tokens, position)  # [B, T, D]
    if c.embedding_norm:
      x = self.embedding_norm(x)
    x, memory = self.stack(x, memory, reset, deterministic)  # [B, T, D]
    x = self.norm(x) if c.final_norm else x
    if c.positions:
      # NaN in the output and not in the input: none reaches the documents that follow
      x = jnp.where((position < c.positions)[..., None], x, jnp.nan)
      # the count stops at the last position, so no document is too long for int32
      memory = Positioned(jnp.minimum(position[:, -1] + 1, c.positions), memory)
    return x, memory

  def head(self, x: Activations) -> Float[Array, "B T V"]:
    """Returns logits, float32, of the features of `features`."""
    return self.embedder.decode(x)

  def init_state(self, batch_size: int) -> State:
    """Returns the empty memory of the whole model."""
    memory = self._stack(parent=None).init_state(batch_size)
    if not self.config.positions:
      return memory
    return Positioned(jnp.zeros(batch_size, jnp.int32), memory)

  def state_axes(self) -> State:
    """Returns the logical axis names of the memory."""
    axes = self._stack(parent=None).state_axes()
    if not self.config.positions:
      return axes
    return Positioned(("batch",), axes)  # type: ignore[arg-type] # names of axes


def num_params(params: State) -> int:
  """Counts the numbers in a tree of parameters."""
  return sum(a.size for a in jax.tree.leaves(params))


Config = LMConfig
Model = LM
