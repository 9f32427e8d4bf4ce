"""The batches of labelled texts: epochs of one task, or a mixture of several."""

import hashlib
import json
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.tasks.classification.augment import Augmenter
from jaxmem.tasks.classification.data import Example
from jaxmem.tokenizers import Tokenizer

Batch = dict[str, np.ndarray]


class Task(NamedTuple):
  """Examples to learn, and where their classes stand among those of all tasks.

  Attributes:
    name: of the task; empty where there is one alone.
    examples: to train on.
    classes: their names.
    first: the place of the first.
    weights: of each class in the loss.
  """

  name: str
  examples: list[Example]
  classes: tuple[str, ...]
  first: int
  weights: Float[np.ndarray, " C"]


class Encoded:
  """Examples as rows of tokens."""

  def __init__(self, tasks: list[Task], tokenizer: Tokenizer, length: int):
    """Args: all tasks; the tokenizer; T."""
    self.tasks, self._tokenizer, self._length = tasks, tokenizer, length
    self._all = sum(len(task.classes) for task in tasks)

  def ids(self, example: Example) -> list:
    """The ids of each text."""
    return [texts.encode(t, self._tokenizer, example.where) for t in example.texts]

  def counts(self) -> Int[np.ndarray, " V"]:
    """How often the training texts of all tasks have each id."""
    every = [ids for t in self.tasks for e in t.examples for ids in self.ids(e)]
    return np.bincount(np.concatenate(every), minlength=self._tokenizer.vocab_size + 1)

  def batch(self, parts: list, examples: list[Example], of: list[int]) -> Batch:
    """Rows of ids, with labels and what may be chosen; see `models.encoder.Encoder`.

    Args:
      parts: the ids of each text, a row.
      examples: whose labels.
      of: the number of each row's task.
    """
    made = texts.batch(parts, self._tokenizer, self._length)
    label, weights = np.zeros(len(of), np.int32), np.zeros(len(of), np.float32)
    choices = np.zeros((len(of), self._all), bool)
    for i, (example, number) in enumerate(zip(examples, of, strict=True)):
      task = self.tasks[number]
      at = task.classes.index(example.label)
      label[i], weights[i] = task.first + at, task.weights[at]
      choices[i, task.first : task.first + len(task.classes)] = True
    return made | {"label": label, "choices": choices, "weights": weights}


class LabelRows:
  """The batch of every step, with "rows"; a `tasks.Rows`.

  One task is read in epochs. Of several, each row's task is drawn with probability in
  proportion to n^(1 / temperature), n its examples, and then one of them.

  Attributes:
    fingerprint: SHA-256 over all that decides what a step reads.
    tokenizer: the tokenizer's fingerprint.
  """

  def __init__(
    self,
    encoded: Encoded,
    tokenizer: str,
    augmenter: Augmenter,
    decides: tuple,
    temperature: float,
    epochs: Epochs,
    seed: int,
  ):
    """Args: the tasks; the tokenizer's fingerprint; what changes texts; what else says
    how; of the mixture; the order of one task, and the numbers of the rows; the seed of
    what is drawn."""
    self._encoded, self._augmenter, self._seed = encoded, augmenter, seed
    self.tokenizer, self._epochs = tokenizer, epochs
    tasks = encoded.tasks
    sizes = np.array([len(task.examples) for task in tasks], float) ** (1 / temperature)
    self.shares = sizes / sizes.sum()
    ids = lambda task: [encoded.ids(example) for example in task.examples]
    self._ids = [[] if augmenter.of_text else ids(task) for task in tasks]
    # what was read, not where: data may lie elsewhere when a run goes on
    said = lambda task: [(e.texts, e.label) for e in task.examples]
    shown = [[t.name, t.classes, t.weights.tolist(), said(t)] for t in tasks]
    decides = ("jaxmem labels 3", decides, temperature, seed, tokenizer, shown)
    self.fingerprint = hashlib.sha256(json.dumps(decides).encode()).hexdigest()

  def __len__(self) -> int:
    return len(self._epochs)

  def __getitem__(self, step: int) -> Batch:
    numbers, items = self._epochs[step]
    parts, examples, of = [], [], []
    for number, item in zip(numbers.tolist(), items.tolist(), strict=True):
      draw = np.random.default_rng([self._seed, 2, number])
      if len(self.shares) > 1:
        of.append(int(draw.choice(len(self.shares), p=self.shares)))
        item = int(draw.integers(len(self._encoded.tasks[of[-1]].examples)))
      else:
        of.append(0)
      examples.append(self._encoded.tasks[of[-1]].examples[item])
      parts.append(self._parts(examples[-1], of[-1], item, draw))
    return self._encoded.batch(parts, examples, of) | {"rows": numbers}

  def _parts(self, example: Example, of: int, item: int, draw) -> list:
    if self._augmenter.of_text:
      changed = tuple(self._augmenter.text(t, draw) for t in example.texts)
      ids = self._encoded.ids(example._replace(texts=changed))
    else:
      ids = self._ids[of][item]
    return [self._augmenter.ids(part, draw) for part in ids]
