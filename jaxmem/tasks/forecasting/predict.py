"""Answers records with forecasts in the units of the run's table."""

import math
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import UserError
from jaxmem.data.rows import Batch
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.ops import densities
from jaxmem.tasks.base import TaskConfig
from jaxmem.tasks.forecasting import standard
from jaxmem.tasks.forecasting.covariates import NONE, Names
from jaxmem.tasks.forecasting.standard import Standard
from jaxmem.tasks.forecasting.windows import Covariates

# Probability that lies in the interval of a prediction.
SHARE = 0.8
# File with the mean and standard deviation of the series, next to the checkpoint.
KEPT = "series.json"


class SeriesPredictor:
  """Forecasts `{"series": [[...], ...]}`, rows in time, in the table's own units.

  The answer is `{"forecast": [[...], ...]}`. A model that forecasts a distribution adds
  "low" and "high", the bounds of `interval`. A record of a run on long format names its
  series as the table does, such as by "unique_id". One of a run with covariates also
  has "past_covariates", a row for each of "series", and "future_covariates", whose rows
  go on over the horizon.
  """

  _column = ""  # that names the series of a table in long format
  _covariates = NONE

  def __init__(self, config: TaskConfig, model: Forecaster, params: Any, workdir: Path):
    """Loads the scale of the series; see `tasks.Predictor`.

    Args:
      config: the task's config.
      model: the forecaster.
      params: its parameters.
      workdir: the work directory of the run.

    Raises:
      UserError: if the file of the scale is missing or damaged.
    """
    try:
      scale = files.read_json(workdir / KEPT)
      self._names = scale["names"]
      self._mean, self._std = (np.array(scale[k], np.float64) for k in ("mean", "std"))
      self._column, ids = scale.get("column", ""), scale.get("ids", [])
      self._ids = {name: i for i, name in enumerate(ids)}
      shape = (len(ids),) * bool(self._column) + (len(self._names),)
      shapes = {self._mean.shape, self._std.shape}
      if shapes != {shape} or not (self._std > 0).all():
        raise ValueError("it does not standardise the series")
      if saved := scale.get("covariates"):
        self._covariates = Names(tuple(saved["past"]), tuple(saved["future"]))
        numbers = Standard(*(np.array(saved[k], np.float64) for k in ("mean", "std")))
        self._covariate_scale = numbers
        shapes = {array.shape for array in numbers}
        if shapes != {(len(self._covariates.columns),)} or not (numbers.std > 0).all():
          raise ValueError("it does not standardise the covariates")
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise UserError(
        f"{workdir / KEPT} is missing or damaged: run `jaxmem train` again"
      ) from error
    self._model, self._params = model, params
    self._length = config.segment_length
    self._forecast = jax.jit(model.apply)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has enough rows of numbers in range."""
    rows = _rows(record, "series")
    if len(rows) < self._length:
      raise UserError(f'"series" has {len(rows)} rows, {self._length} are needed')
    _check_numbers("series", rows, self._names)
    if self._column and str(record.get(self._column)) not in self._ids:
      value, first = _shown(record.get(self._column)), next(iter(self._ids))
      raise UserError(
        f'"{self._column}" is {value}: one of the {len(self._ids):,} series of the run '
        f"expected, such as {first!r}"
      )
    scaled = self._standard([record]).apply(np.array(rows, float)[None])[0]
    _check_far("series", scaled, rows, self._names)
    self._check_covariates(record, len(rows))

  def _check_covariates(self, record: dict[str, Any], count: int) -> None:
    """Raises UserError unless the covariates of a record are numbers of its rows."""
    horizon = self._model.config.horizon if self._covariates.columns else 0
    first = 0
    for kind, names in self._covariates._asdict().items():
      if not names:
        continue
      field = f"{kind}_covariates"
      if field not in record:
        raise UserError(
          f'"{field}" is missing: the run reads {", ".join(names)} beside the series'
        )
      rows, ahead = _rows(record, field), horizon * (kind == "future")
      if len(rows) != count + ahead:
        of_horizon = f" and {ahead} of the horizon" * bool(ahead)
        raise UserError(
          f'"{field}" has {len(rows)} rows, {count + ahead} are needed: {count} of '
          f'"series"{of_horizon}'
        )
      _check_numbers(field, rows, names)
      columns = slice(first, first + len(names))
      scale = Standard(*(array[columns] for array in self._covariate_scale))
      _check_far(field, scale.apply(np.array(rows, float)), rows, names)
      first += len(names)

  def _covariates_of(self, records: Sequence[dict[str, Any]]) -> Batch:
    """Returns the covariates of records as the model takes them."""
    past, future = self._covariates
    if not self._covariates.columns:
      return {}
    sizes = self._length, self._model.config.horizon
    tables = np.zeros((len(records), sum(sizes), len(past + future)))  # [B, T + H, E]
    for table, record in zip(tables, records, strict=True):
      if past:
        table[: sizes[0], : len(past)] = record["past_covariates"][-sizes[0] :]
      if future:
        table[:, len(past) :] = record["future_covariates"][-sum(sizes) :]
    values = self._covariate_scale.apply(tables.reshape(-1, len(past + future)))
    starts = np.arange(len(records)) * sum(sizes)
    return Covariates(values, len(future)).cut(starts, sizes)

  def _standard(self, records: Sequence[dict[str, Any]]) -> Standard:
    """Returns what standardises the series of records, [C] or [B, 1, C]."""
    if not self._column:
      return Standard(self._mean, self._std)
    series = [self._ids[str(record[self._column])] for record in records]
    return Standard(self._mean[series, None], self._std[series, None])

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the forecasts of records that were checked, in their order.

    Raises:
      UserError: if a forecast is not finite.
    """
    history = np.stack(
      [np.array(record["series"], np.float64)[-self._length :] for record in records]
    )  # [B, T, C]
    scale = self._standard(records)
    history = scale.apply(history).astype(np.float32)
    covariates = self._covariates_of(records)
    forecast = np.asarray(
      self._forecast({"params": self._params}, history, **covariates)
    )
    # a distribution is answered by its middle, with the bounds of an interval
    numbers = {"forecast": self._model.middle(forecast)}  # [B, H, C]
    if self._model.config.head != "point":
      numbers["low"], numbers["high"] = interval(self._model.config, forecast)
    answers = {name: scale.back(np.asarray(a)) for name, a in numbers.items()}
    if not all(np.isfinite(a).all() for a in answers.values()):
      raise UserError(
        "the forecast is not finite: the run has diverged, train it again"
      )
    return [
      {name: array[i].tolist() for name, array in answers.items()}
      for i in range(len(records))
    ]


