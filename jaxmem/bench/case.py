"""What is measured, and what was promised about it."""

import dataclasses
from collections.abc import Callable

OURS = "jaxmem"
FORWARD, BOTH = DIRECTIONS = ("forward", "forward+backward")


@dataclasses.dataclass(frozen=True)
class Case:
  """Something to measure.

  Attributes:
    op: what `--ops` calls it.
    title: what the tables call it.
    tokens: tokens of one call, all rows together.
    draw: `() -> (params, inputs, state)`; params and inputs are differentiated.
    ours: `(params, inputs, state) -> y`.
    directions: of `DIRECTIONS`.
  """

  op: str
  title: str
  tokens: int
  draw: Callable[[], tuple]
  ours: Callable
  directions: tuple[str, ...] = DIRECTIONS


@dataclasses.dataclass(frozen=True)
class Target:
  """A number that was promised: a measure of ours as a fraction of another's.

  Attributes:
    row: what the table calls it.
    ours: a case, measured on our side.
    theirs: (case, contestant).
    must, stretch: the promised fraction and the hoped one.
    measure: "seconds", "temp_bytes", "io_bytes" or "ns_per_token".
    of: the measure on the other side; "" is the same.
    direction: of `DIRECTIONS`.
  """

  row: str
  ours: str
  theirs: tuple[str, str]
  must: float
  stretch: float
  measure: str = "seconds"
  of: str = ""
  direction: str = BOTH


@dataclasses.dataclass(frozen=True)
class Peer:
  """Somebody else's function.

  Attributes:
    title: what the tables call it.
    distribution: the package whose version is reported.
    case: the case it takes part in.
    framework: "torch" or "jax".
    build: `case -> (f, arrays)`; `f(*arrays)` is y, and all arrays are differentiated.
    same: whether y is ours; a model of another kind is only of the same size.
  """

  title: str
  distribution: str
  case: str
  framework: str
  build: Callable[[Case], tuple[Callable, tuple]]
  same: bool = True

  @property
  def modules(self) -> set[str]:
    """What must be importable."""
    own = self.distribution.replace("-", "_")
    return {"fla" if own == "flash_linear_attention" else own, self.framework}
