"""Errors by horizon: every window, MASE and sMAPE by hand, and which forecast wins."""

import numpy as np
import pytest

from jaxmem.tasks.forecasting import metrics
from jaxmem.tasks.forecasting.metrics import ForecastErrors
from jaxmem.tasks.forecasting.windows import to_the_end

RNG = np.random.default_rng(3)
TRAIN = RNG.normal(size=(50, 2)).cumsum(0) + 30
TEST = RNG.normal(size=(40, 2)).cumsum(0) + 30


def measured(length=8, horizons=(2, 5), season=3, train=TRAIN):
  """Scores the naive forecast in five batches of windows."""
  units = metrics.units(train, TRAIN.std(0), season)
  errors = ForecastErrors(horizons, units)
  starts = np.arange(len(TEST) - length - horizons[0] + 1)
  for rows in np.array_split(starts, 5):
    history, future, num_real = to_the_end(TEST, rows, (length, horizons[-1]))
    errors.add("naive", history[:, -1:].repeat(horizons[-1], 1), future, num_real)
  return errors


def test_every_horizon_is_scored_on_all_its_windows_as_counted_by_hand():
  errors = measured()
  assert errors.windows == {"2": 40 - 8 - 2 + 1, "5": 40 - 8 - 5 + 1}
  naive = np.abs(TRAIN[3:] - TRAIN[:-3]).mean(0)
  for h in (2, 5):
    ends = range(8, 40 - h + 1)
    forecast = np.array([TEST[e - 1][None].repeat(h, 0) for e in ends])
    future = np.array([TEST[e : e + h] for e in ends])
    miss = np.abs(forecast - future)
    scores = errors.at()["naive"][str(h)]
    assert scores["mse"] == pytest.approx(np.mean((miss / TRAIN.std(0)) ** 2))
    assert scores["mae"] == pytest.approx(np.mean(miss / TRAIN.std(0)))
    assert scores["mase"] == pytest.approx(np.mean(miss.mean((0, 1)) / naive))
    smape = 200 * miss / (np.abs(forecast) + np.abs(future))
    assert scores["smape"] == pytest.approx(smape.mean())


def test_a_series_whose_season_repeats_has_no_mase_and_is_named():
  periodic = TRAIN.copy()
  periodic[:, 1] = 0.1 * (np.arange(50) % 3) + 0.3
  errors, only = measured(train=periodic), measured(train=TRAIN)

  def mase(errors):
    return errors.at()["naive"]["2"]["mase"]

  assert np.isfinite(mase(errors)) and mase(errors) != mase(only)
  assert "MASE leaves out b" in " ".join(errors.explained("ab"))
  assert "leaves out" not in " ".join(only.explained("ab"))
  short = measured(season=50)
  assert mase(short) is None and "leaves out a, b" in " ".join(short.explained("ab"))


def test_smape_is_0_for_a_zero_that_is_forecast_and_200_for_one_that_is_not():
  units = metrics.units(TRAIN[:, :1], TRAIN.std(0)[:1], 1)
  errors = ForecastErrors((1,), units)
  future = np.array([[[0.0]], [[0.0]], [[2.0]]])
  errors.add("model", np.array([[[0.0]], [[5.0]], [[2.0]]]), future, np.ones(3, int))
  assert errors.at()["model"]["1"]["smape"] == pytest.approx(200 / 3)


def test_the_forecast_that_wins_is_named_with_the_horizons_at_which_it_wins():
  same = {"mse": 1.0, "mae": 1.0, "mase": None, "smape": 10.0}
  errors = {
    "model": {"96": same, "720": same},
    "naive": {"96": same, "720": same | {"mse": 1.5}},
    "seasonal naive": {"96": same | {"mse": 0.5, "smape": 9.0}, "720": same},
  }
  won = metrics.wins(errors)
  assert won == {"seasonal naive": {"mse": [96], "smape": [96]}}
  assert metrics.sentence(won) == (
    "The seasonal naive forecast is better than the model in MSE at 96; in sMAPE at 96."
  )
  assert metrics.sentence(metrics.wins({"model": {"96": same}})) == ""
  errors["model"]["720"] = same | {"mae": None}  # a model that is not finite
  assert metrics.wins(errors)["naive"] == {"mae": [720]}
