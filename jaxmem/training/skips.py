"""Steps that did not count: how many are too many, and what a run says of them."""

from typing import NamedTuple

from jaxmem.core.errors import RunError
from jaxmem.parallel.distributed import say
from jaxmem.training.config import Config
from jaxmem.training.state import TrainState

_REMEDY = "lower --optim.learning-rate or look at the rows in ledger.jsonl"


class TrainingError(RunError):
  """The run cannot continue; the last checkpoint is good."""


class End(NamedTuple):
  """Where a loop of steps ended.

  Attributes:
    state: after the last step.
    step: how many steps the run has made.
    complete: whether it is the end of the run, not a signal's.
    skipped: how many of the last steps in a row were skipped.
  """

  state: TrainState
  step: int
  complete: bool
  skipped: int


def count_skips(fetched: list[dict], before: int, step: int, config: Config) -> int:
  """How many of the latest steps in a row were skipped.

  Raises:
    TrainingError: if they are too many.
  """
  run = before
  for i, metrics in enumerate(fetched):
    run = run + 1 if metrics["skipped"] else 0
    if metrics["skipped"]:
      at = step - len(fetched) + i
      say(
        f"step {at}: loss, gradient or update not finite, skipped; rows in ledger.jsonl"
      )
    if run >= config.stop_after_skips:
      raise TrainingError(
        f"{run} steps in a row had a loss, gradient or update that is not finite, the "
        f"last one step {step - len(fetched) + i}; the last checkpoint is good: "
        f"{_REMEDY}"
      )
  return run


def goes_on(end: End) -> str:
  """What a run that was stopped says of its next start."""
  if not end.skipped:
    return "the same command continues"
  return (
    f"its last {end.skipped} steps were skipped and not saved; the same command goes "
    "on before them"
  )


def not_reported(end: End, saved: list[int]) -> str:
  """Why a run ends without a report: its last steps did not count."""
  first, last = end.step - end.skipped, end.step - 1
  steps = f"last step, {last}," if first == last else f"last steps, {first} to {last},"
  last = f"the last checkpoint is of step {saved[-1]}" if saved else "no state is saved"
  return (
    f"the {steps} had a loss, gradient or update that is not finite and did not count; "
    f"nothing is reported, {last}: {_REMEDY}"
  )
