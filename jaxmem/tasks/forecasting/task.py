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
from jaxmem.data.epochs import once
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.tasks import plots, scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.forecasting import data as series
from jaxmem.tasks.forecasting import metrics, standard
from jaxmem.tasks.forecasting.metrics import MODEL, ForecastErrors
from jaxmem.tasks.forecasting.predict import KEPT, SeriesPredictor
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
    columns: names apart by commas; empty is all that hold numbers.
    header: whether the first row has the names of the columns; "auto" finds out.
    gaps: "stop" refuses rows that are not equally far apart, "keep" takes them as if
      they were.
    rows: of the training, the held-out and the test part, in the order of time: three
      counts, or three fractions such as 0.7,0.1,0.2; what is left over is not used.
    segment_length: T, steps that a forecast is made from.
    batch_size: windows of a step.
    season: steps of a period, for the seasonal-naive forecast.
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
    self._table = series.read(c.source, c.columns, c.header, c.gaps)
    parts = c.parts(len(self._table.values))
    train = self._table.values[: parts[0]]
    self._standard = standard.fit(train, self._table.names, c.source)
    values = self._standard.apply(self._table.values)
    ends, length = np.cumsum(parts), c.segment_length
    standard.check_far(values[: ends[2]], self._table.names, c.source)
    self._units = metrics.units(train, self._standard.std, c.season)
    # a window may begin in the part before its own; what it forecasts may not
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
    self.measure = heads.get(model.config.head, "nats/step")
    self._forecast = jax.jit(
      lambda params, history: model.apply({"params": params}, history)
    )
    self._losses = scoring.objective(model)

  def introduction(self) -> str:
    names, notes = ", ".join(self._table.names), "; ".join(self._table.notes)
    source = f"{self._config.source!r}" + (f" ({notes})" if notes else "")
    return f"{self.rows.epochs.count:,} windows of {names}, from {source}"

  def keep(self, workdir: Path) -> None:
    """What standardises the series."""
    mean, std = self._standard
    scale = {"mean": mean.tolist(), "std": std.tolist()}
    kept = {"names": self._table.names} | scale
    files.write_json(workdir / KEPT, kept)

  def score(self, params: Any) -> float:
    """The loss over every held-out window."""
    c = self._config
    sizes, values = (c.segment_length, self._horizon), self._parts["heldout"]
    windows = lambda starts: collate(values, np.array(starts), sizes)
    starts = range(len(values) - sum(sizes) + 1)
    batches = scoring.batches(starts, c.batch_size, windows)
    return scoring.mean_loss(lambda batch: self._losses(params, batch), batches)

  def findings(self, params: Any, split: str) -> Findings:
    """The errors at each horizon, beside the naive and the seasonal naive forecast."""
    c = self._config
    length, horizon, season = c.segment_length, self._horizon, c.season
    horizons = sorted({h for h in HORIZONS if h < horizon} | {horizon})
    errors = ForecastErrors(horizons, self._units)
    last, sizes = None, (length, horizon)
    for starts, real in self._starts(split, horizons[0]):
      seen, future, known = to_the_end(self._raw[split], starts, sizes)
      history = self._standard.apply(seen).astype(np.float32)
      forecast = np.asarray(self._forecast(params, history))
      who = {
        MODEL: self._standard.back(np.asarray(self._model.middle(forecast))),
        "naive": seen[:, -1:].repeat(horizon, 1),
        "seasonal naive": seen[:, _season(length, horizon, season)],
      }
      for name, guess in who.items():
        errors.add(name, guess[:real], future[:real], known[:real])
      whole = np.flatnonzero(known[:real] == horizon)
      if len(whole):
        future = self._standard.apply(future[whole[-1]])
        last = history[whole[-1]], future, forecast[whole[-1]]
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

  def _starts(self, split: str, horizon: int):
    """Where the windows begin that have a horizon; see `once`."""
    c = self._config
    count = len(self._parts[split]) - c.segment_length - horizon + 1
    return once(count, c.batch_size)

  def _draw(self, last: tuple, title: str, path: Path) -> None:
    """The last window of the split, its last series."""
    history, future, forecast = last
    middle = np.asarray(self._model.middle(forecast[None]))[0]
    plots.forecast(history[:, -1], future[:, -1], middle[:, -1], path, title)


def _season(length: int, horizon: int, season: int) -> np.ndarray:
  """Which step of a window has the place in the season that each forecast one has."""
  season = min(season, length)
  return length - season + np.arange(horizon) % season


Config = SeriesConfig
Job = SeriesJob
Predictor = SeriesPredictor
