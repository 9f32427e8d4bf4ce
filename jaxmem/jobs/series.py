"""Forecasting: windows of a table over time, and what comes after them.

The metrics are the field's (`evals.forecast_errors`): MSE, MAE, MASE and sMAPE at
several horizons, each over *every* window that the test part has at it, beside
forecasts that need no learning. No window is dropped for not filling a batch.
"""

import dataclasses
import functools
import math
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem import config as configs
from jaxmem import files, jobs
from jaxmem.config import ConfigError
from jaxmem.data import DataError, series, standard
from jaxmem.data.epochs import once
from jaxmem.data.standard import Standard
from jaxmem.data.windows import Windows, cut, to_the_end
from jaxmem.errors import UserError
from jaxmem.evals import forecast_errors, plots
from jaxmem.evals.forecast_errors import MODEL, ForecastErrors
from jaxmem.jobs import Findings
from jaxmem.jobs.application import Asked
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.ops import densities
from jaxmem.ranges import number

# Horizons that the field reports.
HORIZONS = (96, 192, 336, 720)
# Of a distribution that lies in the interval of a prediction.
SHARE = 0.8
# What standardises a series, beside the checkpoint.
KEPT = "series.json"


@dataclasses.dataclass(frozen=True)
class SeriesConfig:
  """A table over time.

  Attributes:
    source: a CSV file with a header, which may be gzipped; its first column may be a
      date.
    columns: names apart by commas; empty is all that hold numbers.
    rows: of the training, the held-out and the test part, in the order of time; what
      is left over is not used.
    segment_length: T, steps that a forecast is made from.
    batch_size: windows of a step.
    season: steps of a period, for the seasonal-naive forecast.
  """

  source: str = "data/ETTh1.csv"
  columns: str = ""
  rows: str = "8640,2880,2880"
  segment_length: int = number(336, at_least=1)
  batch_size: int = number(32, at_least=1)
  season: int = number(24, at_least=1)

  @property
  def parts(self) -> tuple[int, ...]:
    """The rows of the splits as numbers.

    Raises:
      ConfigError: if they are not three numbers above 0.
    """
    words = self.rows.split(",")
    if len(words) != 3 or not all(w.strip().isdecimal() and int(w) for w in words):
      raise ConfigError(f"data.rows is {self.rows!r}: three numbers above 0 expected")
    return tuple(map(int, words))


def fit(model: ForecasterConfig, config: SeriesConfig) -> ForecasterConfig:
  """The model's config, checked against the windows.

  Raises:
    ConfigError: if they cannot be cut into patches or a number is out of range.
  """
  jobs.check_model(model)
  if config.segment_length % model.patch:
    raise ConfigError(
      f"data.segment_length {config.segment_length} does not divide into patches of "
      f"model.patch {model.patch} steps"
    )
  return model


