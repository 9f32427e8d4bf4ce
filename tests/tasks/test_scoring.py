"""A held-out score is one weighted mean, and counts every example once."""

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.tasks import scoring


def collate(examples):
  """Returns examples as their own losses; odd ones have weight three."""
  losses = np.array(examples, np.float32)
  return {"loss": losses, "weights": np.where(losses % 2, 3, 1).astype(np.float32)}


@pytest.mark.parametrize("rows", [1, 3, 7, 10])
def test_mean_loss_does_not_depend_on_the_rows_of_a_batch(rows):
  batches = [*scoring.batches(range(7), rows, collate)]

  assert all(len(batch["weights"]) == rows for batch in batches)
  mean = scoring.mean_loss(lambda batch: batch["loss"], batches)
  assert mean == pytest.approx((0 + 3 * 1 + 2 + 3 * 3 + 4 + 3 * 5 + 6) / 13)


def test_a_loss_without_weight_may_have_any_value():
  batch = {"weights": np.array([0.0, 2.0])}

  assert scoring.mean_loss(lambda _: np.array([np.nan, 5.0]), [batch]) == 5
  with pytest.raises(UserError, match="nothing of the held-out data counts"):
    scoring.mean_loss(lambda _: np.ones(2), [{"weights": np.zeros(2)}])


def test_totals_sum_each_value_by_its_own_weights_in_float64():
  """The sums are over the rows of all batches, for any other axes."""
  values = np.arange(12, dtype=np.float32).reshape(6, 2)
  weights = np.array([1, 0, 2, 1, 0, 1], np.float32)

  def terms(rows):
    big = np.full(len(rows), 1 + 2.0**-30)  # float32 would lose it
    column = weights[rows][:, None]
    return {"columns": (values[rows], column), "big": (big, np.ones(len(rows)))}

  sums = scoring.totals(terms, [np.array([0, 1, 2, 3]), np.array([4, 5])])

  expected = (values * weights[:, None]).sum(0) / weights.sum()
  np.testing.assert_allclose(sums["columns"].mean, expected)
  assert sums["big"].mean == 1 + 2.0**-30 and sums["big"].weight == 6
  empty = scoring.totals(lambda _: {"none": (np.ones(1), np.zeros(1))}, [0])
  assert np.isnan(empty["none"].mean)
