"""Scores of held-out examples: one loop, whatever the task."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.data.epochs import once
from jaxmem.data.rows import Batch


def mean_loss(losses: Callable[[Batch], Any], batches: Iterable[Batch]) -> float:
  """The mean of a loss over batches, each value counted by its weight.

      sum of weight x loss / sum of weights

  Cost: one evaluation a batch; sums are float64.

  Args:
    losses: of a batch, in the shape of its "weights".
    batches: a weight of 0 counts nothing, whatever its loss.

  Raises:
    UserError: if no weight is above 0.
  """
  total, count = 0.0, 0.0
  for batch in batches:
    weights = np.asarray(batch["weights"], np.float64)
    values = np.asarray(losses(batch), np.float64)
    total += float((values * weights)[weights > 0].sum())
    count += float(weights.sum())
  if not count:
    raise UserError("nothing of the held-out data counts: give more of them")
  return total / count


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
