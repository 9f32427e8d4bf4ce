"""Errors of forecasts: MSE, MAE, MASE and sMAPE by horizon, over all of its windows.

A part of N rows has N - L - h + 1 windows of L rows that are read and h rows that are
forecast. Each horizon h is scored on all of its windows, so the last rows of a part are
only in the windows of short horizons.

    MSE, MAE  of values standardised by the training rows
    MASE      the mean absolute error of a series over that of the seasonal naive
              forecast, one season ahead, on its training rows; the mean over series
    sMAPE     200 |y - f| / (|y| + |f|) percent in the table's units; 0 where both are 0

MASE and sMAPE are defined as in the M4 competition.

Source: Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001 (MASE);
Makridakis et al. 2020, doi:10.1016/j.ijforecast.2019.04.014 (M4).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.tasks.forecasting.standard import ROUNDING

METRICS = {"mse": "MSE", "mae": "MAE", "mase": "MASE", "smape": "sMAPE, %"}
MODEL = "model"


class Units(NamedTuple):
  """The scales that errors are divided by, of one table or of S series of C columns.

  Attributes:
    std: standard deviation of each column over the training rows.
    naive: mean absolute error of the seasonal naive forecast on the training rows of
      each column; NaN where it is 0 or there are too few rows.
    season: rows of a season.
  """

  std: Float[np.ndarray, "*S C"]
  naive: Float[np.ndarray, "*S C"]
  season: int


def units(
  train: Float[np.ndarray, "T C"], std: Float[np.ndarray, " C"], season: int
) -> Units:
  """Returns the units of a table.

  Args:
    train: the training rows.
    std: their standard deviation.
    season: rows of a season.
  """
  if season >= len(train):
    return Units(std, np.full(len(std), np.nan), season)
  naive = np.abs(train[season:] - train[:-season]).mean(0)  # [C]
  # a periodic series has an error of rounding alone, which must not be divided by
  is_zero = naive <= ROUNDING * np.abs(train).max(0)
  return Units(std, np.where(is_zero, np.nan, naive), season)


class ForecastErrors:
  """Sums the errors of several forecasts over the same windows.

      errors = ForecastErrors((96, 192), units)
      errors.add("model", forecast, future, num_real)
      errors.at()["model"]["96"]["mase"]

  Attributes:
    horizons: in rising order; forecasts have as many steps as the last one.
    windows: how many windows were added, by horizon.
  """

  def __init__(self, horizons: Sequence[int], units: Units):
    """Starts from no windows.

    Args:
      horizons: in rising order.
      units: see `units`.
    """
    std, naive = np.atleast_2d(units.std), np.atleast_2d(units.naive)  # [S, C]
    self.horizons, self._units = tuple(horizons), Units(std, naive, units.season)
    self._windows: dict[str, np.ndarray] = {}
    self._sums: dict[str, np.ndarray] = {}

  @property
  def windows(self) -> dict[str, int]:
    """Horizon -> how many windows were added; all forecasts have the same."""
    none = np.zeros((len(self.horizons), 1), int)
    counts = next(iter(self._windows.values()), none).sum(1)
    return {str(h): int(n) for h, n in zip(self.horizons, counts, strict=True)}

  def add(
    self,
    name: str,
    forecast: Float[np.ndarray, "B H C"],
    future: Float[np.ndarray, "B H C"],
    num_real: Int[np.ndarray, " B"],
    series: Int[np.ndarray, " B"] | None = None,
  ) -> None:
    """Adds the errors of windows.

    Args:
      name: name of the forecast.
      forecast: in the units of the table.
      future: the true values; steps after the end of the table may be anything.
      num_real: how many steps of the future of each window exist.
      series: the series that each window is of; None is one table.
    """
    series = np.zeros(len(num_real), int) if series is None else series
    miss = np.abs(forecast.astype(np.float64) - future)  # [B, H, C]
    size = np.abs(forecast.astype(np.float64)) + np.abs(future)
    share = 200 * miss / np.where(size > 0, size, 1)  # two zeros have no error
    errors = (miss / self._units.std[series, None]) ** 2, miss, share
    shape = len(self.horizons), *self._units.std.shape
    sums = self._sums.setdefault(name, np.zeros((3, *shape)))  # [error, horizon, S, C]
    counts = self._windows.setdefault(name, np.zeros(shape[:2], int))
    for i, h in enumerate(self.horizons):
      complete = num_real >= h  # windows whose future is complete at this horizon
      for s in np.unique(series[complete]):
        rows = complete & (series == s)
        counts[i, s] += rows.sum()
        for error, total in zip(errors, sums, strict=True):
          total[i, s] += error[rows, :h].mean(1).sum(0)

  def at(self) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns forecast -> horizon -> metric -> error, None where it is undefined."""
    return {name: self._means(name) for name in self._sums}

  def _means(self, name: str) -> dict[str, dict[str, float | None]]:
    means = {}
    for i, h in enumerate(self.horizons):
      windows = self._windows[name][i]  # [S]
      there = windows > 0  # a short series may have no window of a long horizon
      # means over windows of each series, [S, C]
      square, absolute, share = self._sums[name][:, i, there] / windows[there, None]
      naive, std = self._units.naive[there], self._units.std[there]
      scored = ~np.isnan(naive)  # columns that have a MASE
      scaled = absolute[scored] / naive[scored]
      means[str(h)] = {
        "mse": _finite(square.mean()),
        "mae": _finite((absolute / std).mean()),
        "mase": _finite(scaled.mean()) if scored.any() else None,
        "smape": _finite(share.mean()),
      }
    return means

  def signature(self) -> str:
    """Returns how the errors were computed, as one line of key:value."""
    return (
      f"windows:all,stride=1|mean:windows,steps,series|mse,mae:standardised-by-train|"
      f"mase:seasonal-naive-on-train,m={self._units.season}|"
      "smape:200|y-f|/(|y|+|f|),0/0=0"
    )

  def explained(self, names: Sequence[str]) -> list[str]:
    """Returns the definitions in words, and which series have no MASE.

    Args:
      names: names of the series.
    """
    season = self._units.season
    lines = [
      "Every window of the part is scored at every horizon that it has. MSE and MAE "
      "are of values standardised by the training rows; MASE is the mean absolute "
      "error of a series over that of the seasonal naive forecast on its training rows "
      f"(season {season}), the mean over series; sMAPE is 200 |y - f| / (|y| + |f|) in "
      "the table's units, 0 where both are 0.",
    ]
    is_none = np.isnan(self._units.naive)
    if len(is_none) > 1:
      lines.append(
        f"Every one of {len(is_none):,} series counts the same, however many windows "
        f"it has; {int(is_none.any(1).sum()):,} of them have no MASE."
      )
      return lines
    without = [n for n, none in zip(names, is_none[0], strict=True) if none]
    if without:
      lines.append(
        f"MASE leaves out {', '.join(without)}: the seasonal naive forecast makes no "
        f"error on the training rows, or they are not more than a season of {season}."
      )
    return lines


