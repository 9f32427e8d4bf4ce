"""The language model: embedding, a stack of memories, a head."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset, State, Tokens
from jaxmem.layers.primitives import named, rms_norm
from jaxmem.models import Batch
from jaxmem.models.pattern import Pattern, check_language, entry
from jaxmem.models.stack import Stack
from jaxmem.ops.losses import chunked_cross_entropy
from jaxmem.ops.recurrence.precision import einsum
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
  dropout: float = number(0.0, at_least=0, below=1)
  tied: bool = True
  remat: bool = False
  loss_chunk: int = number(512, at_least=1)
  dtype: str = "float32"


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
    normal = nn.initializers.normal(c.d_model**-0.5)
    table = lambda name: self.param(
      name, named(normal, ("vocab", "embed"), decay=True), (c.vocab_size, c.d_model)
    )
    self.embedding = table("embedding")
    self.head = self.embedding if c.tied else table("head")
    self.stack = self._stack(name="stack")
    self.norm = rms_norm("norm", c.dtype)

  def _stack(self, **fields) -> Stack:
    c = self.config
    check_language(c.pattern)
    return Stack(
      c.pattern,
      c.d_model,
      self.d_ff,
      c.num_groups,
      c.dropout,
      c.remat,
      c.dtype,
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
    table = self.head.astype(x.dtype)
    logits = einsum("btd,vd->btv", x, table, jnp.float32)
    return logits, state

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
    nats = lambda x, targets: chunked_cross_entropy(
      x, self.head, targets, chunk_size=self.config.loss_chunk
    )
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
    # the table's rows have norm 1, for the head; the stack reads features of size 1
    x = self.embedding[tokens] * self.config.d_model**0.5
    x, state = self.stack(
      x.astype(jnp.dtype(self.config.dtype)), state, reset, deterministic
    )
    return self.norm(x), state

  def init_state(self, batch_size: int) -> State:
    """The empty memory of the whole model."""
    return self._stack(parent=None).init_state(batch_size)

  def state_axes(self) -> State:
    """The logical axis names of the memory."""
    return self._stack(parent=None).state_axes()


def num_params(params: State) -> int:
  """How many numbers a tree of parameters holds."""
  return sum(a.size for a in jax.tree.leaves(params))


Config = LMConfig
Model = LM
