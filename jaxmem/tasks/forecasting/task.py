"""Forecasting: windows of a table over time, and what comes after them.

The metrics (`tasks.forecasting.metrics`) are MSE, MAE, MASE and sMAPE at several
horizons, each over *every* window of the test part at that horizon, next to forecasts
that need no learning. No window is dropped because it does not fill a batch.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import ConfigError
from jaxmem.data.rows import Batch
from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.tasks import plots, scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.forecasting import metrics, panel
from jaxmem.tasks.forecasting import parts as splitting
from jaxmem.tasks.forecasting.config import SeriesConfig
from jaxmem.tasks.forecasting.metrics import MODEL, ForecastErrors
from jaxmem.tasks.forecasting.predict import KEPT, SHARE, SeriesPredictor, interval
from jaxmem.tasks.forecasting.windows import collate, to_the_end, window_rows

# Horizons that papers on long-term forecasting report.
HORIZONS = (96, 192, 336, 720)


def resolve_model(model: ForecasterConfig, config: SeriesConfig) -> ForecasterConfig:
  """Returns the model's config, checked against the windows.

  Args:
    model: config of the forecaster.
    config: config of the task.

  Raises:
    ConfigError: if windows cannot be cut into patches, `rows` is malformed, or a
      column has two uses.
  """
  # both raise before the table is read
  config.shares()
  config.covariates()
  if config.segment_length % model.patch:
    raise ConfigError(
      f"task.segment_length {config.segment_length} does not divide into patches of "
      f"model.patch {model.patch} steps"
    )
  return model


class _Window(NamedTuple):
  """A window whose future is complete, standardised.

  Attributes:
    history: [T, C], what is read.
    future: [H, C], what comes after it.
    forecast: [H, C, W], see `Forecaster`.
    series: what names the series of a table in long format, else "".
  """

  history: np.ndarray
  future: np.ndarray
  forecast: np.ndarray
  series: str


def make_model(model: ForecasterConfig, config: SeriesConfig) -> Forecaster:
  """Makes the model that is trained, with inputs for covariates; see `tasks`."""
  names = config.covariates()
  return Forecaster(model, len(names.columns), len(names.future))


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
    self._sizes = c.segment_length, horizon
    self._table = panel.read(
      c.source, c.series, c.columns, c.header, c.gaps, c.covariates()
    )
    self._parts = splitting.split(self._table, c.parts, self._sizes, c.season, c.source)
    train = self._parts.splits["train"]
    self.rows = window_rows(
      train.values,
      self._sizes,
      c.batch_size,
      context.seed,
      context.process,
      train.lengths,
      train.covariates,
    )
    heads = {"point": model.config.loss, "quantile": "pinball loss"}
    self.metric_name = heads.get(model.config.head, "nats/step")
    self._forecast = jax.jit(
      lambda params, history, covariates: model.apply(
        {"params": params}, history, **covariates
      )
    )
    self._losses = scoring.objective(model)

  def describe(self) -> str:
    """Returns a line on the windows, the columns and the file."""
    names = ", ".join(self._table.names)
    notes = "; ".join([*self._table.notes, *self._parts.notes])
    source = f"{self._config.source!r}" + (f" ({notes})" if notes else "")
    return f"{self.rows.epochs.count:,} windows of {names}, from {source}"

  def save_assets(self, workdir: Path) -> None:
    """Writes the names, means and deviations of the series and the covariates."""
    mean, std = self._parts.standard
    assets = {"names": self._table.names}
    if self._config.series:
      assets |= {"column": self._config.series, "ids": self._parts.ids}
    else:
      mean, std = mean[0], std[0]
    names = self._table.covariate_names
    if names.columns:
      numbers = {k: v.tolist() for k, v in self._parts.covariates._asdict().items()}
      assets["covariates"] = names._asdict() | numbers
    files.write_json(
      workdir / KEPT, assets | {"mean": mean.tolist(), "std": std.tolist()}
    )

  def validation_metric(self, params: Any) -> float:
    """Returns the mean loss over every held-out window."""
    part = self._parts.splits["heldout"]

    def windows(starts: list[int]) -> Batch:
      return collate(part.values, np.array(starts), self._sizes, part.covariates)

    starts = part.starts(sum(self._sizes)).tolist()
    batches = scoring.batches(starts, self._config.batch_size, windows)
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
    errors = ForecastErrors(horizons, self._parts.units)
    last, part = None, self._parts.splits[split]
    # windows of the shortest horizon: longer ones are scored on those that have them
    for starts, real in part.batches(length + horizons[0], c.batch_size):
      index = part.series(starts)  # [B]
      scale = self._parts.standard_of(index)
      ends = part.ends(index)
      raw, future, num_real = to_the_end(part.raw, starts, self._sizes, ends)
      covariates = part.covariates.cut(starts, self._sizes, ends)
      history = scale.apply(raw).astype(np.float32)  # [B, T, C]
      forecast = np.asarray(self._forecast(params, history, covariates))
      forecasts = {
        MODEL: scale.back(np.asarray(self._model.middle(forecast))),
        "naive": raw[:, -1:].repeat(horizon, 1),
        "seasonal naive": raw[:, _season(length, horizon, season)],
      }
      for name, guess in forecasts.items():
        errors.add(name, guess[:real], future[:real], num_real[:real], index[:real])
      # the picture needs a window whose future is complete
      complete = np.flatnonzero(num_real[:real] == horizon)
      if len(complete):
        at = complete[-1]
        name = self._parts.ids[index[at]]
        last = _Window(history[at], scale.apply(future)[at], forecast[at], name)
    return self._report_of(errors, last, split)

  def _report_of(
    self, errors: ForecastErrors, last: _Window | None, split: str
  ) -> EvalResult:
    """Returns the numbers, lines and picture of a split."""
    errors_of, windows = errors.at(), errors.windows
    most, data = max(windows.values()), self._config
    won = metrics.wins(errors_of)
    first = metrics.sentence(won)
    title = f"{split} part of {Path(data.source).name}, {most:,} windows"
    lines = [first, ""] if first else []
    lines += [title, "", *metrics.table(errors_of, windows), ""]
    lines += errors.explained(self._table.names)
    names = self._table.covariate_names
    lines += [f"The model reads {note}." for note in names.notes()]
    if last and self._model.config.head != "point":
      lines += ["", self._coverage(last)]
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
    if names.columns:
      numbers["covariates"] = names._asdict()
    pictures = {"forecast.png": functools.partial(self._draw, last, split)}
    return EvalResult(numbers, lines, pictures if last else {})

  def _draw(self, last: _Window, split: str, path: Path) -> None:
    """Draws the last column of the last complete window, with its interval."""
    history, future = last.history[:, -1], last.future[:, -1]
    middle = np.asarray(self._model.middle(last.forecast[None]))[0, :, -1]
    bounds, config = self._interval(last.forecast), self._model.config
    naive = history[_season(len(history), len(future), self._config.season)]
    series = plots.Forecast(
      history,
      future,
      middle,
      interval=bounds and tuple(bound[:, -1] for bound in bounds),
      share=float(np.ptp(config.levels)) if config.head == "quantile" else SHARE,
      naive=("seasonal naive", naive),
    )
    name = self._table.names[-1] + (f" of {last.series}" if last.series else "")
    source = Path(self._config.source).name
    title = f"{name}: last window of the {split} part of {source}"
    plots.forecast(series, path, title, f"{self._table.names[-1]}, standardised")

  def _interval(self, forecast: np.ndarray) -> tuple | None:
    """Returns the bounds of one window's forecast, [H, C] each; None of a point."""
    if self._model.config.head == "point":
      return None
    return tuple(np.asarray(b)[0] for b in interval(self._model.config, forecast[None]))

  def _coverage(self, last: _Window) -> str:
    """Returns how many values of the last window lie in its interval, in words."""
    future = last.future
    low, high = self._interval(last.forecast)
    inside = int(((low <= future) & (future <= high)).sum())
    return (
      f"Of the last window, {inside:,} of {future.size:,} values lie in the interval "
      "of their forecast."
    )


def _season(length: int, horizon: int, season: int) -> np.ndarray:
  """Returns, for each forecast step, the last step read at its phase of the season."""
  season = min(season, length)  # a window shorter than a season repeats its own rows
  return length - season + np.arange(horizon) % season


Config = SeriesConfig
Task = ForecastingTask
Predictor = SeriesPredictor