def _finite(value: np.floating) -> float | None:
  return float(value) if np.isfinite(value) else None


def wins(
  errors: dict[str, dict[str, dict[str, float | None]]],
) -> dict[str, dict[str, list[int]]]:
  """Finds the baselines that are better than the model, or finite where it is not.

  Args:
    errors: see `ForecastErrors.at`.

  Returns:
    baseline -> metric -> the horizons at which the baseline is better.
  """
  won: dict[str, dict[str, list[int]]] = {}
  for name, at in errors.items():
    for metric in METRICS:
      better = [h for h in at if _is_better(at[h][metric], errors[MODEL][h][metric])]
      if name != MODEL and better:
        won.setdefault(name, {})[metric] = [int(h) for h in better]
  return won


def _is_better(baseline: float | None, model: float | None) -> bool:
  return baseline is not None and (model is None or baseline < model)


def sentence(won: dict[str, dict[str, list[int]]]) -> str:
  """Returns `wins` in words; empty if the model is better everywhere."""
  clauses = []
  for name, metrics in won.items():
    horizons_of = [
      f"in {METRICS[metric].partition(',')[0]} at " + ", ".join(map(str, horizons))
      for metric, horizons in metrics.items()
    ]
    clauses.append(
      f"the {name} forecast is better than the model {'; '.join(horizons_of)}"
    )
  return f"{'. '.join(s[0].upper() + s[1:] for s in clauses)}." if clauses else ""


def table(errors_of: dict[str, Any], windows: dict[str, int]) -> list[str]:
  """Returns a Markdown table with a row for each forecast and horizon.

  Args:
    errors_of: see `ForecastErrors.at`.
    windows: horizon -> how many windows it was scored on.
  """
  lines = [
    f"| forecast | steps | windows | {' | '.join(METRICS.values())} |",
    "|---|--:|--:|" + "--:|" * len(METRICS),
  ]
  for name, by_horizon in errors_of.items():
    for h, errors in by_horizon.items():
      cells = [_cell(errors[metric], metric) for metric in METRICS]
      lines.append(f"| {name} | {h} | {windows[h]:,} | {' | '.join(cells)} |")
  return lines


def _cell(value: float | None, metric: str) -> str:
  if value is None:
    return "-"
  return f"{value:.1f}" if metric == "smape" else f"{value:.3f}"
