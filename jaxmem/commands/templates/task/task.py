"""Name the first letter of a row, at its end: what the trainer asks of the task.

What each name is for stands in `jaxmem.tasks.base`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number
from jaxmem.data.epochs import Fresh
from jaxmem.data.rows import Rows, fingerprint
from jaxmem.models.lm import LM, LMConfig
from jaxmem.tasks import scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.model_sizes import with_vocab

from .data import LETTERS, batch


@dataclasses.dataclass(frozen=True)
class MyTaskConfig:
  """Rows of random letters; the last target is the first letter.

  Attributes:
    source: a name for the log.
    segment_length: letters of a row.
    batch_size: rows of a step.
  """

  source: str = "letters"
  segment_length: int = number(8, at_least=2)
  batch_size: int = number(16, at_least=1)


def resolve_model(model: LMConfig, config: MyTaskConfig) -> LMConfig:
  """The model's config with what the data decide: the size of the alphabet."""
  return with_vocab(model, len(LETTERS), config.source)


class MyTask(BaseTask):
  """What the trainer asks; see `jaxmem.tasks.base.EvaluableTask`."""

  metric_name = "nats/row"
  noun = "rows of letters"
  splits = ("heldout",)
  reported = "heldout"
  tested = False  # there is no test split beside the one that is held out

  def __init__(self, config: MyTaskConfig, context: TaskContext, model: LM):
    self._config, self._context, self._model = config, context, model
    length, seed = config.segment_length, context.seed
    self.rows = Rows(
      Fresh(config.batch_size, context.process),
      lambda numbers, _: batch(numbers, length, seed),
      # all that decides what a step reads, behind a name and the version of the format
      fingerprint(("my_task 1", length, config.batch_size, seed)),
    )
    self._heldout = batch(np.arange(64), length, seed + 1)
    self._nats = scoring.objective(model)

  def describe(self) -> str:
    """The line of the log that says what is read."""
    return f"rows of {self._config.segment_length} letters"

  def validation_metric(self, params: Any) -> float:
    """Nats of the first letter, on what is held out."""
    nats = functools.partial(self._nats, params)
    return scoring.mean_loss(nats, [self._heldout])

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """The share of rows whose first letter is the likeliest."""
    guess = likeliest(self._model, params, self._heldout["tokens"])
    accuracy = float((guess == self._heldout["tokens"][:, 0]).mean())
    return EvalResult({"accuracy": accuracy}, [f"{accuracy:.3f} of the rows right"], {})


class MyTaskPredictor:
  """`{"text": "abcdefgh"}` to `{"first": "a"}`."""

  def __init__(self, config: MyTaskConfig, model: LM, params: Any, workdir: Path):
    self._model, self._params, self._length = model, params, config.segment_length

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has as many letters as a row."""
    text = record.get("text")
    if not isinstance(text, str) or len(text) != self._length or set(text) - {*LETTERS}:
      raise UserError(
        f'"text" is {text!r}: {self._length} letters of {LETTERS} expected'
      )

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to records that were checked."""
    ids = [[LETTERS.index(letter) for letter in record["text"]] for record in records]
    guess = likeliest(self._model, self._params, np.array(ids, np.int32))
    return [{"first": LETTERS[i]} for i in guess]


def likeliest(model: LM, params: Any, tokens: np.ndarray) -> np.ndarray:
  """The likeliest letter behind each row, [B]."""
  apply = jax.jit(functools.partial(model.apply, {"params": params}))
  logits, _ = apply(tokens, model.init_state(len(tokens)))  # [B, T, V]
  return np.asarray(logits[:, -1, : len(LETTERS)].argmax(-1))
