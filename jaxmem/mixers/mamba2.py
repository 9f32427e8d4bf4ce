"""Mamba-2: a short convolution, a decay a head, keys and queries that heads share.

Source: Dao and Gu 2024, arXiv:2405.21060, sections 6 and 7.1 and figure 6.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.layers.primitives import (
  EPSILON,
  ShortConv,
  dense,
  named,
  rate_init,
  step_init,
  wide,
)
from jaxmem.ops import gated_linear, short_conv


class State(NamedTuple):
  """The last inputs of the convolution, and the matrices."""

  conv: short_conv.State
  ssm: gated_linear.State


class Mamba2(Memory):
  """A Mamba-2 layer of width R = E D; D (3 R + 2 G K + H) + 6 R + 10 G K + 3 H numbers.

      S_t = exp(-dt_t A) S_{t-1} + b_t (dt_t x_t)^T,    y_t = S_t^T c_t + D x_t

  State: 4 K R bytes of matrices a row, and 3 (R + 2 G K) inputs of the convolution.

      from jaxmem.mixers.mamba2 import Mamba2
      mixer = Mamba2(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H, of R/H channels each.
    num_groups: G, heads of a group share b and c; divides H.
    state_dim: K, of b and c.
    expand: E, how much wider than D the layer is.
    conv_size: taps of the convolution on x, b and c.
    norm_epsilon: of the norm behind the gate.
    use_bias: adds a bias to the projections.
    conv_bias: adds a bias to the convolution.
    shortest_step: dt is at least this.
    longest_step: dt is at most this; None does not bound it.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  num_groups: int = 1
  state_dim: int = 128
  expand: int = 2
  conv_size: int = 4
  norm_epsilon: float = number(EPSILON, above=0)
  use_bias: bool = False
  conv_bias: bool = True
  shortest_step: float = number(0.0, at_least=0)
  longest_step: float | None = number(None, above=0)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    width, shared, heads = self._width, self.num_groups * self.state_dim, self.num_heads
    tokens = x.shape[:2]
    gate = nn.silu(self._in(width, "gate", self.dtype)(x))  # [B, T, R]
    # x, b and c of the paper are v, k and q of linear attention
    xbc = self._in(width + 2 * shared, "xbc", self.dtype)(x)
    conv = ShortConv(
      width + 2 * shared,
      taps=self.conv_size,
      bias=self.conv_bias,
      dtype=self.dtype,
      name="conv",
    )
    xbc, conv_state = conv(xbc, state.conv, reset)
    v, k, q = jnp.split(nn.silu(xbc), [width, width + shared], axis=-1)
    v = v.reshape(*tokens, heads, width // heads)  # [B, T, H, R/H]
    k = k.reshape(*tokens, self.num_groups, self.state_dim)  # [B, T, G, K]
    q = q.reshape(*tokens, self.num_groups, self.state_dim)  # [B, T, G, K]

    # gates in float32: a decay of 0.999 is 1 in bfloat16
    rate = self.param("rate", named(rate_init, ("heads",), decay=False), (heads,))
    dt = self._step(x)  # [B, T, H]
    g = -jnp.exp(wide(rate)) * dt
    self.sow("intermediates", "log_decay", g)
    self.sow("intermediates", "write_strength", dt)
    # the step is a write strength, too
    inputs = (q, k, v * dt[..., None].astype(v.dtype), g)
    y, ssm = self._recall(gated_linear, inputs, state.ssm, reset)  # [B, T, H, R/H]
    skip = self.param(
      "skip", named(nn.initializers.ones, ("heads",), decay=False), (heads,)
    )
    y = y + v * skip[:, None].astype(v.dtype)
    y = self._norm(y.reshape(gate.shape) * gate)
    out = dense(self.d_model, ("heads", "embed"), "out", self.dtype, bias=self.use_bias)
    return out(y), State(conv_state, ssm)

  def _in(self, features: int, name: str, dtype: str) -> nn.DenseGeneral:
    """Returns a projection of the input."""
    return dense(features, ("embed", "heads"), name, dtype, bias=self.use_bias)

  def _step(self, x: Activations) -> Float[Array, "B T H"]:
    """The time step, in float32."""
    shape = (self.num_heads,)
    bias = self.param("step", named(step_init, ("heads",), decay=False), shape)
    dt = jax.nn.softplus(self._in(self.num_heads, "dt", "float32")(x) + bias)
    if self.shortest_step or self.longest_step is not None:
      dt = jnp.clip(dt, self.shortest_step, self.longest_step)
    return dt

  def _norm(self, y: Float[Array, "B T R"]) -> Array:
    """An RMS norm of each group's channels, with a scale a channel."""
    norm = nn.RMSNorm(
      epsilon=self.norm_epsilon,
      dtype=jnp.dtype(self.dtype),
      scale_init=named(nn.initializers.ones, ("heads", None), decay=False),
      reduction_axes=-1,
      feature_axes=(-2, -1),
      name="norm",
    )
    shape = self.num_groups, y.shape[2] // self.num_groups
    return norm(y.reshape(*y.shape[:2], *shape)).reshape(y.shape)

  @nn.nowrap
  def _check(self) -> None:
    if self.longest_step is not None and self.longest_step < self.shortest_step:
      raise ValueError(
        f"longest_step {self.longest_step} is below shortest_step {self.shortest_step}"
      )

  @property
  def _width(self) -> int:
    """R, channels of all heads."""
    width = self.expand * self.d_model
    if width % self.num_heads or self.num_heads % self.num_groups:
      raise ValueError(
        f"{width} channels, {self.num_heads} heads and {self.num_groups} groups do not "
        "divide into one another"
      )
    return width

  @property
  def _state_spec(self) -> State:
    width = self._width
    channels = width + 2 * self.num_groups * self.state_dim  # of x, b and c
    conv = OpState(short_conv, (self.conv_size, channels), self.dtype)
    sizes = self.num_heads, self.state_dim, width // self.num_heads
    return State(conv, OpState(gated_linear, sizes))


OP = gated_linear
Mixer = Mamba2
