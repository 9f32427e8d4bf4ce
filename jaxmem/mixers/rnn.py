"""A simple recurrent network as a mixer. Source: see `jaxmem.ops.rnn`."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import word
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.cells import ORTHOGONAL, Cells
from jaxmem.layers.mixer import OpState
from jaxmem.ops import rnn


def _identity(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  del key
  rows, columns = shape
  return jnp.eye(rows, columns, dtype=dtype)


class RNN(Cells):
  """One layer of D units; 2 D^2 + D parameters, 4 D bytes of state a row.

      from jaxmem.mixers.rnn import RNN
      mixer = RNN(d_model=64)
      state = mixer.init_state(batch_size=2)

  Attributes:
    activation: "tanh" or "relu"; under "relu" the recurrent matrix starts as the
      identity, which keeps what it has (arXiv:1504.00941).
    others: see `Cells`.
  """

  activation: str = word("tanh", tuple(rnn.ACTIVATIONS))

  @nn.compact
  def __call__(
    self, x: Activations, state: rnn.State, reset: Reset | None = None
  ) -> tuple[Activations, rnn.State]:
    weights = self._weights(1, _identity if self.activation == "relu" else ORTHOGONAL)
    dtype = jnp.dtype(self.dtype)
    params = tuple(a.astype(dtype) for a in weights)  # [D, D], [D, D], [D]
    inputs, activation = (x.astype(dtype),), self.activation
    return self._recall(rnn, inputs, state, reset, params, activation=activation)

  @property
  def _state_spec(self) -> OpState:
    return OpState(rnn, (self.d_model,))


Mixer = RNN
