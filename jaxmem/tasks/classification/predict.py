"""Predictions of classification: a record of text gets the likeliest class."""

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

# The file in a work directory with the names of the tasks and their classes.
CLASSES_FILE = "labels.json"
# What the logits of a batch depend on.
_INPUTS = ("tokens", "types", "length", "choices")


class LabelsPredictor:
  """Predicts the class of a text; see `tasks.Predictor`.

  `{"text": ...}` gets `{"label", "probabilities"}`. The fields are those of the
  training data; where there are several tasks a record names one, `{"task": ...}`.
  """

  def __init__(
    self, config: LabelsConfig, model: Classifier, params: Any, workdir: Path
  ):
    self._fields = [name for name in (config.text, config.other) if name]
    self._length, self._params = config.segment_length, params
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    path = workdir / CLASSES_FILE
    try:
      tasks = [(str(name), list(classes)) for name, classes in files.read_json(path)]
    except (OSError, ValueError, TypeError) as error:
      raise UserError(f"cannot read {path}: {error}; train again") from error
    # where each task's classes begin among those of all, and their number at the end
    firsts = np.cumsum([0, *(len(classes) for _, classes in tasks)])
    self._tasks = {
      name: (int(first), classes)
      for first, (name, classes) in zip(firsts, tasks, strict=False)
    }
    self._count, self._logp = int(firsts[-1]), log_probabilities(model)

  def check(self, record: dict[str, Any]) -> None:
    """Raises a UserError unless a record has its texts, and its task."""
    for name in self._fields:
      texts.encode(fields.text(record, name), self._tokenizer, f'"{name}"')
    task = record.get("task", "")
    if not isinstance(task, str) or task not in self._tasks:
      several = ", ".join(map(repr, filter(None, self._tasks)))
      expected = f"one of {several}" if several else "leave it out, the run has one"
      raise UserError(f'"task" is {shown(task)}: {expected}')

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    tasks = [self._tasks[record.get("task", "")] for record in records]
    parts = [
      [texts.encode(record[name], self._tokenizer, name) for name in self._fields]
      for record in records
    ]
    batch = texts.batch(parts, self._tokenizer, self._length)
    choices = np.zeros((len(records), self._count), bool)  # [B, C]
    for i, (first, classes) in enumerate(tasks):
      choices[i, first : first + len(classes)] = True
    logp = np.asarray(self._logp(self._params, batch | {"choices": choices}))  # [B, C]
    answers = []
    for (first, classes), row in zip(tasks, logp, strict=True):
      probs = np.exp(row[first : first + len(classes)]).tolist()
      label = classes[int(np.argmax(probs))]
      probabilities = {n: round(p, 6) for n, p in zip(classes, probs, strict=True)}
      answers.append({"label": label, "probabilities": probabilities})
    return answers


def log_probabilities(model: Classifier):
  """Returns a compiled `(params, batch) -> log probabilities [B, C]`."""

  @jax.jit
  def log_probs(params: Any, batch: dict) -> jax.Array:
    inputs = {key: jnp.asarray(batch[key]) for key in _INPUTS}
    logits = model.apply({"params": params}, inputs, method="logits")
    return jax.nn.log_softmax(logits)

  return log_probs
