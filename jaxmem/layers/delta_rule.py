"""What layers around a delta rule share: q, k and v, write strength, norm, state."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState, head_size
from jaxmem.layers.primitives import (
  EPSILON,
  ShortConv,
  dense,
  l2_normalize,
  named,
  rate_init,
  rms_norm,
  step_init,
  wide,
)
from jaxmem.ops import gated_delta, short_conv


class State(NamedTuple):
  """The last inputs of the convolution, and the matrices of the delta rule."""

  conv: short_conv.State
  delta: gated_delta.State


class DeltaRule(Memory):
  """The parts of a layer around a delta rule; a subclass composes them.

  State: 4 H K V bytes of matrices a row, and 3 (2 H_k K + H V) inputs of the
  convolution.

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, key features of a head; 0 is D/H.
    value_dim: V, value features of a head; 0 is K.
    num_key_heads: H_k, heads of queries and keys, a divisor of H; each serves H / H_k
      neighbouring heads of values. 0 is H.
    conv_size: taps of the convolution on q, k and v.
    negative_eigenvalues: write strengths up to 2 instead of 1, which let the memory
      flip the sign of what it holds (arXiv:2411.12537).
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
    norm_epsilon: under the root of the norm of a head.
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
  num_key_heads: int = 0
  norm_epsilon: float = number(EPSILON, above=0)

  family: ClassVar[str] = "matrix"

  def _qkv(
    self, x: Activations, state: short_conv.State, reset: Reset | None
  ) -> tuple[Array, Array, Array, short_conv.State]:
    """Returns q, and k and v of every write, convolved; q and k have norm 1."""
    heads, key, value = self._dims
    sizes, tokens = self._widths, x.shape[:2]
    width = sum(sizes)  # one product and one convolution for q, k and v of all heads
    qkv = dense(width, ("embed", "heads"), "qkv", self.dtype)(x)  # [B, T, width]
    conv = ShortConv(width, self.conv_size, dtype=self.dtype, name="conv")
    qkv, state = conv(qkv, state, reset)
    q, k, v = jnp.split(nn.silu(qkv), [sizes[0], sizes[0] + sizes[1]], axis=-1)
    q = q.reshape(*tokens, self._key_heads, key)  # [B, T, H_k, K]
    k = k.reshape(*tokens, *self._writes, self._key_heads, key)  # [B, T, *N, H_k, K]
    q = self._for_all(l2_normalize(q) * key**-0.5)  # [B, T, H, K]
    k = self._for_all(l2_normalize(k))  # [B, T, *N, H, K]
    v = v.reshape(*tokens, *self._writes, heads, value)  # [B, T, *N, H, V]
    return q, k, v, state

  def _for_all(self, x: Float[Array, "B T *N G K"]) -> Float[Array, "B T *N H K"]:
    """Gives each head the queries or keys of its group."""
    group = self.num_heads // self._key_heads
    return x if group == 1 else jnp.repeat(x, group, axis=-2)

  def _write_strength(self, x: Activations) -> Float[Array, "B T *N H"]:
    """Returns beta of every write, in float32."""
    shape = (*self._writes, self.num_heads)
    axes = ("embed", *[None] * len(self._writes), "heads")
    beta = nn.sigmoid(dense(shape, axes, "write", "float32")(x))  # [B, T, *N, H]
    # I - beta k k^T has the eigenvalue 1 - beta: negative from 1 on
    beta = beta * (2 if self.negative_eigenvalues else 1)
    self.sow("intermediates", "write_strength", beta)
    return beta

  def _log_decay(self, x: Activations) -> Float[Array, "B T H"]:
    """Returns g of every head, in float32: a decay of 0.999 is 1 in bfloat16."""
    heads = self.num_heads
    rate = self.param("rate", named(rate_init, ("heads",), decay=False), (heads,))
    dt = self.param("step", named(step_init, ("heads",), decay=False), (heads,))
    logits = dense(heads, ("embed", "heads"), "decay", "float32")(x)  # [B, T, H]
    g = -jnp.exp(wide(rate)) * jax.nn.softplus(logits + dt)
    self.sow("intermediates", "log_decay", g)
    return g

  def _gate(self, x: Activations) -> Float[Array, "B T H V"]:
    """Returns the linear map of x that the gate of the output is made of."""
    heads, _, value = self._dims
    return dense((heads, value), ("embed", "heads", None), "gate", self.dtype)(x)

  def _out(self, y: Float[Array, "B T H V"], gate: Array | None = None) -> Activations:
    """Normalises every head, applies the gate, and projects to D features."""
    norm = rms_norm("norm", self.dtype, "head_dim", self.norm_epsilon)
    y = norm(y)  # [B, T, H, V]
    if gate is not None:
      y = y * gate
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y)

  @nn.nowrap
  def _check(self) -> None:
    if self.num_heads % self._key_heads:
      raise ValueError(
        f"{self.num_heads} heads do not divide among {self._key_heads} key heads"
      )

  @property
  def _key_heads(self) -> int:
    """Returns H_k."""
    return self.num_key_heads or self.num_heads

  @property
  def _dims(self) -> tuple[int, int, int]:
    """Returns H, K and V."""
    key = self.key_dim or head_size(self.d_model, self.num_heads, "key_dim")
    return self.num_heads, key, self.value_dim or key

  @property
  def _writes(self) -> tuple[int, ...]:
    """Returns the axis of writes between time and heads; it is empty for one write."""
    return ()

  @property
  def _widths(self) -> tuple[int, int, int]:
    """Returns the features of q, k and v over all heads and writes."""
    heads, key, value = self._dims
    writes = self._writes[0] if self._writes else 1
    keys = self._key_heads * key
    return keys, writes * keys, writes * heads * value

  @property
  def _state_spec(self) -> State:
    conv = OpState(short_conv, (self.conv_size, sum(self._widths)), self.dtype)
    return State(conv, OpState(gated_delta, self._dims))
