"""The language model: embedding, a stack of memories, a head."""

import dataclasses
from typing import NamedTuple

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
  """A language model as data; saved in every checkpoint.

  Attributes:
    vocab_size: ids are 0 .. vocab_size - 1.
    d_model: features.
    d_ff: width of the MLPs; 0 is 8/3 d_model, up to a multiple of 64.
    pattern: the memories of a group.
    num_groups: how often the pattern is repeated.
    first: memories before the groups.
    last: memories behind them.
    mlp: of a block that names none: a file of `jaxmem.layers.mlps` and its options,
      "gelu:approximate=True", or "none".
    norm: "rms" or "layer".
    norm_epsilon: under the root of every norm.
    norm_offset: what scales of norms are counted from, 1 in Gemma; else 0.
    norm_bias: layer norms add one.
    norm_position: "pre", "post" or "sandwich", see `block.Residual`.
    parallel: the layers of a block all read what the block reads.
    residual_scale: of what a layer adds.
    final_norm: in front of the head.
    embedding_scale: of the embedding where it is read; 0 is the root of d_model.
    embedding_norm: behind the embedding.
    positions: learned positions, tokens of a document at most: a longer one gets NaN
      from there on; 0 has none and leaves order to the memories.
    logit_cap: bounds logits smoothly (Gemma 2); 0 does not.
    dropout: rate in the blocks, in [0, 1).
    tied: the head is the embedding.
    remat: compute groups again in the reverse pass instead of keeping activations.
    loss_chunk: tokens of a row whose logits exist at once.
    dtype: of the computation, "float32" or "bfloat16"; parameters and recurrent states
      are float32 under either.
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
    position: int32 [B], of the next token in its document.
    stack: the memory of its layers.
  """

  position: Int[Array, " B"]
  stack: State


class LM(nn.Module):
  """`logits, state = f(tokens, state, reset)`, at any length, and its loss.

      model = LM(LMConfig(vocab_size=257, d_model=64))
      state = model.init_state(batch_size=2)
      params = model.init(jax.random.key(0), tokens, state)

  Attributes:
    config: see `LMConfig`.
  """

  config: LMConfig

  @property
  def d_model(self) -> int:
    return self.config.d_model

  @property
  def d_ff(self) -> int:
    """Width of the MLPs."""
    return self.config.d_ff or -(-self.d_model * 8 // 3 // 64) * 64

  def setup(self):
    c = self.config
    self.embedder = Embedder(
      c.vocab_size,
      c.d_model,
      c.tied,
      c.embedding_scale,
      c.positions,
      logit_cap=c.logit_cap,
      dtype=c.dtype,
    )
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
      c.pattern,
      c.d_model,
      self.d_ff,
      c.num_groups,
      c.dropout,
      c.remat,
      c.dtype,
      default_mlp(c.mlp),
      Residual(c.norm_position, self._norm, c.parallel, c.residual_scale),
      c.first,
      c.last,
      **fields,
    )

  def __call__(
    self,
    tokens: Tokens,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Float[Array, "B T V"], State]:
    """Logits for the token after each, float32, and the memory after the last."""
    x, state = self.features(tokens, state, reset, deterministic)
    return self.head(x), state

  def losses(
    self,
    tokens: Tokens,
    targets: Tokens,
    state: State,
    reset: Reset | None = None,
    deterministic: bool = True,
  ) -> tuple[Float[Array, "B T"], State]:
    """Nats of each target, float32, without the logits of a whole segment."""
    x, state = self.features(tokens, state, reset, deterministic)
    size = self.config.loss_chunk
    nats = lambda x, targets: self.embedder.nats(x, targets, chunk_size=size)
    return apply.by_token(nats, x, targets), state

  def objective(
    self, batch: Batch, memory: State, deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], State]:
    """Nats of the targets of a batch: `losses` as the trainer asks for it."""
    given = batch["tokens"], batch["targets"], memory, batch["reset"]
    return self.losses(*given, deterministic)

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
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
    """What the head reads, and the memory after the last token."""
    c, place, memory = self.config, None, state
    if c.positions:
      place, memory = places(state.position, reset, tokens), state.stack
    x = self.embedder.encode(tokens, place)
    if c.embedding_norm:
      x = self.embedding_norm(x)
    x, memory = self.stack(x, memory, reset, deterministic)
    x = self.norm(x) if c.final_norm else x
    if c.positions:
      # here and not in what is read: no NaN reaches the documents behind
      x = jnp.where((place < c.positions)[..., None], x, jnp.nan)
      # nothing is counted behind the last: no document is too long for int32
      memory = Positioned(jnp.minimum(place[:, -1] + 1, c.positions), memory)
    return x, memory

  def head(self, x: Activations) -> Float[Array, "B T V"]:
    """Logits, float32, of what `features` gives."""
    return self.embedder.decode(x)

  def init_state(self, batch_size: int) -> State:
    """The empty memory of the whole model."""
    memory = self._stack(parent=None).init_state(batch_size)
    if not self.config.positions:
      return memory
    return Positioned(jnp.zeros(batch_size, jnp.int32), memory)

  def state_axes(self) -> State:
    """The logical axis names of the memory."""
    axes = self._stack(parent=None).state_axes()
    return Positioned(("batch",), axes) if self.config.positions else axes


def num_params(params: State) -> int:
  """How many numbers a tree of parameters holds."""
  return sum(a.size for a in jax.tree.leaves(params))


Config = LMConfig
Model = LM