class SeriesJob(Asked):
  """Windows of the config's table; see `jobs.Application`."""

  things = "a series"

  def __init__(self, config: configs.Config, model: Forecaster):
    """Reads the table.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = config.data
    self._config, self._model = config, model
    self._table, parts = series.read(Path(c.source), c.columns), c.parts
    if sum(parts) > len(self._table.values):
      raise DataError(
        f"{c.source} has {len(self._table.values):,} rows and data.rows names "
        f"{sum(parts):,}: lower them"
      )
    train = self._table.values[: parts[0]]
    self._standard = standard.fit(train, self._table.names, c.source)
    values = self._standard.apply(self._table.values)
    ends, length = np.cumsum(parts), c.segment_length
    standard.check_far(values[: ends[2]], self._table.names, c.source)
    self._units = forecast_errors.units(train, self._standard.std, c.season)
    # a window may begin in the part before its own; what it forecasts may not
    rows = {
      "train": slice(0, ends[0]),
      "heldout": slice(ends[0] - length, ends[1]),
      "test": slice(ends[1] - length, ends[2]),
    }
    self._parts = {split: values[part] for split, part in rows.items()}
    self._raw = {split: self._table.values[part] for split, part in rows.items()}
    for split, part in self._parts.items():
      needed = length + config.model.horizon
      if len(part) < needed:
        raise ConfigError(
          f"the {split} part has {len(part)} rows, and data.segment_length {length} + "
          f"model.horizon {config.model.horizon} are {needed}: lower one, or give more "
          "rows"
        )
    self.rows = Windows(
      self._parts["train"],
      (length, config.model.horizon),
      c.batch_size,
      config.seed,
      jax.process_index(),
      jax.process_count(),
    )
    heads = {"point": config.model.loss, "quantile": "pinball loss"}
    self.measure = heads.get(config.model.head, "nats/step")
    self._forecast = jax.jit(
      lambda params, history: model.apply({"params": params}, history)
    )
    loss = functools.partial(model.apply, method="objective")
    self._losses = jax.jit(lambda params, batch: loss({"params": params}, batch, ()))

  def introduction(self) -> str:
    names = ", ".join(self._table.names)
    return f"{self.rows.count:,} windows of {names}, from {self._config.data.source!r}"

  def keep(self, workdir: Path) -> None:
    """What standardises the series."""
    mean, std = self._standard
    scale = {"mean": mean.tolist(), "std": std.tolist()}
    kept = {"names": self._table.names} | scale
    files.write_json(workdir / KEPT, kept)

  def score(self, params: Any) -> float:
    """The loss over every held-out window."""
    total, count = 0.0, 0
    for history, future, real in self._windows("heldout"):
      weights = np.ones(len(history), np.float32)
      batch = {"history": history, "future": future, "weights": weights}
      losses = np.asarray(self._losses(params, batch)[0])[:real]
      total, count = total + float(losses.sum()), count + real
    return total / count

  def findings(self, params: Any, split: str) -> Findings:
    """The errors at each horizon, beside the naive and the seasonal naive forecast."""
    c = self._config
    length, horizon, season = c.data.segment_length, c.model.horizon, c.data.season
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
    most, data = max(windows.values()), self._config.data
    won = forecast_errors.wins(found)
    first = forecast_errors.sentence(won)
    title = f"{split} part of {Path(data.source).name}, {most:,} windows"
    lines = [first, ""] if first else []
    lines += [title, "", *forecast_errors.table(found, windows), ""]
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

  def _windows(self, split: str):
    """All windows in batches of one size, and how many of each batch are real."""
    c, horizon = self._config.data, self._config.model.horizon
    for starts, real in self._starts(split, horizon):
      yield *cut(self._parts[split], starts, (c.segment_length, horizon)), real

  def _starts(self, split: str, horizon: int):
    """Where the windows begin that have a horizon; see `once`."""
    c = self._config.data
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


class SeriesPredictor:
  """Forecasts `{"series": [[...], ...]}`, rows in time, in the table's own units.

  The answer is `{"forecast": [[...], ...]}`, of a distribution with "low" and "high".
  """

  def __init__(
    self, config: configs.Config, model: Forecaster, params: Any, workdir: Path
  ):
    """Args: see `jobs.Predictor`."""
    try:
      kept = files.read_json(workdir / KEPT)
      self._names = kept["names"]
      self._mean, self._std = (np.array(kept[k], np.float64) for k in ("mean", "std"))
      shapes = {self._mean.shape, self._std.shape}
      if shapes != {(len(self._names),)} or not (self._std > 0).all():
        raise ValueError("it does not standardise the series")
    except (OSError, ValueError, KeyError, TypeError) as error:
      raise UserError(
        f"{workdir / KEPT} is missing or damaged: run `jaxmem train` again"
      ) from error
    self._model, self._params = model, params
    self._length = config.data.segment_length
    self._forecast = jax.jit(lambda *given: model.apply(*given))

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless there are enough rows of numbers that can be computed
    with."""
    rows = record.get("series")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
      raise UserError('"series" is no table: a list of rows expected, each of numbers')
    if len(rows) < self._length:
      raise UserError(f'"series" has {len(rows)} rows, {self._length} are needed')
    for i, row in enumerate(rows):
      if len(row) != len(self._names):
        raise UserError(
          f'"series" row {i} has {len(row)} numbers, not the {len(self._names)} of '
          f"{', '.join(self._names)}"
        )
      for name, cell in zip(self._names, row, strict=True):
        if _number(cell) is None:
          raise UserError(
            f'"series" row {i}, {name}: no finite number but {_shown(cell)}'
          )
    far = ~(np.abs(self._standard.apply(np.array(rows, float))) <= standard.FARTHEST)
    if far.any():
      i, column = np.argwhere(far)[0]
      raise UserError(
        f'"series" row {i}, {self._names[column]}: {rows[i][column]} lies farther from '
        f"the mean of the training rows than {standard.FARTHEST:.0e} of their standard "
        "deviations"
      )

  @property
  def _standard(self) -> Standard:
    return Standard(self._mean, self._std)

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    history = np.stack(
      [np.array(record["series"], np.float64)[-self._length :] for record in records]
    )
    history = self._standard.apply(history).astype(np.float32)
    forecast = np.asarray(self._forecast({"params": self._params}, history))
    numbers = {"forecast": self._model.middle(forecast)}
    if self._model.config.head != "point":
      numbers["low"], numbers["high"] = interval(self._model.config, forecast)
    found = {name: self._standard.back(np.asarray(a)) for name, a in numbers.items()}
    if not all(np.isfinite(a).all() for a in found.values()):
      raise UserError(
        "the forecast is not finite: the run has diverged, train it again"
      )
    columns = [a.tolist() for a in found.values()]
    return [dict(zip(found, one, strict=True)) for one in zip(*columns, strict=True)]


def _shown(cell: Any) -> str:
  """A bad cell in a message, in few letters; a whole number here is beyond float64."""
  return "too large a number" if type(cell) is int else reprlib.repr(cell)


def _number(cell: Any) -> float | None:
  """The finite number that a value of JSON is, else None; true and false are none."""
  if type(cell) not in (int, float):
    return None
  try:
    value = float(cell)
  except OverflowError:
    return None
  return value if math.isfinite(value) else None


def interval(model: ForecasterConfig, forecast: np.ndarray) -> tuple:
  """The bounds of the middle `SHARE` of a distribution, or the outer quantiles.

  Args:
    model: the model's config, whose head is no point.
    forecast: [B, H, C, W], see `Forecaster`.
  """
  if model.head == "quantile":
    return forecast[..., 0], forecast[..., -1]
  from scipy import stats  # JAX brings it

  where, spread = forecast[..., 0], np.asarray(densities.scale(forecast[..., 1]))
  if model.head == "gaussian":
    return stats.norm.interval(SHARE, where, spread)
  freedom = np.asarray(densities.degrees_of_freedom(forecast[..., 2]))
  return stats.t.interval(SHARE, freedom, where, spread)


Config = SeriesConfig
Job = SeriesJob
Predictor = SeriesPredictor
