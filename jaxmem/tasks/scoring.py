"""Scores of held-out examples: one loop for all tasks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.data.epochs import once
from jaxmem.data.rows import Batch


class Total(NamedTuple):
  """A weighted sum over the rows of all batches, in float64.

  Attributes:
    value: sum of weight x value.
    weight: sum of the weights.
  """

  value: Any
  weight: Any

  @property
  def mean(self) -> Any:
    """Returns value / weight, NaN where the weight is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
      return np.divide(self.value, self.weight)


def totals(
  terms: Callable[[Any], Mapping[str, tuple[Any, Any]]], batches: Iterable[Any]
) -> dict[str, Total]:
  """Sums several values over batches, row by row.

  Args:
    terms: computes, for a batch, name -> (values, weights), whose first axis is the
      row. A value of weight 0 is ignored, even if it is NaN.
    batches: the batches, at least one.
  """
  sums: dict[str, Total] = {}
  for batch in batches:
    for name, (values, weights) in terms(batch).items():
      weights = np.asarray(weights, np.float64)
      # `where`, because 0 x NaN is NaN
      values = np.where(weights > 0, np.asarray(values, np.float64), 0)
      value, weight = sums.get(name, (0.0, 0.0))
      sums[name] = Total(value + (values * weights).sum(0), weight + weights.sum(0))
  return sums


def mean_loss(losses: Callable[[Batch], Any], batches: Iterable[Batch]) -> float:
  """Returns the weighted mean of a loss over batches.

      sum of weight x loss / sum of weights

  Cost: one evaluation a batch; sums are float64.

  Args:
    losses: computes the losses of a batch, in the shape of its "weights".
    batches: the batches, at least one; a loss of weight 0 is ignored, even if NaN.

  Raises:
    UserError: if no weight is above 0.
  """

  def terms(batch: Batch) -> dict[str, tuple[Any, Any]]:
    # flat: a loss [B, T] is a mean over tokens, one of [B] a mean over rows
    return {"loss": (np.ravel(losses(batch)), np.ravel(batch["weights"]))}

  loss = totals(terms, batches)["loss"]
  if not loss.weight:
    raise UserError("nothing of the held-out data counts: give more of them")
  return float(loss.mean)


def batches(
  examples: Sequence[Any], rows: int, collate: Callable[[list[Any]], Batch]
) -> Iterator[Batch]:
  """Yields all examples once, in batches of one size.

  Args:
    examples: the examples, at least one.
    rows: rows of a batch; the last batch is padded by its last example, with weight 0.
    collate: makes a batch of examples, with "weights" whose first axis is the row.
  """
  for items, real in once(len(examples), rows):
    batch = collate([examples[i] for i in items])
    weights = batch["weights"].copy()
    weights[real:] = 0
    yield batch | {"weights": weights}


def objective(model: Any) -> Callable[[Any, Batch], Any]:
  """Returns a compiled `(params, batch) -> nats` with an empty memory for each row.

  Args:
    model: a model with `init_state` and `objective`.
  """

  def nats(params: Any, batch: dict[str, Any]) -> Any:
    memory = model.init_state(len(batch["weights"]))
    # the new memory, the second result, is dropped: rows do not continue
    return model.apply({"params": params}, batch, memory, method="objective")[0]

  return jax.jit(nats)
