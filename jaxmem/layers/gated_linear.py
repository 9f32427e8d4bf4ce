"""What layers of gated linear attention share: sizes and projections."""

from typing import ClassVar

from jaxtyping import Array, Float

from jaxmem.core.typing import Activations
from jaxmem.layers.mixer import Memory, key_and_value
from jaxmem.layers.primitives import dense


class GatedLinear(Memory):
  """The parts of a layer around a matrix that decays and adds.

  A subclass defines the equation: it makes the decays, calls its op and composes the
  parts. It names its op in `_state_spec`.

  Attributes:
    d_model: D, features in and out.
    num_heads: H.
    key_dim: K, key features of a head; 0 is D/H.
    value_dim: V, value features of a head; 0 is D/H.
    chunk_size: tokens of a chunk.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; gates and matrices are float32.
  """

  d_model: int
  num_heads: int = 4
  key_dim: int = 0
  value_dim: int = 0
  chunk_size: int = 64
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "matrix"
  # Where the option is 0, K is D / (H key_share) and V is value_times D / H.
  key_share: ClassVar[int] = 1
  value_times: ClassVar[int] = 1

  def _qkv(
    self, x: Activations
  ) -> tuple[Float[Array, "B T H K"], Float[Array, "B T H K"], Float[Array, "B T H V"]]:
    """Returns q, k and v; q is not scaled."""
    _, key, value = self._dims
    q, k = self._project(x, "q", key), self._project(x, "k", key)  # [B, T, H, K]
    return q, k, self._project(x, "v", value)

  def _project(
    self, x: Activations, name: str, size: int, dtype: str | None = None
  ) -> Float[Array, "B T H _"]:
    """Returns a linear map of x to `size` features of every head."""
    axes = ("embed", "heads", None)
    return dense((self.num_heads, size), axes, name, dtype or self.dtype)(x)

  def _gate(self, x: Activations) -> Float[Array, "B T H V"]:
    """Returns the linear map of x that the gate of the output is made of."""
    return self._project(x, "gate", self._dims[2])

  def _out(self, y: Float[Array, "B T H V"]) -> Activations:
    """Returns the heads projected to D features."""
    axes = ("heads", None, "embed")
    return dense(self.d_model, axes, "out", self.dtype, (-2, -1))(y)  # [B, T, D]

  @property
  def _dims(self) -> tuple[int, int, int]:
    """Returns H, K and V."""
    return self.num_heads, *key_and_value(self, self.key_share, self.value_times)
