"""Skipped steps: how many are too many, and what the run reports of them."""

from typing import NamedTuple

from jaxmem.core.errors import RunError
from jaxmem.parallel.distributed import say
from jaxmem.training.config import Config
from jaxmem.training.state import TrainState

_REMEDY = "lower --optim.learning-rate or look at the rows in ledger.jsonl"


class TrainingError(RunError):
  """The run cannot continue; its last checkpoint is good."""


class End(NamedTuple):
  """Where the training loop ended.

  Attributes:
    state: the state after the last step.
    step: how many steps the run has made.
    complete: whether the run is complete; False if a signal stopped it.
    skipped: how many of the last steps in a row were skipped.
  """

  state: TrainState
  step: int
  complete: bool
  skipped: int


def count_skips(fetched: list[dict], before: int, step: int, config: Config) -> int:
  """Counts how many of the latest steps in a row were skipped.

  Args:
    fetched: the metrics of the latest steps, on the host.
    before: how many steps in a row were skipped before these.
    step: how many steps the run has made.
    config: says how many are too many.

  Raises:
    TrainingError: if too many in a row were skipped.
  """
  # `before` carries a streak over from the metrics that were fetched last time
  count = before
  for i, metrics in enumerate(fetched):
    count = count + 1 if metrics["skipped"] else 0
    if metrics["skipped"]:
      at = step - len(fetched) + i
      say(
        f"step {at}: loss, gradient or update not finite, skipped; rows in ledger.jsonl"
      )
    if count >= config.stop_after_skips:
      raise TrainingError(
        f"{count} steps in a row had a loss, gradient or update that is not finite, "
        f"the last one step {step - len(fetched) + i}; the last checkpoint is good: "
        f"{_REMEDY}"
      )
  return count


def goes_on(end: End) -> str:
  """Returns how a run that was stopped can be continued, for its last message."""
  if not end.skipped:
    return "the same command continues"
  return (
    f"its last {end.skipped} steps were skipped and not saved; the same command goes "
    "on before them"
  )


def not_reported(end: End, saved: list[int]) -> str:
  """Returns why a run ends without a report: its last steps did not count.

  Args:
    end: where the loop ended.
    saved: the steps of the checkpoints.
  """
  first, last = end.step - end.skipped, end.step - 1
  steps = f"last step, {last}," if first == last else f"last steps, {first} to {last},"
  last = f"the last checkpoint is of step {saved[-1]}" if saved else "no state is saved"
  return (
    f"the {steps} had a loss, gradient or update that is not finite and did not count; "
    f"nothing is reported, {last}: {_REMEDY}"
  )
