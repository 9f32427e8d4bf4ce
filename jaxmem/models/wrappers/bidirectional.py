"""Runs any causal mixer in both directions, for encoders.

Source: Schuster and Paliwal 1997, IEEE Transactions on Signal Processing 45(11).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.primitives import dense
from jaxmem.models.wrappers import Sight


def one_text(mask: Bool[Array, "B T"]) -> Reset:
  """Returns the reset of rows that hold one text each; padding is its own document.

  So nothing of the padding reaches the text, whatever the mixer.

  Args:
    mask: True for tokens of the text, which begins at its row's first token.
  """
  first = jnp.arange(mask.shape[1]) == 0  # [T]
  return first | (jnp.roll(mask, 1, axis=1) & ~mask)  # [B, T]


class Bidirectional(nn.Module):
  """Combines a mixer's outputs in both directions: y_t = W [forward_t, backward_t].

  A token sees its whole document and no other: read backwards, a document begins with
  its last token. So nothing can be carried, and the state is empty, (). Cost: twice the
  mixer's parameters, and 2 D^2 for W.

      from jaxmem.models.wrappers.bidirectional import Bidirectional
      from jaxmem.mixers.lstm import LSTM
      mixer = Bidirectional(LSTM(d_model=64, parent=None))
      y, state = mixer.apply(params, x, (), reset)

  Attributes:
    mixer: the mixer, unbound; each direction is a copy with parameters of its own. The
      part of a wrapper, such as the cell of `learned_init(gru)`, serves both.
  """

  mixer: nn.Module

  causal = False

  @nn.compact
  def __call__(
    self, x: Activations, state: tuple[()] = (), reset: Reset | None = None
  ) -> tuple[Activations, tuple[()]]:
    forward = self._one_way("forward", x, reset)  # [B, T, D]
    flipped = jnp.flip(x, axis=1)
    backward = self._one_way("backward", flipped, _flipped_reset(reset))
    backward = jnp.flip(backward, axis=1)  # [B, T, D]
    y = jnp.concatenate([forward, backward], axis=-1)  # [B, T, 2 D]
    return dense(self.d_model, ("heads", "embed"), "out", str(y.dtype))(y), ()

  def _one_way(self, name: str, x: Activations, reset: Reset | None) -> Activations:
    empty = self.mixer.init_state(x.shape[0])
    return self.mixer.clone(parent=self, name=name)(x, empty, reset)[0]

  @property
  def d_model(self) -> int:
    """D, the number of features."""
    return self.mixer.d_model

  def sees(self, part_sees: Sight, reset: Reset) -> np.ndarray:
    """Returns which tokens reach which: those of either direction."""
    flipped: Any = _flipped_reset(reset)
    backward = part_sees(self.mixer, flipped)[::-1, ::-1]  # [T, T]
    return part_sees(self.mixer, reset) | backward

  def init_state(self, batch_size: int) -> tuple[()]:
    """Returns (): nothing is carried."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns (), the axis names of nothing."""
    return ()


def _flipped_reset(reset: Reset | None) -> Reset | None:
  """Returns the reset of flipped rows, where a document begins with its last token."""
  # a document's last token precedes the next reset; rolling wraps the first to the end
  return None if reset is None else jnp.flip(jnp.roll(reset, -1, axis=1), axis=1)


Wrapper = Bidirectional
