"""The model names the first letter of a row at its end: what the trainer calls.

`jaxmem.tasks.base` documents each of these names.
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
  """Rows of random letters, whose last target is the first letter.

  Attributes:
    source: names the data in the log.
    segment_length: letters of a row.
    batch_size: rows of a step.
  """

  source: str = "letters"
  segment_length: int = number(8, at_least=2)
  batch_size: int = number(16, at_least=1)


def resolve_model(model: LMConfig, config: MyTaskConfig) -> LMConfig:
  """Returns the model's config with the size of the alphabet as its vocabulary."""
  return with_vocab(model, len(LETTERS), config.source)


class MyTask(BaseTask):
  """Reads and scores rows for the trainer; see `jaxmem.tasks.base.EvaluableTask`."""

  metric_name = "nats/row"
  noun = "rows of letters"
  splits = ("heldout",)
  reported = "heldout"
  tested = False  # the held-out split is the only one that is scored

  def __init__(self, config: MyTaskConfig, context: TaskContext, model: LM):
    self._config, self._context, self._model = config, context, model
    length, seed = config.segment_length, context.seed
    self.rows = Rows(
      Fresh(config.batch_size, context.process),
      lambda numbers, _: batch(numbers, length, seed),
      # everything that decides what a step reads, with a name and a format version
      fingerprint(("my_task 1", length, config.batch_size, seed)),
    )
    self._heldout = batch(np.arange(64), length, seed + 1)
    self._nats = scoring.objective(model)

  def describe(self) -> str:
    """Returns the line of the log that describes the data."""
    return f"rows of {self._config.segment_length} letters"

  def validation_metric(self, params: Any) -> float:
    """Returns nats of the first letter, on the held-out rows."""
    nats = functools.partial(self._nats, params)
    return scoring.mean_loss(nats, [self._heldout])

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns the share of held-out rows whose first letter is the likeliest."""
    guess = likeliest(self._model, params, self._heldout["tokens"])
    accuracy = float((guess == self._heldout["tokens"][:, 0]).mean())
    return EvalResult({"accuracy": accuracy}, [f"{accuracy:.3f} of the rows right"], {})


class MyTaskPredictor:
  """Answers `{"text": "abcdefgh"}` with `{"first": "a"}`."""

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
    """Returns the answers to records that were checked."""
    ids = [[LETTERS.index(letter) for letter in record["text"]] for record in records]
    guess = likeliest(self._model, self._params, np.array(ids, np.int32))
    return [{"first": LETTERS[i]} for i in guess]


def likeliest(model: LM, params: Any, tokens: np.ndarray) -> np.ndarray:
  """Returns the likeliest letter after each row, [B]."""
  apply = jax.jit(functools.partial(model.apply, {"params": params}))
  logits, _ = apply(tokens, model.init_state(len(tokens)))  # [B, T, V]
  return np.asarray(logits[:, -1, : len(LETTERS)].argmax(-1))
