"""RWKV-7's time mixing: token shift, a diagonal plus low rank transition, a bonus.

Source: Peng et al. 2025, arXiv:2503.14456, section 4. By default every layer is what
the first is there; later ones have `value_residual`, which needs a stack, see
`jaxmem.models.stack`.
"""

import functools
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState, head_size
from jaxmem.layers.primitives import dense, head_norm, l2_normalize, named, token_shift
from jaxmem.ops import dplr, short_conv
from jaxmem.ops.recurrence import scan

# The uses of a token mixed with the one before, and how fast the share falls along D.
SHIFTED = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
# The slowest and the fastest log decay are 0 and this.
LOWEST = -math.exp(-0.5)


class State(NamedTuple):
  """The last token's features, and the matrices."""

  shift: short_conv.State
  dplr: dplr.State


def _ramp(low: float, high: float, power: float = 1.0) -> nn.initializers.Initializer:
  """From low to high along the features."""

  def init(key, shape, dtype=jnp.float32):
    del key
    return low + (high - low) * jnp.linspace(0, 1, shape[-1], dtype=dtype) ** power

  return init


class RWKV7(Memory):
  """RWKV-7's time mixing; 4 D^2 + 2 D (R_w + R_a + R_g) + 13 D parameters.

  State: 4 D K bytes of matrices a row, and D features of the last token.

      from jaxmem.mixers.rwkv7 import RWKV7
      mixer = RWKV7(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H, of K = D/H channels.
    decay_rank: R_w, of the low-rank MLP that makes the decay; 0 is the released
      2.5 D^0.5 K/64, in steps of 32.
    rate_rank: R_a, of that of the in-context learning rate; 0 is the same.
    gate_rank: R_g, of that of the output gate; 0 is 5 D^0.5, in steps of 32.
    value_residual: mixes the values with those that the first layer gives; alone, where
      none gives, with themselves.
    value_rank: of the low-rank map that makes its shares; 0 is 1.7 D^0.5 K/64, in steps
      of 32.
    norm_epsilon: of the norm of every head, which takes K times as much.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  decay_rank: int = 0
  rate_rank: int = 0
  gate_rank: int = 0
  value_residual: bool = False
  value_rank: int = 0
  norm_epsilon: float = number(1e-5, above=0)
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    return self.with_stream(x, state, reset)[:2]

  @nn.compact
  def with_stream(
    self,
    x: Activations,
    state: State,
    reset: Reset | None = None,
    stream: Activations | None = None,
  ) -> tuple[Activations, State, Activations | None]:
    """The layer with the side stream, which holds the first layer's values."""
    mixed, shift = self._shift(x.astype(self.dtype), state.shift, reset)
    r, k, v = (self._dense(name)(mixed[name]) for name in "rkv")  # [B, T, D] each
    if self.value_residual:
      v = self._with_first(v, v if stream is None else stream, mixed["v"])
    elif stream is not None:
      stream = v.astype(stream.dtype)
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    rank = self._rank(2.5 * self._head_dim / 64)
    w = self._low_rank("w", mixed["w"], self.decay_rank or rank, nn.tanh)  # [B, T, D]
    g = LOWEST * nn.sigmoid(w + self._channels("decay", _ramp(-5.5, 0.5), w))
    a = self._low_rank("a", mixed["a"], self.rate_rank or rank)  # [B, T, D]
    a = nn.sigmoid(a + self._channels("rate", _ramp(-0.4, 0.0), a))
    self.sow("intermediates", "log_decay", g)
    self.sow("intermediates", "write_strength", a)

    k = k.astype(jnp.float32)  # a norm, and products with gates in float32
    kappa = self._heads(k * self._channels("removed", _ramp(0.76, 0.66), k))
    kappa = l2_normalize(kappa)  # [B, T, H, K], the direction that is rewritten
    k = k * (1 + (a - 1) * self._channels("replaced", _ramp(1.02, 1.02), k))
    r, k, v = (self._heads(z.astype(self.dtype)) for z in (r, k, v))  # [B, T, H, K]
    inputs = (r, k, v, -kappa, kappa * self._heads(a), self._heads(g))
    y, memory = self._recall(dplr, inputs, state.dplr, reset)  # [B, T, H, K]
    # K times the epsilon, as released
    norm = head_norm("norm", self.dtype, self.norm_epsilon * self._head_dim)
    y = norm(y) + self._bonus(r * k) * v
    rank = self.gate_rank or self._rank(5.0)
    gate = self._low_rank("g", mixed["g"], rank, nn.sigmoid)
    y = y.reshape(x.shape) * gate.astype(self.dtype)
    return self._dense("out", ("heads", "embed"))(y), State(shift, memory), stream

  def _with_first(
    self, v: Activations, first: Activations, x: Activations
  ) -> Activations:
    """Values moved towards those of the first layer, a share a channel."""
    rank = self.value_rank or self._rank(1.7 * self._head_dim / 64)
    share = self._low_rank("value_share", x, rank)
    bias = self._channels("value_share_bias", _ramp(0.93, 0.53), share)  # as released
    return v + (first - v) * nn.sigmoid(share + bias).astype(v.dtype)

  @property
  def takes_stream(self) -> bool:
    """Whether it reads the side stream; else it gives to it."""
    return self.value_residual

  def _shift(
    self, x: Activations, state: short_conv.State, reset: Reset | None
  ) -> tuple[dict[str, Activations], short_conv.State]:
    """Mixtures of a token and the one before, a mixture for each use."""
    before, state = token_shift(x, state, reset)  # [B, T, D]

    def mixed(name, power):
      mu = self._channels(f"shift_{name}", _ramp(1.0, 0.0, power), x, "embed")
      return x + (before - x) * mu

    return {name: mixed(name, power) for name, power in SHIFTED.items()}, state

  def _channels(self, name: str, init, like: Array, axis: str = "heads") -> Array:
    """A parameter a channel, in the shape and dtype of `like`."""
    w = self.param(name, named(init, (axis,), decay=False), (self.d_model,))
    return scan.per_channel(w, like)

  def _bonus(self, rk: Float[Array, "B T H K"]) -> Float[Array, "B T H 1"]:
    """How much of its own value a token reads beside the memory."""
    flat = rk.reshape(*rk.shape[:2], self.d_model)  # [B, T, D]
    weighed = flat * self._channels("bonus", _ramp(-0.04, -0.04), flat)
    return self._heads(weighed).sum(-1, keepdims=True)

  def _heads(self, a: Float[Array, "*B D"]) -> Float[Array, "*B H K"]:
    return a.reshape(*a.shape[:-1], self.num_heads, self._head_dim)

  def _dense(self, name: str, axes=("embed", "heads")) -> nn.DenseGeneral:
    return dense(self.d_model, axes, name, self.dtype)

  def _low_rank(
    self, name: str, x: Activations, rank: int, activation: Callable = lambda a: a
  ) -> Float[Array, "B T D"]:
    """W_out activation(W_in x), in float32."""
    # weight decay does not act on low-rank maps in the released code, nor here
    linear = functools.partial(dense, dtype="float32", decay=False)
    narrow = linear(rank, ("embed", None), f"{name}_in")(x)  # [B, T, R]
    return linear(self.d_model, (None, "heads"), name)(activation(narrow))

  def _rank(self, factor: float) -> int:
    """The released sizes: factor D^0.5 in steps of 32."""
    return max(32, 32 * round(factor * self.d_model**0.5 / 32))

  @property
  def _head_dim(self) -> int:
    return head_size(self.d_model, self.num_heads)

  @property
  def _state_spec(self) -> State:
    size = self._head_dim
    shift = OpState(short_conv, (2, self.d_model), self.dtype)
    return State(shift, OpState(dplr, (self.num_heads, size, size)))


OP = dplr
Mixer = RWKV7
