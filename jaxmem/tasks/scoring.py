"""Scores of held-out examples: one loop, whatever the task."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.data.epochs import once
from jaxmem.data.rows import Batch


class Total(NamedTuple):
  """A weighted sum over the rows of all batches, float64.

  Attributes:
    value: sum of weight x value.
    weight: sum of the weights.
  """

  value: Any
  weight: Any

  @property
  def mean(self) -> Any:
    """The sum over the weights; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
      return np.divide(self.value, self.weight)


def totals(
  terms: Callable[[Any], Mapping[str, tuple[Any, Any]]], batches: Iterable[Any]
) -> dict[str, Total]:
  """Sums several values over batches, row by row: the one loop of all scores.

  Args:
    terms: of a batch, name -> (values, weights), whose first axis is the row. A value
      of weight 0 counts nothing, whatever it is.
    batches: at least one.
  """
  sums: dict[str, Total] = {}
  for batch in batches:
    for name, (values, weights) in terms(batch).items():
      weights = np.asarray(weights, np.float64)
      values = np.where(weights > 0, np.asarray(values, np.float64), 0)
      value, weight = sums.get(name, (0.0, 0.0))
      sums[name] = Total(value + (values * weights).sum(0), weight + weights.sum(0))
  return sums


def mean_loss(losses: Callable[[Batch], Any], batches: Iterable[Batch]) -> float:
  """The mean of a loss over batches, each value counted by its weight.

      sum of weight x loss / sum of weights

  Cost: one evaluation a batch; sums are float64.

  Args:
    losses: of a batch, in the shape of its "weights".
    batches: at least one; a weight of 0 counts nothing, whatever its loss.

  Raises:
    UserError: if no weight is above 0.
  """

  def terms(batch: Batch) -> dict[str, tuple[Any, Any]]:
    return {"loss": (np.ravel(losses(batch)), np.ravel(batch["weights"]))}

  loss = totals(terms, batches)["loss"]
  if not loss.weight:
    raise UserError("nothing of the held-out data counts: give more of them")
  return float(loss.mean)


def batches(
  examples: Sequence[Any], rows: int, collate: Callable[[list[Any]], Batch]
) -> Iterator[Batch]:
  """All examples once, in batches of one size.

  Args:
    examples: at least one.
    rows: of a batch; the last repeats the last example, with weights of 0.
    collate: the batch of some examples, whose "weights" have rows first.
  """
  for items, real in once(len(examples), rows):
    batch = collate([examples[i] for i in items])
    weights = batch["weights"].copy()
    weights[real:] = 0
    yield batch | {"weights": weights}


def objective(model: Any) -> Callable[[Any, Batch], Any]:
  """Compiled `(params, batch) -> nats`, every row from an empty memory."""

  def nats(params: Any, batch: dict[str, Any]) -> Any:
    memory = model.init_state(len(batch["weights"]))
    return model.apply({"params": params}, batch, memory, method="objective")[0]

  return jax.jit(nats)
