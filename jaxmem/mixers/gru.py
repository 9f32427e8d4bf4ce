"""GRU as a mixer. Source: see `jaxmem.ops.gru`."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import named, sow_gates
from jaxmem.ops import gru
from jaxmem.parallel import apply


class GRU(Memory):
  """One GRU layer of D units; 6 D^2 + 4 D parameters, 4 D bytes of state a row.

      from jaxmem.mixers.gru import GRU
      mixer = GRU(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and units.
    reset_after: the reset gate acts on the recurrent product, as in torch and cuDNN; if
      False on what enters it, as in the paper, with D parameters less.
    chunk_size: tokens whose input products are taken at once.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; the state is float32.
  """

  d_model: int
  reset_after: bool = True
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "nonlinear"

  @nn.compact
  def __call__(
    self, x: Activations, state: gru.State, reset: Reset | None = None
  ) -> tuple[Activations, gru.State]:
    d, init = self.d_model, nn.initializers
    zeros = named(init.zeros, (None,), decay=False)
    w = self.param(
      "input", named(init.lecun_normal(), ("embed", None), decay=True), (d, 3 * d)
    )
    u = self.param(
      "recurrent", named(init.orthogonal(), (None, None), decay=True), (d, 3 * d)
    )
    params = [w, u, self.param("bias", zeros, (3 * d,))]
    if self.reset_after:
      params.append(self.param("read_bias", zeros, (d,)))
    dtype = jnp.dtype(self.dtype)
    given = tuple(a.astype(dtype) for a in params), (x.astype(dtype),), state, reset
    options = dict(reset_after=self.reset_after)
    sow_gates(self, self.op(gru), *given, **options)
    sizes = {"chunk_size": self.chunk_size}
    return apply.apply(self.op(gru), self.form, *given, sizes=sizes, **options)

  def init_state(self, batch_size: int) -> gru.State:
    return gru.init_state(batch_size, self.d_model)

  def state_axes(self) -> gru.State:
    return gru.State(("batch", None))


Mixer = GRU
