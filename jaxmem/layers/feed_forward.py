"""What MLPs share: sizes, the empty state, and the maps up and down."""

from flax import linen as nn

from jaxmem.core.typing import State
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense


class FeedForward(Memory):
  """A layer that reads each token alone; its state is `()`.

  Attributes:
    d_model: D, features in and out.
    d_ff: F, of the hidden layer.
    use_bias: of the linear maps.
    dtype: of the computation.
  """

  d_model: int
  d_ff: int
  use_bias: bool = False
  dtype: str = "float32"

  def _up(self, name: str = "up") -> nn.DenseGeneral:
    axes = ("embed", "mlp")
    return dense(self.d_ff, axes, name, self.dtype, bias=self.use_bias)

  def _down(self) -> nn.DenseGeneral:
    axes = ("mlp", "embed")
    return dense(self.d_model, axes, "down", self.dtype, bias=self.use_bias)

  def init_state(self, batch_size: int) -> State:
    return ()

  def state_axes(self) -> State:
    return ()
