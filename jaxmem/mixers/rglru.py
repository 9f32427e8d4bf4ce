"""The recurrent block of Griffin: a short convolution, RG-LRU and a gate.

Source: De et al. 2024, arXiv:2402.19427, figure 2 (c) and section 2.4.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.layers.primitives import ShortConv, dense, named
from jaxmem.ops import rglru, short_conv
from jaxmem.ops.recurrence.precision import einsum


class State(NamedTuple):
  """The last inputs of the convolution, and the recurrence."""

  conv: short_conv.State
  rglru: rglru.State


def decay_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """lambda such that sigmoid(lambda)^c, the slowest decay, is uniform in 0.9..0.999."""
  slowest = jax.random.uniform(key, shape, dtype, minval=0.9, maxval=0.999)
  root = slowest ** (1 / rglru.SHARPNESS)
  return jnp.log(root) - jnp.log1p(-root)


class RGLRU(Memory):
  """Griffin's recurrent block; 3 D R + 2 R^2/H + about 9 R parameters.

  State: 4 R bytes of recurrence a row, and 3 R inputs of the convolution.

      from jaxmem.mixers.rglru import RGLRU
      mixer = RGLRU(d_model=64, num_heads=4)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    width: R, channels of the recurrence; 0 is D.
    num_heads: H, blocks of the block-diagonal gates; divides R.
    conv_size: taps of the convolution.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gates and recurrence are float32.
  """

  d_model: int
  width: int = 0
  num_heads: int = 4
  conv_size: int = 4
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    width, axes = self._width, ("embed", "heads")
    gate = nn.gelu(dense(width, axes, "gate", self.dtype)(x))  # [B, T, R]
    u = dense(width, axes, "in", self.dtype)(x)  # [B, T, R]
    conv = ShortConv(
      width,
      taps=self.conv_size,
      bias=True,
      dtype=self.dtype,
      name="conv",
    )
    u, conv_state = conv(u, state.conv, reset)
    r = nn.sigmoid(self._block_diagonal("recurrence_gate", u))
    i = nn.sigmoid(self._block_diagonal("input_gate", u))
    lam = self.param("decay", named(decay_init, ("heads",), decay=False), (width,))
    self.sow("intermediates", "recurrence_gate", r)
    self.sow("intermediates", "input_gate", i)
    if self.is_mutable_collection("intermediates"):
      self.sow("intermediates", "log_decay", rglru.log_decay(lam, r))
    inputs = (u.astype(jnp.float32), r, i)
    h, memory = self._recall(rglru, inputs, state.rglru, reset, (lam,))  # [B, T, R]
    y = h.astype(gate.dtype) * gate
    y = dense(self.d_model, ("heads", "embed"), "out", self.dtype)(y)
    return y, State(conv_state, memory)

  def _block_diagonal(self, name: str, u: Activations) -> Float[Array, "B T R"]:
    """A linear map a head, in float32 where the decay is made of it."""
    size = self._width // self.num_heads
    init = nn.initializers.lecun_normal(in_axis=1, out_axis=2, batch_axis=0)
    shape = (self.num_heads, size, size)
    w = self.param(
      f"{name}_kernel", named(init, ("heads", None, None), decay=True), shape
    )
    b = self.param(
      f"{name}_bias",
      named(nn.initializers.zeros, ("heads",), decay=False),
      (self._width,),
    )
    heads = u.reshape(*u.shape[:-1], self.num_heads, size)  # [B, T, H, R/H]
    y = einsum("bthi,hij->bthj", heads, w.astype(heads.dtype), jnp.float32)
    return y.reshape(u.shape) + b

  @property
  def _width(self) -> int:
    """R, channels of the recurrence."""
    width = self.width or self.d_model
    if width % self.num_heads:
      raise ValueError(f"width {width} does not divide into {self.num_heads} heads")
    return width

  @property
  def _state_spec(self) -> State:
    conv = OpState(short_conv, (self.conv_size, self._width), self.dtype)
    return State(conv, OpState(rglru, (self._width,)))


Mixer = RGLRU
