"""Forecasting: windows of a table over time, and what comes after them.

The metrics are the field's (`tasks.forecasting.metrics`): MSE, MAE, MASE and sMAPE at
several horizons, each over *every* window that the test part has at it, beside
forecasts that need no learning. No window is dropped for not filling a batch.
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
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.tasks import plots, scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.forecasting import cells, metrics, panel
from jaxmem.tasks.forecasting import data as series
from jaxmem.tasks.forecasting import parts as splitting
from jaxmem.tasks.forecasting.metrics import MODEL, ForecastErrors
from jaxmem.tasks.forecasting.predict import KEPT, SeriesPredictor, interval
from jaxmem.tasks.forecasting.windows import collate, to_the_end, window_rows
from jaxmem.tasks.model_sizes import check_model

# Horizons that the field reports.
HORIZONS = (96, 192, 336, 720)


@dataclasses.dataclass(frozen=True)
class SeriesConfig:
  """A table over time.

  Attributes:
    source: a delimited file (CSV, TSV, ...), which may be compressed; a column that
      says when, or numbers the rows, is recognised, checked and left out.
    columns: names apart by commas; empty is all that hold numbers, or in long format
      "y" if there is one.
    header: whether the first row has the names of the columns; "auto" finds out.
    gaps: "stop" refuses rows that are not equally far apart and cells that are missing,
      "keep" takes rows as if they were; rows and cells that are missing are filled by
      "forward" (the last number), "linear" (the line between the numbers around) or
      "zero".
    rows: of the training, the held-out and the test part, in the order of time: three
      counts, or three fractions such as 0.7,0.1,0.2; what is left over is not used. In
      long format fractions, of each series.
    segment_length: T, steps that a forecast is made from.
    batch_size: windows of a step.
    season: steps of a period, for the seasonal-naive forecast.
    series: the column that names the series of each row, such as unique_id, in a table
      of long format (`unique_id, ds, y`), whose series may be of unequal length; empty
      is a table with a column for each series.
  """

  source: str = "data/ETTh1.csv"
  columns: str = ""
  header: cells.Header = "auto"
  gaps: series.Gaps = "stop"
  rows: str = "8640,2880,2880"
  segment_length: int = number(336, at_least=1)
  batch_size: int = number(32, at_least=1)
  season: int = number(24, at_least=1)
  series: str = ""

  def parts(self, count: int) -> tuple[int, int, int]:
    """The rows of the splits of a table.

    Fractions are rounded down, but those that sum to 1 leave no row out: what rounding
    leaves over is held out.

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
    """What `rows` say: three whole numbers, or three fractions.

    Raises:
      ConfigError: if they are anything else.
    """
    words = [word.strip() for word in self.rows.split(",")]
    unsigned = re.compile(r"\d{1,15}(\.\d{0,15})?|\.\d{1,15}", re.ASCII)
    parts = [Fraction(w) for w in words if unsigned.fullmatch(w)]
    if len(words) != 3 or len(parts) != 3 or not all(parts):
      raise ConfigError(
        f"task.rows is {self.rows!r}: three numbers above 0 expected, counts as in "
        "8640,2880,2880 or fractions as in 0.7,0.1,0.2"
      )
    if self.series and all(part.denominator == 1 for part in parts):
      raise ConfigError(
        f"task.rows is {self.rows!r}, counts, and the series of a table in long format "
        "are of unequal length: give fractions such as 0.7,0.1,0.2"
      )
    if any(part.denominator > 1 for part in parts) and sum(parts) > 1:
      raise ConfigError(
        f"task.rows is {self.rows!r}: fractions sum to {float(sum(parts)):g}, which is "
        "more than 1"
      )
    return tuple(parts)


def fit(model: ForecasterConfig, config: SeriesConfig) -> ForecasterConfig:
  """The model's config, checked against the windows.

  Raises:
    ConfigError: if they cannot be cut into patches or a number is out of range.
  """
  check_model(model)
  config.shares()
  if config.segment_length % model.patch:
    raise ConfigError(
      f"task.segment_length {config.segment_length} does not divide into patches of "
      f"model.patch {model.patch} steps"
    )
  return model


