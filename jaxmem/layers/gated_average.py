"""What layers around a gated average share: linear maps, the average, its state."""

from typing import ClassVar

from jaxtyping import Array, Float

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.mixer import Memory, OpState
from jaxmem.layers.primitives import dense
from jaxmem.ops import gated_average


class GatedAverage(Memory):
  """D cells that a gate moves towards a candidate, h = f h + (1 - f) c.

  A subclass defines the equation: it makes the candidate c and the gate f.

  State: 4 D bytes a row.

  Attributes:
    d_model: D, features in and out, and cells.
    form: "auto", "recurrent", "parallel" or "sequential".
    dtype: of the matrix products and the output; gates and recurrence are float32.
  """

  d_model: int
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "diagonal"

  def _linear(self, x: Activations, name: str, bias: bool = False) -> Activations:
    """Returns a linear map of x to D cells."""
    # every cell is a recurrence of its own, so cells are sharded like heads
    return dense(self.d_model, ("embed", "heads"), name, self.dtype, bias=bias)(x)

  def _average(
    self,
    candidate: Float[Array, "B T D"],
    g: Float[Array, "B T D"],
    state: gated_average.State,
    reset: Reset | None,
  ) -> tuple[Float[Array, "B T D"], gated_average.State]:
    """Returns h of every token and the state, both in float32.

    Args:
      candidate: c.
      g: log f, at most 0.
      state: memory before the first token.
      reset: True on the first token of a document.
    """
    self.sow("intermediates", "log_decay", g)  # for `jaxmem inspect`
    return self._recall(gated_average, (candidate, g), state, reset)

  @property
  def _state_spec(self) -> OpState:
    return OpState(gated_average, (self.d_model,))
