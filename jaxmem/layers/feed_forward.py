"""What MLPs share: sizes, and the maps up and down."""

from flax import linen as nn

from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense


class FeedForward(Memory):
  """A layer that reads each token alone; its state is `()` unless it says otherwise.

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
    """The map from D to F features."""
    axes = ("embed", "mlp")
    return dense(self.d_ff, axes, name, self.dtype, bias=self.use_bias)

  def _down(self) -> nn.DenseGeneral:
    """The map from F back to D features."""
    axes = ("mlp", "embed")
    return dense(self.d_model, axes, "down", self.dtype, bias=self.use_bias)
