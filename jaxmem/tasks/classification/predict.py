"""The classes that a run answers records with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import UserError, shown
from jaxmem.data import texts
from jaxmem.tasks import fields
from jaxmem.tasks.classification.config import LabelsConfig
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tokenizers import trained

# The names of the classes, beside the checkpoint.
KEPT = "labels.json"


class LabelsPredictor:
  """The class of a text; see `tasks.Predictor`.

  `{"text": ...}` gets {"label", "probabilities"}. The fields are those of the training
  data; of several tasks a record names its own, {"task": ...}.
  """

  def __init__(
    self, config: LabelsConfig, model: Classifier, params: Any, workdir: Path
  ):
    self._fields = [name for name in (config.text, config.other) if name]
    self._length, self._params = config.segment_length, params
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    try:
      tasks = [
        (str(name), list(known)) for name, known in files.read_json(workdir / KEPT)
      ]
    except (OSError, ValueError, TypeError) as error:
      raise UserError(f"cannot read {workdir / KEPT}: {error}; train again") from error
    firsts = np.cumsum([0, *(len(known) for _, known in tasks)])
    self._tasks = {
      name: (int(first), known)
      for first, (name, known) in zip(firsts, tasks, strict=False)
    }
    self._count, self._logp = int(firsts[-1]), log_probabilities(model)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has its texts, and its task."""
    for name in self._fields:
      texts.encode(fields.text(record, name), self._tokenizer, f'"{name}"')
    task = record.get("task", "")
    if not isinstance(task, str) or task not in self._tasks:
      several = ", ".join(map(repr, filter(None, self._tasks)))
      expected = f"one of {several}" if several else "leave it out, the run has one"
      raise UserError(f'"task" is {shown(task)}: {expected}')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    tasks = [self._tasks[record.get("task", "")] for record in records]
    encode = lambda record, name: texts.encode(record[name], self._tokenizer, name)
    parts = [[encode(record, name) for name in self._fields] for record in records]
    batch = texts.batch(parts, self._tokenizer, self._length)
    choices = np.zeros((len(records), self._count), bool)
    for i, (first, known) in enumerate(tasks):
      choices[i, first : first + len(known)] = True
    logp = np.asarray(self._logp(self._params, batch | {"choices": choices}))
    answers = []
    for (first, known), row in zip(tasks, logp, strict=True):
      shares = np.exp(row[first : first + len(known)])
      label = known[int(shares.argmax())]
      shown = {n: round(float(p), 6) for n, p in zip(known, shares, strict=True)}
      answers.append({"label": label, "probabilities": shown})
    return answers


def log_probabilities(model: Classifier):
  """Compiled: [B, C] of a batch."""
  logits = lambda params, batch: model.apply({"params": params}, batch, method="logits")
  return jax.jit(lambda params, batch: jax.nn.log_softmax(logits(params, _used(batch))))


def _used(batch: dict) -> dict:
  keys = ("tokens", "types", "length", "choices")
  return {key: jnp.asarray(batch[key]) for key in keys}
