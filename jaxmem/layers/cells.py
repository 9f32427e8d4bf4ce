"""What layers of nonlinear cells share: concatenated weights, one call of the op."""

from types import ModuleType
from typing import Any, ClassVar

from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset, State
from jaxmem.layers.mixer import Memory
from jaxmem.layers.primitives import named, sow_gates

# An orthogonal matrix keeps the norm of the state that is fed back.
ORTHOGONAL = nn.initializers.orthogonal()


class Cells(Memory):
  """One layer of D cells, each of which reads the state of the whole layer.

  A subclass defines the cell: it makes the parameters of its op and calls it.

  Attributes:
    d_model: D, features in and out, and cells.
    chunk_size: tokens whose products with the input matrix are computed at once.
    form: "auto", "recurrent" or "chunk".
    dtype: of the matrix products and the output; the state is float32.
  """

  d_model: int
  chunk_size: int = 32
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "nonlinear"

  def _weights(
    self,
    gates: int,
    recurrent: nn.initializers.Initializer = ORTHOGONAL,
    bias: nn.initializers.Initializer = nn.initializers.zeros,
  ) -> tuple[Float[Array, "D E"], Float[Array, "D E"], Float[Array, " E"]]:
    """Returns input matrix, recurrent matrix and bias, of E = gates D columns.

    Args:
      gates: how many of D columns are concatenated.
      recurrent: initial values of the recurrent matrix.
      bias: initial values of the bias.
    """
    shape, axes = (self.d_model, gates * self.d_model), (None, None)
    # every cell reads all cells of its layer, so no axis of R can be sharded
    lecun = named(nn.initializers.lecun_normal(), ("embed", None), decay=True)
    w = self.param("input", lecun, shape)  # [D, E]
    r = self.param("recurrent", named(recurrent, axes, decay=True), shape)
    return w, r, self.param("bias", named(bias, (None,), decay=False), shape[1:])

  def _recall_gated(
    self,
    file: ModuleType,
    inputs: tuple[Array, ...],
    state: State,
    reset: Reset | None,
    params: tuple[Array, ...],
    **options: Any,
  ) -> tuple[Array, State]:
    """Calls `_recall`, and sows the gates where intermediates are collected."""
    sow_gates(self, self.op(file), params, inputs, state, reset, **options)
    return self._recall(file, inputs, state, reset, params, **options)
