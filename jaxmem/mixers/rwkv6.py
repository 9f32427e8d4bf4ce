"""RWKV-6 (Finch): shifts and decays that depend on the token, and a bonus for it.

Source: Peng et al. 2024, arXiv:2404.05892, section 4.2, eq. 13 to 20.
"""

import functools
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState, head_size
from jaxmem.layers.primitives import dense, head_norm, named, token_shift
from jaxmem.ops import gated_linear, short_conv

# The uses of a token; each has a mixture of this token and the last one for itself.
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
    norm_epsilon: under the root of the norm of a head.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  shift_rank: int = 32
  decay_rank: int = 64
  norm_epsilon: float = number(EPSILON, above=0)
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    before, shift = token_shift(x, state.shift, reset)  # [B, T, D]
    mixed = self._mixed(x, before - x)  # [B, T, D] for each use
    g = self._log_decay(mixed["w"])  # [B, T, H, K]
    self.sow("intermediates", "log_decay", g)
    ramp = named(_ramp(1.0, 0.0), ("heads", None), decay=False)
    u = self.param("bonus", ramp, self._heads)  # [H, K]
    r, k, v = (self._project(mixed[name], name) for name in "rkv")  # [B, T, H, K]
    y, wkv = self._recall(gated_linear, (r, k, v, g), state.wkv, reset, (u,))
    y = head_norm("norm", self.dtype, self.norm_epsilon)(y)  # [B, T, H, K]
    y = y * nn.silu(self._project(mixed["g"], "g"))
    axes = ("heads", None, "embed")
    out = dense(self.d_model, axes, "out", self.dtype, (-2, -1))
    return out(y), State(shift, wkv)

  def _project(self, x: Activations, name: str) -> Float[Array, "B T H K"]:
    return dense(self._heads, ("embed", "heads", None), name, self.dtype)(x)

  def _log_decay(self, x: Activations) -> Float[Array, "B T H K"]:
    """log w, in float32: a decay of 0.999 is 1 in bfloat16."""
    low = _low_rank(self.decay_rank, ("embed", None), "decay_in", "float32")
    high = _low_rank(self._heads, (None, "heads", None), "decay", "float32")
    logits = high(nn.tanh(low(x)))  # [B, T, H, K]
    ramp = named(_ramp(-6.0, -1.0), ("heads", None), decay=False)
    logits = self.param("decay_base", ramp, self._heads) + logits
    return -jnp.exp(jnp.minimum(logits, FASTEST_DECAY))

  def _mixed(self, x: Activations, step: Activations) -> dict[str, Activations]:
    """x_t + share (x_{t-1} - x_t) for each use; a share depends on such a mixture."""
    d, count, rank = self.d_model, len(MIXED), self.shift_rank
    half = named(_ramp(1.0, 0.0), ("embed",), decay=False)
    mu = self.param("shift", half, (d,)).astype(x.dtype)
    project = _low_rank((count, rank), ("embed", None, None), "shift_in", self.dtype)
    low = nn.tanh(project(x + step * mu))  # [B, T, N, R], N uses
    init = nn.initializers.variance_scaling(0.01, "fan_in", "normal", 1, 2, (0,))
    w = self.param(
      "shift_out", named(init, (None, None, "embed"), decay=False), (count, rank, d)
    )
    shares = jnp.einsum("btnr,nrd->nbtd", low, w.astype(x.dtype))  # [N, B, T, D]
    mixed = {}
    for i, name in enumerate(MIXED):
      base = self.param(f"shift_{name}", half, (d,)).astype(x.dtype)
      mixed[name] = x + step * (base + shares[i])
    return mixed

  @property
  def _heads(self) -> tuple[int, int]:
    """H and K = D/H."""
    return self.num_heads, head_size(self.d_model, self.num_heads)

  @property
  def _state_spec(self) -> State:
    heads, size = self._heads
    shift = OpState(short_conv, (2, self.d_model), self.dtype)
    return State(shift, OpState(gated_linear, (heads, size, size)))


OP = gated_linear
Mixer = RWKV6
