"""Covariates: columns that help to forecast the series and are not forecast."""

from typing import NamedTuple

from jaxmem.core.errors import ConfigError
from jaxmem.tasks.forecasting.cells import Cells, column_indices, split_names


class Names(NamedTuple):
  """Names of the covariates of a table.

  Attributes:
    past: those whose values are known up to the present.
    future: those whose values are known over the horizon too, such as holidays.
  """

  past: tuple[str, ...] = ()
  future: tuple[str, ...] = ()

  @property
  def columns(self) -> tuple[str, ...]:
    """All names, in the order of the columns of arrays."""
    return self.past + self.future

  def indices(self, cells: Cells) -> list[int]:
    """Returns the columns of the covariates in a table.

    Raises:
      DataError: if there is no column of a name.
    """
    past = column_indices(cells, self.past, "task.past_covariates")
    return past + column_indices(cells, self.future, "task.future_covariates")

  def notes(self) -> list[str]:
    """Returns a line for each kind that there is."""
    kinds = zip(("past", "future"), self, strict=True)
    return [f"{kind} covariates: {', '.join(names)}" for kind, names in kinds if names]


NONE = Names()


def parse(past: str, future: str, columns: str = "") -> Names:
  """Returns the names in `task.past_covariates` and `task.future_covariates`.

  Args:
    past: names separated by commas.
    future: names separated by commas.
    columns: names of the columns that are forecast, which are no covariates.

  Raises:
    ConfigError: if one column is named for two uses.
  """
  uses: dict[str, str] = {}
  options = {"columns": columns, "past_covariates": past, "future_covariates": future}
  for option, text in options.items():
    for name in dict.fromkeys(split_names(text)):
      if name in uses:
        raise ConfigError(
          f"task.{uses[name]} and task.{option} both name {name!r}: name it in one, a "
          "column is forecast, a past covariate or a future one"
        )
      uses[name] = option
  return Names(tuple(split_names(past)), tuple(split_names(future)))
