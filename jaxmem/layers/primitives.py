"""Initializers, linear maps, norms and convolutions, with logical names of all axes."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.op import Op
from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.ops import short_conv
from jaxmem.parallel import apply, rows
from jaxmem.parallel.mesh import Declared

Axes = tuple[str | None, ...]
# Added under the root of every RMS norm.
EPSILON = 1e-6


def named(
  init: nn.initializers.Initializer, axes: Axes, decay: bool | None = None
) -> nn.initializers.Initializer:
  """Returns an initializer whose parameter carries its axes and its weight decay.

  Args:
    init: makes the values.
    axes: logical names of the axes.
    decay: whether weight decay acts on the parameter. True for what mixes channels:
      projections, convolution taps, tables of vectors. False for biases, scales of
      norms, rates, time constants, skips, learned starts. None leaves it to
      `optimizer.decays`.
  """

  @functools.wraps(init)
  def declared(*args, **kwargs):
    return Declared(init(*args, **kwargs), axes, decay=decay)

  return declared


def wide(w: Array) -> Array:
  """Returns a parameter in float32 at least.

  Parameters are often cast to bfloat16 for inference, where exp(-0.001) is 1.
  """
  return w.astype(jnp.promote_types(w.dtype, jnp.float32))


class Dropout(nn.Module):
  """Sets features to 0 at a rate, and scales the others up to keep the mean.

  The mask of a row depends on the key and the row's number only, see `parallel.rows`.

  Attributes:
    rate: in [0, 1).
    deterministic: drops nothing; set here or in the call.
  """

  rate: float
  deterministic: bool | None = None

  @nn.compact
  def __call__(
    self, x: Float[Array, "..."], deterministic: bool | None = None
  ) -> Float[Array, "..."]:
    deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
    if deterministic or not self.rate:
      return x

    def sample(key, shape):
      return jax.random.bernoulli(key, 1 - self.rate, shape)

    mask = rows.draw(sample, self.make_rng("dropout"), x.shape)  # the shape of x
    return jnp.where(mask, x / (1 - self.rate), 0)


def dense(
  features: int | Sequence[int],
  axes: Axes,
  name: str,
  dtype: str,
  axis: int | Sequence[int] = -1,
  bias: bool = False,
  decay: bool = True,
) -> nn.DenseGeneral:
  """Returns a linear map with float32 parameters, computed in `dtype`.

  Args:
    features: sizes of the new axes.
    axes: logical names of the kernel's axes, inputs first.
    name: of the submodule.
    dtype: of operands and result.
    axis: the axes that are summed over.
    bias: adds a bias.
    decay: whether weight decay acts on the kernel; it never does on the bias.
  """
  outputs = 1 if isinstance(features, int) else len(features)
  return nn.DenseGeneral(
    features,
    axis=axis,
    use_bias=bias,
    dtype=jnp.dtype(dtype),
    kernel_init=named(nn.initializers.lecun_normal(), axes, decay),
    # a bias has the axes of the outputs, the last ones of the kernel
    bias_init=named(nn.initializers.zeros, axes[-outputs:], decay=False),
    name=name,
  )


def rms_norm(
  name: str, dtype: str, axis_name: str | None = "embed", epsilon: float = EPSILON
) -> nn.RMSNorm:
  """Returns an RMS norm, x / sqrt(mean x^2 + epsilon) * scale, with a float32 mean.

  Args:
    name: of the submodule.
    dtype: of the result.
    axis_name: logical name of the scale's axis.
    epsilon: see the equation.

  Source: Zhang and Sennrich 2019, arXiv:1910.07467.
  """
  return nn.RMSNorm(
    epsilon=epsilon,
    dtype=jnp.dtype(dtype),
    scale_init=named(nn.initializers.ones, (axis_name,), decay=False),
    name=name,
  )


class ShortConv(Memory):
  """The causal depthwise convolution before a recurrence; L D (+ D) parameters.

  Attributes:
    dim: D, channels.
    taps: L, how many inputs an output sees, its own included.
    bias: adds a bias.
    dtype: of the computation, and of the inputs in the state.
  """

  dim: int
  taps: int = 4
  bias: bool = False
  dtype: str = "float32"

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "B T D"],
    state: short_conv.State,
    reset: Reset | None = None,
  ) -> tuple[Float[Array, "B T D"], short_conv.State]:
    # fan_in is L: each channel is convolved alone
    init = nn.initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=0)
    # decay as in Mamba and xLSTM, which exempt rates, skips and biases only
    init = named(init, (None, "heads"), decay=True)
    w = self.param("taps", init, (self.taps, self.dim))  # [L, D]
    params = (w.astype(x.dtype),)
    y, state = apply.apply(short_conv, "auto", params, (x,), state, reset)  # [B, T, D]
    if self.bias:
      zeros = named(nn.initializers.zeros, ("heads",), decay=False)
      y = y + self.param("bias", zeros, (self.dim,)).astype(y.dtype)
    return y, state

  @property
  def _state_spec(self) -> OpState:
    return OpState(short_conv, (self.taps, self.dim), self.dtype)


def sow_gates(
  module: nn.Module,
  op: Op,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None,
  **options: Any,
) -> None:
  """Sows the gates of a nonlinear cell, if intermediates are collected.

  The gates cost a run of the op's reference form.

  Args:
    module: sows them.
    op: of a cell.
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    options: passed to every form of the op.
  """
  # the fast forms never store the gates: they are computed again, and only if wanted
  if module.is_mutable_collection("intermediates"):
    gates = apply.gates(op, params, inputs, state, reset, **options)
    for name, gate in gates.items():
      module.sow("intermediates", name, gate)


def l2_normalize(x: Float[Array, "... K"]) -> Float[Array, "... K"]:
  """Returns x / |x|; a zero vector stays zero.

  It is computed in float32, and its gradients are finite everywhere.
  """
  x32 = x.astype(jnp.float32)
  square = jnp.sum(x32 * x32, axis=-1, keepdims=True)  # [..., 1]
  # the epsilon keeps the gradient at 0 finite
  return (x32 * jax.lax.rsqrt(square + 1e-6)).astype(x.dtype)


def rate_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """Returns log A for A uniform in 1..16, as in Mamba-2."""
  return jnp.log(jax.random.uniform(key, shape, dtype, minval=1.0, maxval=16.0))


def step_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """Returns the softplus inverse of a time step log-uniform in 0.001..0.1 (Mamba)."""
  low, high = jnp.log(0.001), jnp.log(0.1)
  dt = jnp.exp(jax.random.uniform(key, shape, dtype, minval=low, maxval=high))
  # log(e^dt - 1), the inverse of softplus, without cancellation at small dt
  return dt + jnp.log(-jnp.expm1(-dt))


def head_norm(
  name: str, dtype: str, epsilon: float = 1e-5, scale: bool = True, bias: bool = True
) -> nn.LayerNorm:
  """Returns a layer norm of every head ("group norm") of x, [B, T, H, V].

  Args:
    name: of the submodule.
    dtype: of the result.
    epsilon: added under the root.
    scale: adds a scale for each channel, [H, V].
    bias: adds a bias for each channel, [H, V].

  Source: Wu and He 2018, arXiv:1803.08494.
  """
  return nn.LayerNorm(
    epsilon=epsilon,
    dtype=jnp.dtype(dtype),
    use_scale=scale,
    use_bias=bias,
    scale_init=named(nn.initializers.ones, ("heads", None), decay=False),
    bias_init=named(nn.initializers.zeros, ("heads", None), decay=False),
    reduction_axes=-1,  # means over V: one a head
    feature_axes=(-2, -1),  # scale and bias are [H, V]: one a channel
    name=name,
  )


def token_shift(
  x: Activations, state: short_conv.State, reset: Reset | None = None
) -> tuple[Activations, short_conv.State]:
  """Shifts tokens by one: each position gets the token before it, or 0 in a document's
  first.

  Args:
    x: the tokens.
    state: of a convolution of 2 taps, before the first token.
    reset: True on the first token of a document.

  Returns:
    The shifted tokens, and the state after the last one.
  """
  # a convolution of the fixed taps [0, 1] is a shift that knows resets and shards
  taps = jnp.zeros((2, x.shape[-1]), x.dtype).at[1].set(1.0)
  return apply.apply(short_conv, "auto", (taps,), (x,), state, reset)
