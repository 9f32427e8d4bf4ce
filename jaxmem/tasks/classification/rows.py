"""The batches of labelled texts: epochs of one task, or a mixture of several."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tasks.classification.augment import Augmenter
from jaxmem.tasks.classification.data import Example
from jaxmem.tokenizers import Tokenizer


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
    """Rows of ids, with labels and what may be chosen; see `Classifier`.

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


class Collate:
  """Makes the batches to train on: texts, perhaps changed, with their labels.

  Of one task an item is an example. Of several, each row's task is drawn with
  probability in proportion to n^(1 / temperature), n its examples, and then one of
  them, whatever the item is.

  Attributes:
    augmenter: what changes texts.
    shares: the probability of each task.
  """

  def __init__(
    self, encoded: Encoded, augmenter: Augmenter, temperature: float, seed: int
  ):
    """Encodes the texts, unless they are changed before.

    Args:
      encoded: the tasks.
      augmenter: what changes texts.
      temperature: of the mixture, > 0.
      seed: of what is drawn.
    """
    self._encoded, self.augmenter, self._seed = encoded, augmenter, seed
    tasks = encoded.tasks
    sizes = np.array([len(task.examples) for task in tasks], float) ** (1 / temperature)
    self.shares = sizes / sizes.sum()
    ids = lambda task: [encoded.ids(example) for example in task.examples]
    self._ids = [[] if augmenter.of_text else ids(task) for task in tasks]

  def __call__(self, items: np.ndarray, numbers: np.ndarray) -> Batch:
    """The batch of rows of these numbers; what is drawn depends on the number alone."""
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
    return self._encoded.batch(parts, examples, of)

  def _parts(self, example: Example, of: int, item: int, draw) -> list:
    if self.augmenter.of_text:
      changed = tuple(self.augmenter.text(t, draw) for t in example.texts)
      ids = self._encoded.ids(example._replace(texts=changed))
    else:
      ids = self._ids[of][item]
    return [self.augmenter.ids(part, draw) for part in ids]


def label_rows(
  encoded: Encoded,
  tokenizer: str,
  augmenter: Augmenter,
  choices: tuple,
  temperature: float,
  epochs: Epochs,
  seed: int,
) -> Rows:
  """Labelled texts in epochs of one task, or of a mixture; see `Collate`.

  Args:
    encoded: the tasks.
    tokenizer: the tokenizer's fingerprint.
    augmenter: what changes texts.
    choices: what else decides how texts are read.
    temperature: of the mixture, > 0.
    epochs: the order of the examples of one task, and the numbers of the rows.
    seed: of what is drawn.
  """
  # what was read, not where: data may lie elsewhere when a run continues
  texts = lambda task: [(e.texts, e.label) for e in task.examples]
  tasks = [[t.name, t.classes, t.weights.tolist(), texts(t)] for t in encoded.tasks]
  decides = ("jaxmem labels 3", choices, temperature, seed, tokenizer, tasks)
  collate = Collate(encoded, augmenter, temperature, seed)
  return Rows(epochs, collate, fingerprint(decides), tokenizer)
