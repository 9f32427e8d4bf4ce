"""Forecasting: windows of a table over time, and what comes after them.

The metric is the field's: mean squared and absolute error of the standardised series
over *every* window of the test part, at several horizons, beside forecasts that need no
learning. The last windows are not dropped for not filling a batch.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem import config as configs
from jaxmem import files, jobs
from jaxmem.config import ConfigError
from jaxmem.data import DataError, series
from jaxmem.data.epochs import once
from jaxmem.data.windows import Windows, cut
from jaxmem.errors import UserError
from jaxmem.evals import plots
from jaxmem.jobs import Findings
from jaxmem.jobs.application import Asked
from jaxmem.models.forecaster import Forecaster, ForecasterConfig

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
  segment_length: int = 336
  batch_size: int = 32
  season: int = 24

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
  if config.season < 1:
    raise ConfigError(f"data.season is {config.season}: it must be at least 1")
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
    self._mean, self._std = train.mean(0), train.std(0)
    if not self._std.all():
      name = self._table.names[int(np.argmin(self._std))]
      raise DataError(
        f"column {name!r} of {c.source} never changes in the training rows: leave it "
        "out with data.columns"
      )
    values = (self._table.values - self._mean) / self._std
    ends, length = np.cumsum(parts), c.segment_length
    # a window may begin in the part before its own; what it forecasts may not
    self._parts = {
      "train": values[: ends[0]],
      "heldout": values[ends[0] - length : ends[1]],
      "test": values[ends[1] - length : ends[2]],
    }
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
    scale = {"mean": self._mean.tolist(), "std": self._std.tolist()}
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
    """MSE and MAE at each horizon, beside the naive and the seasonal-naive forecast."""
    horizon, season = self._config.model.horizon, self._config.data.season
    sums: dict[str, np.ndarray] = {}
    count, last = 0, None
    for history, future, real in self._windows(split):
      forecast = self._forecast(params, history)
      who = {
        "model": np.asarray(self._model.middle(forecast)),
        "naive": history[:, -1:].repeat(horizon, 1),
        "seasonal naive": history[:, _season(history.shape[1], horizon, season)],
      }
      for name, guess in who.items():
        miss = (guess - future)[:real].astype(np.float64)
        both = np.stack([(miss**2).mean(2).sum(0), np.abs(miss).mean(2).sum(0)])
        sums[name] = sums.get(name, 0) + both
      count += real
      last = history[real - 1], future[real - 1], np.asarray(forecast)[real - 1]
    errors = {name: total / count for name, total in sums.items()}
    found = {name: _at_horizons(error, horizon) for name, error in errors.items()}
    title = f"{split} part of {Path(self._config.data.source).name}, {count:,} windows"
    draw = functools.partial(self._draw, last, title)
    numbers = {"split": split, "windows": count, "errors": found}
    return Findings(numbers, [title, "", *_table(found)], {"forecast.png": draw})

  def _windows(self, split: str):
    """All windows in batches of one size, and how many of each batch are real."""
    c, horizon = self._config.data, self._config.model.horizon
    part = self._parts[split]
    count = len(part) - c.segment_length - horizon + 1
    for starts, real in once(count, c.batch_size):
      yield *cut(part, starts, (c.segment_length, horizon)), real

  def _draw(self, last: tuple, title: str, path: Path) -> None:
    """The last window of the split, its last series."""
    history, future, forecast = last
    middle = np.asarray(self._model.middle(forecast[None]))[0]
    plots.forecast(history[:, -1], future[:, -1], middle[:, -1], path, title)


def _season(length: int, horizon: int, season: int) -> np.ndarray:
  """Which step of a window has the place in the season that each forecast one has."""
  season = min(season, length)
  return length - season + np.arange(horizon) % season


def _at_horizons(error: np.ndarray, horizon: int) -> dict[str, dict[str, float]]:
  """The mean over the first steps, at each horizon there is."""
  known = sorted({h for h in HORIZONS if h < horizon} | {horizon})
  both = {h: error[:, :h].mean(1) for h in known}
  return {str(h): {"mse": float(m), "mae": float(a)} for h, (m, a) in both.items()}


def _table(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
  horizons = list(found["model"])
  head = " | ".join(f"mse at {h} | mae" for h in horizons)
  lines = [f"| forecast | {head} |", "|---|" + "--:|--:|" * len(horizons)]
  for name, errors in found.items():
    cells = [f"{errors[h][key]:.3f}" for h in horizons for key in ("mse", "mae")]
    lines.append(f"| {name} | " + " | ".join(cells) + " |")
  return lines


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
      self._mean, self._std = (np.array(kept[key]) for key in ("mean", "std"))
    except (OSError, ValueError, KeyError) as error:
      raise UserError(
        f"{workdir / KEPT} is missing or damaged: run `jaxmem train` again"
      ) from error
    self._model, self._params = model, params
    self._length = config.data.segment_length
    self._forecast = jax.jit(lambda *given: model.apply(*given))

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless there are enough rows of finite numbers."""
    try:
      values = np.array(record.get("series"), np.float64)
    except (TypeError, ValueError, OverflowError) as error:
      raise UserError(f'"series" is no table of numbers: {error}') from error
    if values.ndim != 2 or values.shape[1] != len(self._names):
      names = ", ".join(self._names)
      raise UserError(f'"series" must have rows of {len(self._names)} numbers: {names}')
    if len(values) < self._length:
      raise UserError(f'"series" has {len(values)} rows, {self._length} are needed')
    if not np.isfinite(values).all():
      row, column = np.argwhere(~np.isfinite(values))[0]
      raise UserError(f'"series" row {row}, {self._names[column]}: no finite number')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    history = np.stack(
      [np.array(record["series"], np.float64)[-self._length :] for record in records]
    )
    history = ((history - self._mean) / self._std).astype(np.float32)
    forecast = self._forecast({"params": self._params}, history)
    own = lambda a: (np.asarray(a) * self._std + self._mean).tolist()
    found = {"forecast": own(self._model.middle(forecast))}
    if self._model.config.head != "point":
      low, high = interval(self._model.config, np.asarray(forecast))
      found |= {"low": own(low), "high": own(high)}
    columns = found.values()
    return [dict(zip(found, one, strict=True)) for one in zip(*columns, strict=True)]


def interval(model: ForecasterConfig, forecast: np.ndarray) -> tuple:
  """The bounds of the middle `SHARE` of a distribution, or the outer quantiles.

  Args:
    model: the model's config, whose head is no point.
    forecast: [B, H, C, W], see `Forecaster`.
  """
  if model.head == "quantile":
    return forecast[..., 0], forecast[..., -1]
  from scipy import stats  # JAX brings it

  where, spread = forecast[..., 0], np.exp(forecast[..., 1])
  if model.head == "gaussian":
    return stats.norm.interval(SHARE, where, spread)
  return stats.t.interval(SHARE, 2 + np.exp(forecast[..., 2]), where, spread)


Config = SeriesConfig
Job = SeriesJob
Predictor = SeriesPredictor
