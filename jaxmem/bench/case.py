"""The records of the benchmark: cases, targets and peers."""

import dataclasses
from collections.abc import Callable

OURS = "jaxmem"
FORWARD, BOTH = DIRECTIONS = ("forward", "forward+backward")


@dataclasses.dataclass(frozen=True)
class Case:
  """A computation to measure.

  Attributes:
    op: its name for `--ops`.
    title: its name in the tables.
    tokens: tokens of one call, all rows together.
    draw: `() -> (params, inputs, state)`; params and inputs are differentiated.
    ours: `(params, inputs, state) -> y`.
    directions: those of `DIRECTIONS` that are measured.
  """

  op: str
  title: str
  tokens: int
  draw: Callable[[], tuple]
  ours: Callable
  directions: tuple[str, ...] = DIRECTIONS


@dataclasses.dataclass(frozen=True)
class Target:
  """A number that was promised: a measure of ours as a fraction of a rival's.

  Attributes:
    row: its name in the table.
    ours: the case that is measured on our side.
    theirs: (case, contestant) of the other side.
    must: the promised fraction.
    stretch: the fraction that was hoped for.
    measure: "seconds", "temp_bytes", "io_bytes" or "ns_per_token".
    of: the measure on the other side; "" is the same.
    direction: one of `DIRECTIONS`.
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
  """A function of another library.

  Attributes:
    title: its name in the tables.
    distribution: the package whose version is reported.
    case: the case in which it takes part.
    framework: "torch" or "jax".
    build: `case -> (f, arrays)`; `f(*arrays)` is y, and all arrays are differentiated.
    same: whether y equals ours; a model of another kind only has the same size.
  """

  title: str
  distribution: str
  case: str
  framework: str
  build: Callable[[Case], tuple[Callable, tuple]]
  same: bool = True

  @property
  def modules(self) -> set[str]:
    """The modules that must be importable."""
    module = self.distribution.replace("-", "_")
    return {"fla" if module == "flash_linear_attention" else module, self.framework}
