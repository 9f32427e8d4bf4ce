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
from jaxmem.layers.primitives import ShortConv, dense, named, token_shift
from jaxmem.ops import rglru, short_conv
from jaxmem.ops.recurrence.precision import einsum

# A recurrence gate that makes the decay 0, and no number infinite.
FORGET = 1e30


class State(NamedTuple):
  """The last inputs of the convolution, and the recurrence."""

  conv: short_conv.State
  rglru: rglru.State


class Begun(NamedTuple):
  """The state where a first token is written otherwise.

  Attributes:
    conv: the last inputs of the convolution.
    rglru: the recurrence.
    begun: holds 1 behind any token, and 0 before the first.
  """

  conv: short_conv.State
  rglru: rglru.State
  begun: short_conv.State


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
    use_bias: adds a bias to the projections.
    first_unscaled: writes a document's first token as it is, without the factor
      sqrt(1 - a^2), as the released models do; the paper's equation has it everywhere.
      The state has a number more, which says whether there was a token.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gates and recurrence are float32.
  """

  d_model: int
  width: int = 0
  num_heads: int = 4
  conv_size: int = 4
  use_bias: bool = False
  first_unscaled: bool = False
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  @nn.compact
  def __call__(
    self, x: Activations, state: State | Begun, reset: Reset | None = None
  ) -> tuple[Activations, State | Begun]:
    width, axes, bias = self._width, ("embed", "heads"), self.use_bias
    gate = nn.gelu(dense(width, axes, "gate", self.dtype, bias=bias)(x))  # [B, T, R]
    u = dense(width, axes, "in", self.dtype, bias=bias)(x)  # [B, T, R]
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
    begun = None
    if isinstance(state, Begun):
      ones = jnp.ones((*x.shape[:2], 1))
      before, begun = token_shift(ones, state.begun, reset)  # [B, T, 1], 0 at a first
      # a decay of 0 makes the factor 1, and a first token has nothing to forget
      r = jnp.where(before > 0, r, FORGET)
    inputs = (u.astype(jnp.float32), r, i)
    h, memory = self._recall(rglru, inputs, state.rglru, reset, (lam,))  # [B, T, R]
    y = h.astype(gate.dtype) * gate
    y = dense(self.d_model, axes[::-1], "out", self.dtype, bias=bias)(y)
    if begun is not None:
      return y, Begun(conv_state, memory, begun)
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
  def _state_spec(self) -> State | Begun:
    conv = OpState(short_conv, (self.conv_size, self._width), self.dtype)
    memory = OpState(rglru, (self._width,))
    if self.first_unscaled:
      return Begun(conv, memory, OpState(short_conv, (2, 1)))
    return State(conv, memory)


Mixer = RGLRU
