"""Mamba: a short convolution and a selective state space, gated.

Source: Gu and Dao 2023, arXiv:2312.00752, section 3.4 and figure 3.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.layers.primitives import EPSILON, ShortConv, dense, named, step_init, wide
from jaxmem.ops import mamba, short_conv
from jaxmem.ops.recurrence import scan


class State(NamedTuple):
  """The last inputs of the convolution, and the state space."""

  conv: short_conv.State
  ssm: mamba.State


def rate_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """log -A for A = -1, -2, ..., -N in every channel (S4D-Real)."""
  rates = jnp.log(jnp.arange(1, shape[0] + 1, dtype=dtype))  # [N]
  return jnp.broadcast_to(rates[:, None], shape)


def rms_unit(x: Float[Array, "B T N"], epsilon: float) -> Float[Array, "B T N"]:
  """Divides features by their root mean square, which is computed in float32.

  Args:
    x: the features.
    epsilon: added under the root.

  Source: Zuo et al. 2024, arXiv:2410.05355, section 2.2 (Falcon-Mamba).
  """
  x32 = x.astype(jnp.float32)
  square = jnp.mean(x32 * x32, axis=-1, keepdims=True)  # [B, T, 1]
  return (x32 * jax.lax.rsqrt(square + epsilon)).astype(x.dtype)


class Mamba(Memory):
  """A Mamba layer; 3 D E + E (2 R + 3 N + 7) parameters, E = 2 D and R = D/16.

  State: 4 N E bytes of state space a row, and 3 E inputs of the convolution.

      from jaxmem.mixers.mamba import Mamba
      mixer = Mamba(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    expand: E / D, channels of the state space for a feature.
    state_size: N, numbers that a channel remembers.
    step_rank: R, features that the time step is read from; 0 is D/16, rounded up.
    conv_size: taps of the convolution.
    use_bias: adds a bias to the first and the last projection.
    conv_bias: adds a bias to the convolution.
    read_norm: divides B, C and what the time step is read from by their root mean
      squares, as Falcon-Mamba does.
    read_norm_epsilon: under these roots.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; time step and state are float32.
  """

  d_model: int
  expand: int = 2
  state_size: int = 16
  step_rank: int = 0
  conv_size: int = 4
  use_bias: bool = False
  conv_bias: bool = True
  read_norm: bool = False
  read_norm_epsilon: float = number(EPSILON, above=0)
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    width, size = self._width, self.state_size
    rank = self.step_rank or -(-self.d_model // 16)
    axes = ("embed", None, "heads")
    both = dense((2, width), axes, "in", self.dtype, bias=self.use_bias)(x)
    u, gate = both[:, :, 0], both[:, :, 1]  # [B, T, E], [B, T, E]
    conv = ShortConv(
      width,
      taps=self.conv_size,
      bias=self.conv_bias,
      dtype=self.dtype,
      name="conv",
    )
    u, conv_state = conv(u, state.conv, reset)
    u = nn.silu(u)
    read = dense(rank + 2 * size, ("heads", None), "read", self.dtype)(u)
    low, b, c = jnp.split(read, [rank, rank + size], axis=-1)  # [B, T, R], [B, T, N] x2
    if self.read_norm:
      low, b, c = (rms_unit(a, self.read_norm_epsilon) for a in (low, b, c))
    dt = jax.nn.softplus(self._step(low.astype(jnp.float32)))  # [B, T, E]
    self.sow("intermediates", "step", dt)
    rate = self.param(
      "rate", named(rate_init, ("key", "heads"), decay=False), (size, width)
    )
    if self.is_mutable_collection("intermediates"):  # N times as large as y
      self.sow("intermediates", "log_decay", dt[:, :, None] * -jnp.exp(wide(rate)))
    # A in float32 like the step: a decay of 0.999 is 1 in bfloat16
    params = (-jnp.exp(wide(rate)),)  # [N, E]
    inputs = (u.astype(jnp.float32), dt, b.astype(jnp.float32), c.astype(jnp.float32))
    y, ssm = self._recall(mamba, inputs, state.ssm, reset, params)  # [B, T, E]
    skip = self.param(
      "skip", named(nn.initializers.ones, ("heads",), decay=False), (width,)
    )
    y = y.astype(u.dtype) + scan.per_channel(skip, u) * u
    out = dense(self.d_model, ("heads", "embed"), "out", self.dtype, bias=self.use_bias)
    return out(y * nn.silu(gate)), State(conv_state, ssm)

  def _step(self, low: Float[Array, "B T R"]) -> Float[Array, "B T E"]:
    """The time step before softplus, in float32: a decay of 0.999 is 1 in bfloat16."""
    width, rank = self._width, low.shape[-1]
    scale = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # +-R^-0.5
    w = self.param(
      "step_kernel", named(scale, (None, "heads"), decay=True), (rank, width)
    )
    return low @ w + self.param(
      "step", named(step_init, ("heads",), decay=False), (width,)
    )

  @property
  def _width(self) -> int:
    """E, channels of the state space."""
    return self.expand * self.d_model

  @property
  def _state_spec(self) -> State:
    conv = OpState(short_conv, (self.conv_size, self._width), self.dtype)
    return State(conv, OpState(mamba, (self.state_size, self._width)))


Mixer = Mamba
