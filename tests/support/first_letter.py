"""A task in one file, as a newcomer writes it: what a row began with.

It is no part of the package: `--plugins support.first_letter`, or `kinds.load`. As a
task of the package it would be `jaxmem/tasks/first_letter/task.py`, unchanged.
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
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.models.lm import LM, LMConfig
from jaxmem.tasks import scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.model_sizes import with_vocab

LETTERS = "abcdefgh"


@dataclasses.dataclass(frozen=True)
class FirstLetterConfig:
  """Rows of random letters; the last target is the first letter.

  Attributes:
    source: a name for the log.
    segment_length: letters of a row.
    batch_size: rows of a step.
  """

  source: str = "letters"
  segment_length: int = number(8, at_least=2)
  batch_size: int = number(16, at_least=1)


def fit(model: LMConfig, config: FirstLetterConfig) -> LMConfig:
  """The model's config with the size of the alphabet."""
  return with_vocab(model, len(LETTERS), config.source)


def batch(numbers: np.ndarray, length: int, seed: int) -> Batch:
  """Rows drawn by seed and number; only the last target counts."""
  draw = lambda n: np.random.default_rng([seed, n]).integers(len(LETTERS), size=length)
  tokens = np.stack([draw(n) for n in numbers.tolist()]).astype(np.int32)  # [B, T]
  ends = np.arange(length) == length - 1
  return {
    "tokens": tokens,
    "targets": np.where(ends, tokens[:, :1], 0).astype(np.int32),
    "reset": np.broadcast_to(np.arange(length) == 0, tokens.shape),
    "weights": np.broadcast_to(ends, tokens.shape).astype(np.float32),
  }


class FirstLetterJob(Asked):
  """See `tasks.base.Application`."""

  measure = "nats/row"
  things = "rows of letters"
  splits = ("heldout",)
  reported = "heldout"
  tested = False

  def __init__(self, config: FirstLetterConfig, context: TaskContext, model: LM):
    self._config, self._context, self._model = config, context, model
    length, seed = config.segment_length, context.seed
    self.rows = Rows(
      Fresh(config.batch_size, context.process),
      lambda numbers, _: batch(numbers, length, seed),
      fingerprint(("first letter 1", length, config.batch_size, seed)),
    )
    self._heldout = batch(np.arange(64), length, seed + 1)
    self._nats = scoring.objective(model)

  def introduction(self) -> str:
    return f"rows of {self._config.segment_length} letters"

  def score(self, params: Any) -> float:
    """Nats of the first letter."""
    nats = functools.partial(self._nats, params)
    return scoring.mean_loss(nats, [self._heldout])

  def findings(self, params: Any, split: str) -> Findings:
    """The share of rows whose first letter is the likeliest."""
    guess = likeliest(self._model, params, self._heldout["tokens"])
    right = float((guess == self._heldout["tokens"][:, 0]).mean())
    return Findings({"accuracy": right}, [f"{right:.3f} of the rows right"], {})


class FirstLetterPredictor:
  """`{"text": "abca"}` to `{"first": "a"}`."""

  def __init__(self, config: FirstLetterConfig, model: LM, params: Any, workdir: Path):
    self._model, self._params, self._length = model, params, config.segment_length

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has as many letters as a row."""
    text = record.get("text")
    if not isinstance(text, str) or len(text) != self._length or set(text) - {*LETTERS}:
      raise UserError(
        f'"text" is {text!r}: {self._length} letters of {LETTERS} expected'
      )

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    tokens = np.array(
      [[LETTERS.index(a) for a in r["text"]] for r in records], np.int32
    )
    guess = likeliest(self._model, self._params, tokens)
    return [{"first": LETTERS[i]} for i in guess]


def likeliest(model: LM, params: Any, tokens: np.ndarray) -> np.ndarray:
  """The likeliest letter behind each row, [B]."""
  apply = jax.jit(functools.partial(model.apply, {"params": params}))
  logits, _ = apply(tokens, model.init_state(len(tokens)))
  return np.asarray(logits[:, -1, : len(LETTERS)].argmax(-1))


Config = FirstLetterConfig
Job = FirstLetterJob
Predictor = FirstLetterPredictor
