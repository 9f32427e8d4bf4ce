"""Errors of forecasts: MSE, MAE, MASE and sMAPE by horizon, over every window it has.

A part of N rows has N - L - h + 1 windows of L rows that are read and h that are
forecast, and each horizon h is scored on all of its own: the last rows of a part are in
the windows of short horizons alone.

    MSE, MAE  of values standardised by the training rows
    MASE      the mean absolute error of a series over that of the seasonal naive
              forecast, one season ahead, on its training rows; the mean over series
    sMAPE     200 |y - f| / (|y| + |f|) percent in the table's units; 0 where both are 0

Source: Hyndman and Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001 (MASE);
Makridakis et al. 2020, doi:10.1016/j.ijforecast.2019.04.014 (M4, both).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.tasks.forecasting.standard import ROUNDING

METRICS = {"mse": "MSE", "mae": "MAE", "mase": "MASE", "smape": "sMAPE, %"}
MODEL = "model"


class Units(NamedTuple):
  """What errors are measured in, of one table or of several series with columns each.

  Attributes:
    std: of each column over the training rows.
    naive: the mean absolute error of the seasonal naive forecast on the training rows
      of each column; NaN where it is 0 or there are too few rows.
    season: rows of a season.
  """

  std: Float[np.ndarray, "*S C"]
  naive: Float[np.ndarray, "*S C"]
  season: int


def units(
  train: Float[np.ndarray, "T C"], std: Float[np.ndarray, " C"], season: int
) -> Units:
  """The units of a table, from its training rows and their standard deviation."""
  if season >= len(train):
    return Units(std, np.full(len(std), np.nan), season)
  naive = np.abs(train[season:] - train[:-season]).mean(0)
  none = naive <= ROUNDING * np.abs(train).max(0)
  return Units(std, np.where(none, np.nan, naive), season)


class ForecastErrors:
  """Sums of errors over windows, of several forecasts of the same ones.

      errors = ForecastErrors((96, 192), units)
      errors.add("model", forecast, future, known)
      errors.at()["model"]["96"]["mase"]

  Attributes:
    horizons: in rising order; forecasts have as many steps as the last one says.
    windows: that were added, by horizon.
  """

  def __init__(self, horizons: Sequence[int], units: Units):
    std, naive = np.atleast_2d(units.std), np.atleast_2d(units.naive)
    self.horizons, self._units = tuple(horizons), Units(std, naive, units.season)
    self._windows: dict[str, np.ndarray] = {}
    self._sums: dict[str, np.ndarray] = {}

  @property
  def windows(self) -> dict[str, int]:
    none = np.zeros((len(self.horizons), 1), int)
    counts = next(iter(self._windows.values()), none).sum(1)
    return {str(h): int(n) for h, n in zip(self.horizons, counts, strict=True)}

  def add(
    self,
    name: str,
    forecast: Float[np.ndarray, "B H C"],
    future: Float[np.ndarray, "B H C"],
    known: Int[np.ndarray, " B"],
    series: Int[np.ndarray, " B"] | None = None,
  ) -> None:
    """Counts some windows.

    Args:
      name: whose forecast it is.
      forecast: in the units of the table.
      future: what came; steps that there are not may be anything.
      known: how many steps of the future of each window there are.
      series: which series each window is of; None is one table.
    """
    series = np.zeros(len(known), int) if series is None else series
    miss = np.abs(forecast.astype(np.float64) - future)
    size = np.abs(forecast.astype(np.float64)) + np.abs(future)
    share = 200 * miss / np.where(size > 0, size, 1)  # both exactly 0 is no error
    errors = (miss / self._units.std[series, None]) ** 2, miss, share
    shape = len(self.horizons), *self._units.std.shape  # [3, horizons, S, C]
    sums = self._sums.setdefault(name, np.zeros((3, *shape)))
    counts = self._windows.setdefault(name, np.zeros(shape[:2], int))
    for i, h in enumerate(self.horizons):
      for one in np.unique(series[known >= h]):
        rows = (known >= h) & (series == one)
        counts[i, one] += rows.sum()
        for error, total in zip(errors, sums, strict=True):
          total[i, one] += error[rows, :h].mean(1).sum(0)

  def at(self) -> dict[str, dict[str, dict[str, float | None]]]:
    """Forecast -> horizon -> metric -> the error; None where it is not defined."""
    return {name: self._means(name) for name in self._sums}

  def _means(self, name: str) -> dict[str, dict[str, float | None]]:
    found = {}
    for i, h in enumerate(self.horizons):
      windows = self._windows[name][i]
      there = windows > 0  # a short series may have no window of a long horizon
      means = self._sums[name][:, i, there] / windows[there, None]
      square, absolute, share = means
      naive, std = self._units.naive[there], self._units.std[there]
      scored = ~np.isnan(naive)
      scaled = absolute[scored] / naive[scored]
      found[str(h)] = {
        "mse": _finite(square.mean()),
        "mae": _finite((absolute / std).mean()),
        "mase": _finite(scaled.mean()) if scored.any() else None,
        "smape": _finite(share.mean()),
      }
    return found

  def signature(self) -> str:
    """How the errors were computed, in one line of key:value."""
    return (
      f"windows:all,stride=1|mean:windows,steps,series|mse,mae:standardised-by-train|"
      f"mase:seasonal-naive-on-train,m={self._units.season}|"
      "smape:200|y-f|/(|y|+|f|),0/0=0"
    )

  def explained(self, names: Sequence[str]) -> list[str]:
    """The definitions in words, and which series have no MASE."""
    season = self._units.season
    lines = [
      "Every window of the part is scored at every horizon that it has. MSE and MAE "
      "are of values standardised by the training rows; MASE is the mean absolute "
      "error of a series over that of the seasonal naive forecast on its training rows "
      f"(season {season}), the mean over series; sMAPE is 200 |y - f| / (|y| + |f|) in "
      "the table's units, 0 where both are 0.",
    ]
    none = np.isnan(self._units.naive)
    if len(none) > 1:
      lines.append(
        f"Every one of {len(none):,} series counts the same, however many windows it "
        f"has; {int(none.any(1).sum()):,} of them have no MASE."
      )
    without = [n for n, is_none in zip(names, none[0], strict=True) if is_none]
    if without and len(none) == 1:
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
  """Forecast that needs no learning -> metric -> the horizons at which it is better
  than the model, or the model's error is not finite."""
  found: dict[str, dict[str, list[int]]] = {}
  for name, at in errors.items():
    for metric in METRICS:
      better = [h for h in at if _is_better(at[h][metric], errors[MODEL][h][metric])]
      if name != MODEL and better:
        found.setdefault(name, {})[metric] = [int(h) for h in better]
  return found


