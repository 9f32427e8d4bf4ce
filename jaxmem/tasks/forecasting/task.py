"""Forecasting: windows of a table over time, and what comes after them.

The metrics (`tasks.forecasting.metrics`) are MSE, MAE, MASE and sMAPE at several
horizons, each over *every* window of the test part at that horizon, next to forecasts
that need no learning. No window is dropped because it does not fill a batch.
"""

import dataclasses
import functools
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import ConfigError
from jaxmem.core.ranges import number
from jaxmem.data import DataError
from jaxmem.data.epochs import once
from jaxmem.data.rows import Batch
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.tasks import plots, scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.forecasting import data as series
from jaxmem.tasks.forecasting import metrics, standard
from jaxmem.tasks.forecasting.metrics import MODEL, ForecastErrors
from jaxmem.tasks.forecasting.predict import KEPT, SeriesPredictor
from jaxmem.tasks.forecasting.windows import collate, to_the_end, window_rows

# Horizons that papers on long-term forecasting report.
HORIZONS = (96, 192, 336, 720)


@dataclasses.dataclass(frozen=True)
class SeriesConfig:
  """The config of a forecasting task: a table over time.

  Attributes:
    source: a delimited file (CSV, TSV, ...), which may be compressed; a column of
      times or row numbers is recognised, checked and left out.
    columns: names separated by commas; empty takes all columns that hold numbers.
    header: whether the first row has the names of the columns; "auto" decides by the
      cells.
    gaps: "stop" refuses rows that are not equally far apart, "keep" ignores gaps.
    rows: sizes of the training, the held-out and the test part, in the order of time:
      three counts, or three fractions such as 0.7,0.1,0.2; remaining rows are not used.
    segment_length: T, steps that a forecast reads.
    batch_size: windows of a step.
    season: steps of a period, for the seasonal naive forecast.
  """

  source: str = "data/ETTh1.csv"
  columns: str = ""
  header: series.Header = "auto"
  gaps: series.Gaps = "stop"
  rows: str = "8640,2880,2880"
  segment_length: int = number(336, at_least=1)
  batch_size: int = number(32, at_least=1)
  season: int = number(24, at_least=1)

  def parts(self, count: int) -> tuple[int, int, int]:
    """Returns the number of rows of the training, held-out and test part.

    Fractions are rounded down. If they sum to 1, the rows that rounding leaves over
    join the held-out part.

    Args:
      count: rows of the table.

    Raises:
      ConfigError: if `rows` are neither three counts nor three fractions.
      DataError: if the table has fewer rows.
    """
    parts = self.shares()
    if any(part.denominator > 1 for part in parts):
      train, heldout, test = (math.floor(part * count) for part in parts)
      return train, count - train - test if sum(parts) == 1 else heldout, test
    if sum(parts) > count:
      raise DataError(
        f"{self.source} has {count:,} rows and task.rows names {int(sum(parts)):,}: "
        "lower them, or give fractions"
      )
    return tuple(map(int, parts))

  def shares(self) -> tuple[Fraction, ...]:
    """Returns `rows` as three whole numbers or three fractions.

    Raises:
      ConfigError: if `rows` is anything else.
    """
    words = [word.strip() for word in self.rows.split(",")]
    # exact: 0.7 + 0.1 + 0.2 is 1 as fractions and not as floats
    unsigned = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}", re.ASCII)
    parts = [Fraction(w) for w in words if unsigned.fullmatch(w)]
    if len(words) != 3 or len(parts) != 3 or not all(parts):
      raise ConfigError(
        f"task.rows is {self.rows!r}: three numbers above 0 expected, counts as in "
        "8640,2880,2880 or fractions as in 0.7,0.1,0.2"
      )
    if any(part.denominator > 1 for part in parts) and sum(parts) > 1:
      raise ConfigError(
        f"task.rows is {self.rows!r}: fractions sum to {float(sum(parts)):g}, which is "
        "more than 1"
      )
    return tuple(parts)


def resolve_model(model: ForecasterConfig, config: SeriesConfig) -> ForecasterConfig:
  """Returns the model's config, checked against the windows.

  Args:
    model: config of the forecaster.
    config: config of the task.

  Raises:
    ConfigError: if windows cannot be cut into patches, or `rows` is malformed.
  """
  config.shares()  # checks `rows` before the table is read
  if config.segment_length % model.patch:
    raise ConfigError(
      f"task.segment_length {config.segment_length} does not divide into patches of "
      f"model.patch {model.patch} steps"
    )
  return model


