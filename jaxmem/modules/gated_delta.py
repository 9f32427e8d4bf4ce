"""Gated DeltaNet: short convolutions, the gated delta rule, a gated norm.

Source: Yang, Kautz and Hatamizadeh 2024, arXiv:2412.06464, figure 1 and section 3.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxmem.modules.layers import ShortConv, dense, l2_normalize, named, rms_norm
from jaxmem.ops import gated_delta, short_conv
from jaxmem.parallel import context
from jaxmem.typing import Activations, Reset


class State(NamedTuple):
  """The last inputs of the convolution, and the matrices."""

  conv: short_conv.State
  delta: gated_delta.State


def rate_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """log A for A uniform in 1..16, as in Mamba-2."""
  return jnp.log(jax.random.uniform(key, shape, dtype, minval=1.0, maxval=16.0))


def step_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """The softplus inverse of a step log-uniform in 0.001..0.1, as in Mamba-2."""
  low, high = jnp.log(0.001), jnp.log(0.1)
  dt = jnp.exp(jax.random.uniform(key, shape, dtype, minval=low, maxval=high))
  return dt + jnp.log(-jnp.expm1(-dt))


class GatedDelta(nn.Module):
  """A Gated DeltaNet layer; D (2 H K + 3 H V + 2 H) + 4 H (2 K + V) + V parameters.

  State: 4 H K V bytes of matrices a row, and 3 H (2 K + V) inputs of the convolution.

      from jaxmem.modules.gated_delta import GatedDelta
      mixer = GatedDelta(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, a head's; 0 is D/H.
    value_dim: V, a head's; 0 is K.
    conv_size: taps of the convolution on q, k and v.
    negative_eigenvalues: write strengths up to 2 instead of 1, which lets the memory
      flip what it holds (arXiv:2411.12537).
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  conv_size: int = 4
  negative_eigenvalues: bool = False
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    heads, key, value = self._dims
    lengths = (heads * key, heads * key, heads * value)
    qkv = dense(sum(lengths), ("embed", "heads"), "qkv", self.dtype)(x)
    qkv, conv = self._conv("conv")(qkv, state.conv, reset)
    q, k, v = jnp.split(nn.silu(qkv), [lengths[0], 2 * lengths[0]], axis=-1)
    split = lambda a, size: a.reshape(*a.shape[:2], heads, size)
    q = l2_normalize(split(q, key)) * key**-0.5
    k, v = l2_normalize(split(k, key)), split(v, value)

    # gates in float32: a decay of 0.999 is 1 in bfloat16
    small = lambda name: dense(heads, ("embed", "heads"), name, "float32")(x)
    rate = self.param("rate", named(rate_init, ("heads",)), (heads,))
    dt = self.param("step", named(step_init, ("heads",)), (heads,))
    g = -jnp.exp(rate) * jax.nn.softplus(small("decay") + dt)
    beta = nn.sigmoid(small("write")) * (2 if self.negative_eigenvalues else 1)
    self.sow("intermediates", "log_decay", g)
    self.sow("intermediates", "write_strength", beta)

    y, delta = context.apply(
      gated_delta,
      self.form,
      (),
      (q, k, v, g, beta),
      state.delta,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    gate = dense((heads, value), ("embed", "heads", None), "gate", self.dtype)(x)
    y = rms_norm("norm", self.dtype, "head_dim")(y) * nn.silu(gate)
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), State(conv, delta)

  @property
  def _dims(self) -> tuple[int, int, int]:
    key = self.key_dim or self.d_model // self.num_heads
    return self.num_heads, key, self.value_dim or key

  def _conv(self, name: str | None = None) -> ShortConv:
    heads, key, value = self._dims
    args = dict(dim=heads * (2 * key + value), taps=self.conv_size, dtype=self.dtype)
    return ShortConv(**args, name=name) if name else ShortConv(**args, parent=None)

  def init_state(self, batch_size: int) -> State:
    conv = self._conv().init_state(batch_size)
    return State(conv, gated_delta.init_state(batch_size, *self._dims))

  def state_axes(self) -> State:
    delta = gated_delta.State(("batch", "heads", "key", "value"))
    return State(self._conv().state_axes(), delta)


Mixer = GatedDelta