class SeriesJob(Asked):
  """Windows of the config's table; see `tasks.Application`."""

  things = "a series"

  def __init__(self, config: SeriesConfig, context: TaskContext, model: Forecaster):
    """Reads the table.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    horizon = self._horizon = model.config.horizon
    self._sizes = c.segment_length, horizon
    self._table = panel.read(c.source, c.series, c.columns, c.header, c.gaps)
    self._parts = splitting.split(self._table, c.parts, self._sizes, c.season, c.source)
    train = self._parts.splits["train"]
    self.rows = window_rows(
      train.values,
      self._sizes,
      c.batch_size,
      context.seed,
      context.process,
      train.lengths,
    )
    heads = {"point": model.config.loss, "quantile": "pinball loss"}
    self.measure = heads.get(model.config.head, "nats/step")
    self._forecast = jax.jit(
      lambda params, history: model.apply({"params": params}, history)
    )
    self._losses = scoring.objective(model)

  def introduction(self) -> str:
    names = ", ".join(self._table.names)
    notes = "; ".join([*self._table.notes, *self._parts.notes])
    source = f"{self._config.source!r}" + (f" ({notes})" if notes else "")
    return f"{self.rows.epochs.count:,} windows of {names}, from {source}"

  def keep(self, workdir: Path) -> None:
    """What standardises the series."""
    mean, std = self._parts.standard
    kept = {"names": self._table.names}
    if self._config.series:
      kept |= {"column": self._config.series, "ids": self._parts.ids}
    else:
      mean, std = mean[0], std[0]
    kept |= {"mean": mean.tolist(), "std": std.tolist()}
    files.write_json(workdir / KEPT, kept)

  def score(self, params: Any) -> float:
    """The loss over every held-out window."""
    part = self._parts.splits["heldout"]
    starts = part.starts(sum(self._sizes))
    batches = scoring.batches(
      starts.tolist(),
      self._config.batch_size,
      lambda some: collate(part.values, np.array(some), self._sizes),
    )
    return scoring.mean_loss(lambda batch: self._losses(params, batch), batches)

  def findings(self, params: Any, split: str) -> Findings:
    """The errors at each horizon, beside the naive and the seasonal naive forecast."""
    c = self._config
    length, horizon, season = c.segment_length, self._horizon, c.season
    horizons = sorted({h for h in HORIZONS if h < horizon} | {horizon})
    errors = ForecastErrors(horizons, self._parts.units)
    last, part = None, self._parts.splits[split]
    for starts, real in part.batches(length + horizons[0], c.batch_size):
      which = part.series(starts)
      scale = self._parts.standard_of(which)
      seen, future, known = to_the_end(part.raw, starts, self._sizes, part.ends(which))
      history = scale.apply(seen).astype(np.float32)
      forecast = np.asarray(self._forecast(params, history))
      who = {
        MODEL: scale.back(np.asarray(self._model.middle(forecast))),
        "naive": seen[:, -1:].repeat(horizon, 1),
        "seasonal naive": seen[:, _season(length, horizon, season)],
      }
      for name, guess in who.items():
        errors.add(name, guess[:real], future[:real], known[:real], which[:real])
      whole = np.flatnonzero(known[:real] == horizon)
      if len(whole):
        at = whole[-1]
        last = history[at], scale.apply(future)[at], forecast[at]
    return self._found(errors, last, split)

  def _found(self, errors: ForecastErrors, last: tuple, split: str) -> Findings:
    """The report of a split."""
    found, windows = errors.at(), errors.windows
    most, data = max(windows.values()), self._config
    won = metrics.wins(found)
    first = metrics.sentence(won)
    title = f"{split} part of {Path(data.source).name}, {most:,} windows"
    lines = [first, ""] if first else []
    lines += [title, "", *metrics.table(found, windows), ""]
    lines += errors.explained(self._table.names)
    if last and self._model.config.head != "point":
      lines += ["", self._inside(last)]
    if data.season > data.segment_length:
      lines.append(
        f"The seasonal naive forecast repeats the last {data.segment_length} rows: a "
        f"window holds no season of {data.season}."
      )
    numbers = {
      "split": split,
      "windows": most,
      "windows_at": windows,
      "errors": found,
      "better_than_model": won,
      "signature": errors.signature(),
    }
    draw = functools.partial(self._draw, last, title)
    return Findings(numbers, lines, {"forecast.png": draw})

  def _draw(self, last: tuple, title: str, path: Path) -> None:
    """The last window of the split, its last column, with its interval."""
    history, future, forecast = last
    middle = np.asarray(self._model.middle(forecast[None]))[0]
    bounds = self._interval(forecast)
    between = bounds and tuple(bound[:, -1] for bound in bounds)
    plots.forecast(history[:, -1], future[:, -1], middle[:, -1], path, title, between)

  def _interval(self, forecast: np.ndarray) -> tuple | None:
    """The bounds of one window's forecast, [H, C] each; None of a point forecast."""
    if self._model.config.head == "point":
      return None
    return tuple(np.asarray(b)[0] for b in interval(self._model.config, forecast[None]))

  def _inside(self, last: tuple) -> str:
    """How much of what came lies in the interval of the last window, in words."""
    _, future, forecast = last
    low, high = self._interval(forecast)
    inside = int(((low <= future) & (future <= high)).sum())
    return (
      f"Of the last window, {inside:,} of {future.size:,} values lie in the interval "
      "of their forecast."
    )


def _season(length: int, horizon: int, season: int) -> np.ndarray:
  """Which step of a window has the place in the season that each forecast one has."""
  season = min(season, length)
  return length - season + np.arange(horizon) % season


Config = SeriesConfig
Job = SeriesJob
Predictor = SeriesPredictor