class ForecastingTask(BaseTask):
  """Trains on and scores windows of the config's table; see `tasks.EvaluableTask`."""

  noun = "a series"

  def __init__(self, config: SeriesConfig, context: TaskContext, model: Forecaster):
    """Reads the table.

    Args:
      config: config of the task.
      context: the run's context.
      model: the forecaster.

    Raises:
      DataError: if the table cannot be read, before any device work.
      ConfigError: if a part is shorter than a window, before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    horizon = self._horizon = model.config.horizon
    self._table = series.read(Path(c.source), c.columns, c.header, c.gaps)
    parts = c.parts(len(self._table.values))
    # the scale comes from training rows alone: others would leak into the forecasts
    train = self._table.values[: parts[0]]
    self._standard = standard.fit(train, self._table.names, c.source)
    values = self._standard.apply(self._table.values)  # [N, C]
    ends, length = np.cumsum(parts), c.segment_length
    standard.check_far(values[: ends[2]], self._table.names, c.source)
    self._units = metrics.units(train, self._standard.std, c.season)
    # a window may read from the part before its own, but forecasts only its own
    rows = {
      "train": slice(0, ends[0]),
      "heldout": slice(ends[0] - length, ends[1]),
      "test": slice(ends[1] - length, ends[2]),
    }
    self._parts = {split: values[part] for split, part in rows.items()}
    self._raw = {split: self._table.values[part] for split, part in rows.items()}
    for split, part in self._parts.items():
      needed = length + horizon
      if len(part) < needed:
        raise ConfigError(
          f"the {split} part has {len(part)} rows, and task.segment_length {length} + "
          f"model.horizon {horizon} are {needed}: lower one, or give more "
          "rows"
        )
    self.rows = window_rows(
      self._parts["train"],
      (length, horizon),
      c.batch_size,
      context.seed,
      context.process,
    )
    heads = {"point": model.config.loss, "quantile": "pinball loss"}
    self.metric_name = heads.get(model.config.head, "nats/step")
    self._forecast = jax.jit(
      lambda params, history: model.apply({"params": params}, history)
    )
    self._losses = scoring.objective(model)

  def describe(self) -> str:
    """Returns a line on the windows, the columns and the file."""
    names, notes = ", ".join(self._table.names), "; ".join(self._table.notes)
    source = f"{self._config.source!r}" + (f" ({notes})" if notes else "")
    return f"{self.rows.epochs.count:,} windows of {names}, from {source}"

  def save_assets(self, workdir: Path) -> None:
    """Writes the names, means and standard deviations of the series."""
    mean, std = self._standard
    scale = {"mean": mean.tolist(), "std": std.tolist()}
    files.write_json(workdir / KEPT, {"names": self._table.names} | scale)

  def validation_metric(self, params: Any) -> float:
    """Returns the mean loss over every held-out window."""
    c = self._config
    sizes, values = (c.segment_length, self._horizon), self._parts["heldout"]

    def windows(starts: list[int]) -> Batch:
      return collate(values, np.array(starts), sizes)

    starts = range(len(values) - sum(sizes) + 1)
    batches = scoring.batches(starts, c.batch_size, windows)
    return scoring.mean_loss(lambda batch: self._losses(params, batch), batches)

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns the errors by horizon of the model and of the naive forecasts.

    Args:
      params: the model's parameters.
      split: "train", "heldout" or "test".
    """
    c = self._config
    length, horizon, season = c.segment_length, self._horizon, c.season
    horizons = sorted({h for h in HORIZONS if h < horizon} | {horizon})
    errors = ForecastErrors(horizons, self._units)
    # windows of the shortest horizon: longer ones are scored on those that have them
    last, sizes = None, (length, horizon)
    for starts, real in self._starts(split, horizons[0]):
      raw, future, num_real = to_the_end(self._raw[split], starts, sizes)
      history = self._standard.apply(raw).astype(np.float32)  # [B, T, C]
      forecast = np.asarray(self._forecast(params, history))  # [B, H, C, W]
      forecasts = {
        MODEL: self._standard.back(np.asarray(self._model.middle(forecast))),
        "naive": raw[:, -1:].repeat(horizon, 1),
        "seasonal naive": raw[:, _season(length, horizon, season)],
      }
      for name, guess in forecasts.items():
        errors.add(name, guess[:real], future[:real], num_real[:real])
      # the picture needs a window whose future is complete
      complete = np.flatnonzero(num_real[:real] == horizon)
      if len(complete):
        future = self._standard.apply(future[complete[-1]])
        last = history[complete[-1]], future, forecast[complete[-1]]
    return self._report_of(errors, last, split)

  def _report_of(self, errors: ForecastErrors, last: tuple, split: str) -> EvalResult:
    """Returns the numbers, lines and picture of a split."""
    errors_of, windows = errors.at(), errors.windows
    most, data = max(windows.values()), self._config
    won = metrics.wins(errors_of)
    first = metrics.sentence(won)
    title = f"{split} part of {Path(data.source).name}, {most:,} windows"
    lines = [first, ""] if first else []
    lines += [title, "", *metrics.table(errors_of, windows), ""]
    lines += errors.explained(self._table.names)
    if data.season > data.segment_length:
      lines.append(
        f"The seasonal naive forecast repeats the last {data.segment_length} rows: a "
        f"window holds no season of {data.season}."
      )
    numbers = {
      "split": split,
      "windows": most,
      "windows_at": windows,
      "errors": errors_of,
      "better_than_model": won,
      "signature": errors.signature(),
    }
    draw = functools.partial(self._draw, last, title)
    return EvalResult(numbers, lines, {"forecast.png": draw})

  def _starts(self, split: str, horizon: int):
    """Returns the starts of the windows that have a horizon, in batches; see `once`."""
    c = self._config
    count = len(self._parts[split]) - c.segment_length - horizon + 1
    return once(count, c.batch_size)

  def _draw(self, last: tuple, title: str, path: Path) -> None:
    """Draws the last series of the last complete window of a split."""
    history, future, forecast = last
    middle = np.asarray(self._model.middle(forecast[None]))[0]
    plots.forecast(history[:, -1], future[:, -1], middle[:, -1], path, title)


def _season(length: int, horizon: int, season: int) -> np.ndarray:
  """Returns, for each forecast step, the last step read at its phase of the season."""
  season = min(season, length)  # a window shorter than a season repeats its own rows
  return length - season + np.arange(horizon) % season


Config = SeriesConfig
Task = ForecastingTask
Predictor = SeriesPredictor
