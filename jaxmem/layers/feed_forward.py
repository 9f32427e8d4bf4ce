"""What MLPs share: sizes, and the linear maps up and down."""

from flax import linen as nn

from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import dense


class FeedForward(Memory):
  """A layer that maps each token alone; its state is `()` unless a subclass has one.

  Attributes:
    d_model: D, features in and out.
    d_ff: F, features of the hidden layer.
    use_bias: adds a bias to the linear maps.
    dtype: of the computation.
  """

  d_model: int
  d_ff: int
  use_bias: bool = False
  dtype: str = "float32"

  def _up(self, name: str = "up") -> nn.DenseGeneral:
    """Returns the map from D to F features; a gated MLP has two of them."""
    axes = ("embed", "mlp")  # of the kernel, [D, F]: sharded over "mlp"
    return dense(self.d_ff, axes, name, self.dtype, bias=self.use_bias)

  def _down(self) -> nn.DenseGeneral:
    """Returns the map from F back to D features."""
    axes = ("mlp", "embed")  # [F, D]: shards of F are summed behind it
    return dense(self.d_model, axes, "down", self.dtype, bias=self.use_bias)