def _rows(record: dict[str, Any], field: str) -> list[list[Any]]:
  """Returns a field that is a table; raises UserError if it is none."""
  rows = record.get(field)
  if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
    raise UserError(f'"{field}" is no table: a list of rows expected, each of numbers')
  return rows


def _check_numbers(field: str, rows: list[list[Any]], names: Sequence[str]) -> None:
  """Raises UserError unless every row has a finite number for each name."""
  for i, row in enumerate(rows):
    if len(row) != len(names):
      raise UserError(
        f'"{field}" row {i} has {len(row)} numbers, not the {len(names)} of '
        f"{', '.join(names)}"
      )
    for name, cell in zip(names, row, strict=True):
      if _number(cell) is None:
        raise UserError(
          f'"{field}" row {i}, {name}: no finite number but {_shown(cell)}'
        )


def _check_far(
  field: str, scaled: np.ndarray, rows: list[list[Any]], names: Sequence[str]
) -> None:
  """Raises UserError if a standardised number, [N, C], is too large for float32."""
  far = ~(np.abs(scaled) <= standard.FARTHEST)
  if far.any():
    i, column = np.argwhere(far)[0]
    raise UserError(
      f'"{field}" row {i}, {names[column]}: {rows[i][column]} lies farther from '
      f"the mean of the training rows than {standard.FARTHEST:.0e} of their standard "
      "deviations"
    )


def _shown(cell: Any) -> str:
  """Returns a bad cell for a message; an int that is bad is beyond float64."""
  return "too large a number" if type(cell) is int else reprlib.repr(cell)


def _number(cell: Any) -> float | None:
  """Returns the finite number of a JSON value, or None; a boolean is no number."""
  if type(cell) not in (int, float):
    return None
  try:
    value = float(cell)
  except OverflowError:
    return None
  return value if math.isfinite(value) else None


def interval(model: ForecasterConfig, forecast: np.ndarray) -> tuple:
  """Returns the bounds of the middle `SHARE` of a distribution, or the outer quantiles.

  Args:
    model: the model's config, whose head is not "point".
    forecast: [B, H, C, W], see `Forecaster`.
  """
  if model.head == "quantile":
    return forecast[..., 0], forecast[..., -1]
  from scipy import stats  # JAX brings it

  location, scale = forecast[..., 0], np.asarray(densities.scale(forecast[..., 1]))
  if model.head == "gaussian":
    return stats.norm.interval(SHARE, location, scale)
  freedom = np.asarray(densities.degrees_of_freedom(forecast[..., 2]))
  return stats.t.interval(SHARE, freedom, location, scale)
