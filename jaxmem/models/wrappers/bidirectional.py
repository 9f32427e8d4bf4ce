"""Any causal mixer run both ways, for encoders.

Source: Schuster and Paliwal 1997, IEEE Transactions on Signal Processing 45(11).
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.primitives import dense
from jaxmem.models.wrappers import Sight


def one_text(mask: Bool[Array, "B T"]) -> Reset:
  """The reset of rows that hold one text each: padding is a document of its own.

  So nothing of the padding reaches the text, whatever the mixer.

  Args:
    mask: True for the text, from the row's first token on.
  """
  first = jnp.arange(mask.shape[1]) == 0
  return first | (jnp.roll(mask, 1, axis=1) & ~mask)


class Bidirectional(nn.Module):
  """y_t = W [forward_t, backward_t]; twice the mixer's parameters and 2 D^2.

  A token sees its whole document and no other: read backwards, a document begins with
  its last token. So nothing can be carried, and the state is empty, ().

      from jaxmem.models.wrappers.bidirectional import Bidirectional
      from jaxmem.mixers.lstm import LSTM
      mixer = Bidirectional(LSTM(d_model=64, parent=None))
      y, state = mixer.apply(params, x, (), reset)

  Attributes:
    mixer: the mixer, unbound; each direction is one like it with parameters of its own.
      What a wrapper is around, the cell of `learned_init(gru)` say, is one for both.
  """

  mixer: nn.Module

  causal = False

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    flip = lambda a: jnp.flip(a, axis=1)
    # backwards, the last token of each document is the first
    last = None if reset is None else flip(jnp.roll(reset, -1, axis=1))
    forward = self._one_way("forward", x, reset)
    backward = flip(self._one_way("backward", flip(x), last))
    both = jnp.concatenate([forward, backward], axis=-1)
    return dense(self.d_model, ("heads", "embed"), "out", str(both.dtype))(both), ()

  def _one_way(self, name: str, x: Activations, reset: Reset | None) -> Activations:
    empty = self.mixer.init_state(x.shape[0])
    return self.mixer.clone(parent=self, name=name)(x, empty, reset)[0]

  @property
  def d_model(self) -> int:
    return self.mixer.d_model

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    backwards = jnp.flip(jnp.roll(reset, -1, axis=1), axis=1)
    ahead = part_sees(self.mixer, backwards)[::-1, ::-1]
    return part_sees(self.mixer, reset) | ahead

  def init_state(self, batch_size: int) -> tuple[()]:
    return ()

  def state_axes(self) -> tuple[()]:
    return ()


Wrapper = Bidirectional