def _is_better(one: float | None, model: float | None) -> bool:
  return one is not None and (model is None or one < model)


def sentence(found: dict[str, dict[str, list[int]]]) -> str:
  """`wins` in words; empty if the model is the better one everywhere."""
  said = []
  for name, metrics in found.items():
    where = [
      f"in {METRICS[metric].partition(',')[0]} at " + ", ".join(map(str, horizons))
      for metric, horizons in metrics.items()
    ]
    said.append(f"the {name} forecast is better than the model {'; '.join(where)}")
  return f"{'. '.join(s[0].upper() + s[1:] for s in said)}." if said else ""


def table(found: dict[str, Any], windows: dict[str, int]) -> list[str]:
  """`ForecastErrors.at` as Markdown, a row for each forecast and horizon."""
  lines = [
    f"| forecast | steps | windows | {' | '.join(METRICS.values())} |",
    "|---|--:|--:|" + "--:|" * len(METRICS),
  ]
  for name, at in found.items():
    for h, errors in at.items():
      cells = [_cell(errors[metric], metric) for metric in METRICS]
      lines.append(f"| {name} | {h} | {windows[h]:,} | {' | '.join(cells)} |")
  return lines


def _cell(value: float | None, metric: str) -> str:
  if value is None:
    return "-"
  return f"{value:.1f}" if metric == "smape" else f"{value:.3f}"
