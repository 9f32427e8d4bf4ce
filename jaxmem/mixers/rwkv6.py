"""RWKV-6 (Finch): shifts and decays that depend on the token, and a bonus for it.

Source: Peng et al. 2024, arXiv:2404.05892, section 4.2, eq. 13 to 20.
"""

import functools
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, head_size
from jaxmem.layers.primitives import dense, head_norm, named, token_shift
from jaxmem.ops import gated_linear, short_conv
from jaxmem.parallel import apply

# What has a mixture of this token and the last one for itself.
MIXED = "rkvgw"
# exp(-exp(8)) is 0 in any precision; beyond it only the gradient would overflow.
FASTEST_DECAY = 8.0
EPSILON = 64e-5  # of the norm, as released


class State(NamedTuple):
  """The last token, and the matrices."""

  shift: short_conv.State
  wkv: gated_linear.State


def _ramp(first: float, last: float) -> nn.initializers.Initializer:
  """From `first` in channel 0 to `last` in the last one."""

  def init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    place = np.linspace(0, 1, int(np.prod(shape)))
    return jnp.asarray(first + (last - first) * place, dtype).reshape(shape)

  return init


# Weight decay does not act on low-rank maps in the released code, nor here.
_low_rank = functools.partial(dense, decay=False)


class RWKV6(Memory):
  """RWKV-6 time mixing; 5 D^2 + D (10 R + 2 R_w + 10) parameters.

      y_t = (S_{t-1} + diag(u) k_t v_t^T)^T r_t,    S_t = diag(w_t) S_{t-1} + k_t v_t^T

  with w_t = exp(-exp(d_t)). State: 4 D^2/H bytes of matrices a row, and the last token.

      from jaxmem.mixers.rwkv6 import RWKV6
      mixer = RWKV6(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    num_heads: H, of K = V = D/H.
    shift_rank: R, of the maps to the token shifts.
    decay_rank: R_w, of the map to the decays.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  shift_rank: int = 32
  decay_rank: int = 64
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    heads, d = (self.num_heads, self._head_dim), self.d_model
    before, shift = token_shift(x, state.shift, reset)
    mixed = self._mixed(x, before - x)
    project = lambda name: dense(heads, ("embed", "heads", None), name, self.dtype)(
      mixed[name]
    )
    # gates in float32: a decay of 0.999 is 1 in bfloat16
    low = _low_rank(self.decay_rank, ("embed", None), "decay_in", "float32")
    high = _low_rank(heads, (None, "heads", None), "decay", "float32")
    high = high(nn.tanh(low(mixed["w"])))
    base = self.param(
      "decay_base", named(_ramp(-6.0, -1.0), ("heads", None), decay=False), heads
    )
    g = -jnp.exp(jnp.minimum(base + high, FASTEST_DECAY))
    self.sow("intermediates", "log_decay", g)
    u = self.param("bonus", named(_ramp(1.0, 0.0), ("heads", None), decay=False), heads)
    y, wkv = apply.apply(
      self.op(gated_linear),
      self.form,
      (u,),
      (project("r"), project("k"), project("v"), g),
      state.wkv,
      reset,
      sizes={"chunk_size": self.chunk_size},
    )
    y = head_norm("norm", self.dtype, EPSILON)(y) * nn.silu(project("g"))
    out = dense(d, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), State(shift, wkv)

  def _mixed(self, x: Activations, step: Activations) -> dict[str, Activations]:
    """x_t + (x_{t-1} - x_t) * how much, which itself depends on such a mixture."""
    d, count, rank = self.d_model, len(MIXED), self.shift_rank
    half = named(_ramp(1.0, 0.0), ("embed",), decay=False)
    mu = self.param("shift", half, (d,)).astype(x.dtype)
    low = _low_rank((count, rank), ("embed", None, None), "shift_in", self.dtype)
    low = nn.tanh(low(x + step * mu))
    init = nn.initializers.variance_scaling(0.01, "fan_in", "normal", 1, 2, (0,))
    w = self.param(
      "shift_out", named(init, (None, None, "embed"), decay=False), (count, rank, d)
    )
    much = jnp.einsum("btnr,nrd->nbtd", low, w.astype(x.dtype))
    mixed = {}
    for i, name in enumerate(MIXED):
      base = self.param(f"shift_{name}", half, (d,)).astype(x.dtype)
      mixed[name] = x + step * (base + much[i])
    return mixed

  @nn.nowrap
  def _check(self) -> None:
    _ = self._head_dim  # raises ValueError where heads do not divide

  @property
  def _head_dim(self) -> int:
    return head_size(self.d_model, self.num_heads)

  def init_state(self, batch_size: int) -> State:
    size = self._head_dim
    shift = short_conv.init_state(batch_size, 2, self.d_model, jnp.dtype(self.dtype))
    return State(shift, gated_linear.init_state(batch_size, self.num_heads, size, size))

  def state_axes(self) -> State:
    shift = short_conv.State(("batch", None, None))
    return State(shift, gated_linear.State(("batch", "heads", "key", "value")))


OP = gated_linear
Mixer = RWKV6
