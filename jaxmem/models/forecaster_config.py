"""The config of a forecaster."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import number
from jaxmem.models.pattern import Pattern, entry

Head = Literal["point", "gaussian", "student", "quantile"]
# How many numbers a head needs for a step of the horizon; "quantile" counts its levels.
_WIDTH = {"point": 1, "gaussian": 2, "student": 3}


@dataclasses.dataclass(frozen=True)
class ForecasterConfig:
  """The config of a forecaster, as data.

  Attributes:
    horizon: H, steps that are forecast.
    patch: P, steps of a token; divides the length of what is read.
    head: "point", or the parameters of a "gaussian" or a "student" distribution, or
      "quantile"s.
    loss: the loss of the point head, "mse" or "mae".
    quantiles: the levels of the quantile head, in (0, 1), rising, separated by commas.
    normalise: each window to mean 0 and variance 1, and its forecast back (reversible
      instance normalisation without its affine map, Kim et al. 2022).
    backbone: "stack", or "dlinear", which needs none of the fields below: two linear
      maps of a window's moving average and of the rest, the baseline of Zeng et al.
      2022 (arXiv:2205.13504).
    d_model: features.
    d_ff: width of the MLPs; 0 is 2 d_model.
    pattern: the memories of a group, causal.
    num_groups: how often the pattern is repeated.
    dropout: rate in the blocks, in [0, 1).
    dtype: the dtype of the stack, "float32" or "bfloat16"; forecasts are float32.
  """

  horizon: int = number(96, at_least=1, at_most=2**20)
  patch: int = number(16, at_least=1, at_most=2**20)
  head: Head = "point"
  loss: Literal["mse", "mae"] = "mse"
  quantiles: str = "0.1,0.5,0.9"
  normalise: bool = True
  backbone: Literal["stack", "dlinear"] = "stack"
  d_model: int = number(64, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("gru"),)
  num_groups: int = number(1, at_least=1, at_most=2**16)
  dropout: float = number(0.0, at_least=0, below=1)
  dtype: str = "float32"

  @property
  def levels(self) -> tuple[float, ...]:
    """The quantiles as numbers.

    Raises:
      ValueError: if they are not rising numbers in (0, 1).
    """
    message = f"quantiles {self.quantiles!r}: rising numbers in (0, 1)"
    try:
      levels = tuple(map(float, self.quantiles.split(",")))
    except ValueError as error:
      raise ValueError(message) from error
    if not all(0 < q < 1 for q in levels) or list(levels) != sorted(set(levels)):
      raise ValueError(message)
    return levels

  def check_fields(self) -> None:
    """Raises ValueError if the fields do not fit one another."""
    if self.width < 1:  # or the quantiles say why themselves
      raise ValueError(f"quantiles is {self.quantiles!r}: at least one")

  @property
  def width(self) -> int:
    """How many numbers a forecast has for a step."""
    return len(self.levels) if self.head == "quantile" else _WIDTH[self.head]
