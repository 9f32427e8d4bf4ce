"""A simple recurrent network as a mixer. Source: see `jaxmem.ops.rnn`."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import named
from jaxmem.ops import rnn
from jaxmem.parallel import apply


class RNN(Memory):
  """One layer of D units; 2 D^2 + D parameters, 4 D bytes of state a row.

      from jaxmem.mixers.rnn import RNN
      mixer = RNN(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out, and units.
    activation: "tanh" or "relu"; under "relu" the recurrent matrix starts as the
      identity, which keeps what it has (arXiv:1504.00941).
    chunk_size: tokens whose input products are taken at once.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; the state is float32.
  """

  d_model: int
  activation: str = "tanh"
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "nonlinear"

  @nn.compact
  def __call__(
    self, x: Activations, state: rnn.State, reset: Reset | None = None
  ) -> tuple[Activations, rnn.State]:
    if self.activation not in rnn.ACTIVATIONS:
      known = ", ".join(rnn.ACTIVATIONS)
      raise ValueError(f"activation is {self.activation!r}: it must be one of {known}")
    d, init = self.d_model, nn.initializers
    identity = lambda key, shape, dtype=jnp.float32: jnp.eye(*shape, dtype=dtype)
    recurrent = identity if self.activation == "relu" else init.orthogonal()
    w = self.param(
      "input", named(init.lecun_normal(), ("embed", None), decay=True), (d, d)
    )
    r = self.param("recurrent", named(recurrent, (None, None), decay=True), (d, d))
    b = self.param("bias", named(init.zeros, (None,), decay=False), (d,))
    dtype = jnp.dtype(self.dtype)
    return apply.apply(
      self.op(rnn),
      self.form,
      tuple(a.astype(dtype) for a in (w, r, b)),
      (x.astype(dtype),),
      state,
      reset,
      sizes={"chunk_size": self.chunk_size},
      activation=self.activation,
    )

  def init_state(self, batch_size: int) -> rnn.State:
    return rnn.init_state(batch_size, self.d_model)

  def state_axes(self) -> rnn.State:
    return rnn.State(("batch", None))


Mixer = RNN
