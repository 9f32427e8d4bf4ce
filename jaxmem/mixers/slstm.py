"""The sLSTM layer: a short convolution, exponential gates, a group norm.

Source: Beck et al. 2024, arXiv:2405.04517, section 2.2 and appendix A.4 (sLSTM block).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import word
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.cells import Cells
from jaxmem.layers.mixer import OpState, head_size
from jaxmem.layers.primitives import ShortConv, named
from jaxmem.ops import short_conv, slstm
from jaxmem.ops.recurrence.precision import einsum


class State(NamedTuple):
  """The last inputs of the convolution, and the cells."""

  conv: short_conv.State
  slstm: slstm.State


class SLSTM(Cells):
  """One sLSTM layer of D cells; 8 D^2/H + (L + 6) D parameters.

  State: 16 D bytes of cells a row, and (L - 1) D inputs of the convolution. Input and
  forget gate see the convolution, cell input and output gate the token itself; every
  linear map stays within a head. The MLP that follows it in the paper is the block's.

      from jaxmem.mixers.slstm import SLSTM
      mixer = SLSTM(d_model=64, num_heads=4)
      state = mixer.init_state(batch_size=2)

  Attributes:
    num_heads: H, divides D.
    conv_size: L, taps of the convolution.
    forget: the forget gate, "sigmoid" or "exp".
    chunk_size: tokens whose weight gradients are taken at once.
    others: see `Cells`.
  """

  num_heads: int = 4
  conv_size: int = 4
  forget: str = word("sigmoid", ("sigmoid", "exp"))

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    x = x.astype(jnp.dtype(self.dtype))
    conv = ShortConv(
      self.d_model,
      taps=self.conv_size,
      bias=True,
      dtype=self.dtype,
      name="conv",
    )
    mixed, conv_state = conv(x, state.conv, reset)  # [B, T, D]
    mixed = nn.silu(mixed)
    gates = (
      self._gate("input_gate", mixed),  # [B, T, D], as the others
      self._gate("forget_gate", mixed, self._forget_bias),
      self._gate("cell_input", x),
      self._gate("output_gate", x),
    )
    init = nn.initializers.lecun_normal(in_axis=2, out_axis=3, batch_axis=(0, 1))
    init = named(init, (None, "heads", None, None), decay=True)
    r = self.param("recurrent", init, (4, *self._matrices))  # [4, H, D/H, D/H]
    params = (r.astype(x.dtype),)
    h, cells = self._recall_gated(
      slstm, gates, state.slstm, reset, params, forget=self.forget
    )
    return self._normed(h).astype(x.dtype), State(conv_state, cells)

  def _forget_bias(
    self, key: Array, shape: tuple[int, ...], dtype=jnp.float32
  ) -> Array:
    """From 3 to 6 over the cells of a head: each head has slow ones and fast ones."""
    heads, size, _ = self._matrices
    return jnp.tile(jnp.linspace(3.0, 6.0, size, dtype=dtype), heads).reshape(shape)

  def _gate(
    self, name: str, x: Activations, bias_init=nn.initializers.zeros
  ) -> Float[Array, "B T D"]:
    """A linear map a head, summed in float32: gates are exponents."""
    init = nn.initializers.lecun_normal(in_axis=1, out_axis=2, batch_axis=0)
    init = named(init, ("heads", None, None), decay=True)
    w = self.param(f"{name}_kernel", init, self._matrices)  # [H, D/H, D/H]
    b = self.param(
      f"{name}_bias", named(bias_init, ("heads",), decay=False), (self.d_model,)
    )
    heads = x.reshape(*x.shape[:2], *self._matrices[:2])  # [B, T, H, D/H]
    y = einsum("bthi,hij->bthj", heads, w.astype(x.dtype), jnp.float32)
    return y.reshape(x.shape) + b

  def _normed(self, h: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
    """Layer norm of each head, with a scale a cell."""
    heads = h.reshape(*h.shape[:2], *self._matrices[:2])  # [B, T, H, D/H]
    heads = jax.nn.standardize(heads, axis=-1, epsilon=1e-5).reshape(h.shape)
    ones = named(nn.initializers.ones, ("heads",), decay=False)
    return heads * self.param("norm", ones, (self.d_model,))

  @nn.nowrap
  def _check(self) -> None:
    _ = self._matrices  # raises ValueError where heads do not divide

  @property
  def _matrices(self) -> tuple[int, int, int]:
    """H matrices of D/H rows and columns."""
    size = head_size(self.d_model, self.num_heads)
    return self.num_heads, size, size

  @property
  def _state_spec(self) -> State:
    sizes = self.conv_size, self.d_model
    conv = OpState(short_conv, sizes, self.dtype)
    return State(conv, OpState(slstm, (self.d_model,)))


Mixer = SLSTM
