"""The batches of labelled texts, in epochs of one task or a mixture of several."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.data import texts
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tasks.classification.augment import Augmenter
from jaxmem.tasks.classification.data import Example
from jaxmem.tokenizers import Tokenizer


class LabelSet(NamedTuple):
  """Examples to learn, and the range of their classes among those of all tasks.

  Attributes:
    name: the task's name; empty where there is only one task.
    examples: the training examples.
    classes: the names of the task's classes.
    first: the index of the first of them among the classes of all tasks.
    weights: how much each class counts in the loss.
  """

  name: str
  examples: list[Example]
  classes: tuple[str, ...]
  first: int
  weights: Float[np.ndarray, " C"]


class Encoded:
  """Turns examples into rows of tokens."""

  def __init__(self, tasks: list[LabelSet], tokenizer: Tokenizer, length: int):
    """Encodes nothing yet.

    Args:
      tasks: all tasks.
      tokenizer: the tokenizer of their texts.
      length: T, tokens of a row.
    """
    self.tasks, self._tokenizer, self._length = tasks, tokenizer, length
    self._num_classes = sum(len(task.classes) for task in tasks)

  def ids(self, example: Example) -> list:
    """Returns the ids of each text of an example."""
    return [texts.encode(t, self._tokenizer, example.where) for t in example.texts]

  def counts(self) -> Int[np.ndarray, " V"]:
    """Counts how often the training texts of all tasks have each id."""
    ids = [part for t in self.tasks for e in t.examples for part in self.ids(e)]
    # one more than the vocabulary: the id of masks may follow it
    return np.bincount(np.concatenate(ids), minlength=self._tokenizer.vocab_size + 1)

  def batch(
    self, parts: list, examples: list[Example], task_indices: list[int]
  ) -> Batch:
    """Makes a batch of rows with their labels and choices; see `Classifier`.

    Args:
      parts: the ids of each text of each row.
      examples: the examples, which have the labels.
      task_indices: the index of each row's task.
    """
    rows = len(examples)
    tokens = texts.batch(parts, self._tokenizer, self._length)
    label, weights = np.zeros(rows, np.int32), np.zeros(rows, np.float32)  # [B], [B]
    choices = np.zeros((rows, self._num_classes), bool)  # [B, C]
    for i, (example, index) in enumerate(zip(examples, task_indices, strict=True)):
      task = self.tasks[index]
      in_task = task.classes.index(example.label)
      label[i], weights[i] = task.first + in_task, task.weights[in_task]
      # classes of other tasks are not to be learned as wrong answers
      choices[i, task.first : task.first + len(task.classes)] = True
    return tokens | {"label": label, "choices": choices, "weights": weights}


class Collate:
  """Makes the batches to train on: texts, perhaps augmented, with their labels.

  With one task an item is an example. With several, each row draws its task with
  probability in proportion to n^(1 / temperature), where n is the number of the task's
  examples, and then draws one of these, whatever the item is.

  Attributes:
    augmenter: changes the texts.
    shares: the probability of each task.
  """

  def __init__(
    self, encoded: Encoded, augmenter: Augmenter, temperature: float, seed: int
  ):
    """Encodes the texts, unless the augmenter changes them before.

    Args:
      encoded: the tasks.
      augmenter: changes the texts.
      temperature: the temperature of the mixture, > 0.
      seed: decides what each row draws.
    """
    self._encoded, self.augmenter, self._seed = encoded, augmenter, seed
    tasks = encoded.tasks
    sizes = np.array([len(task.examples) for task in tasks], float) ** (1 / temperature)
    self.shares = sizes / sizes.sum()
    # encoded once for all epochs, where the texts stay the same
    self._ids = [
      [] if augmenter.of_text else [*map(encoded.ids, task.examples)] for task in tasks
    ]

  def __call__(self, items: np.ndarray, numbers: np.ndarray) -> Batch:
    """Makes the batch of some items; draws depend on the numbers of the rows alone."""
    parts, examples, task_indices = [], [], []
    for number, item in zip(numbers.tolist(), items.tolist(), strict=True):
      # a generator for each row: how many processes share a step changes no draw
      draw = np.random.default_rng([self._seed, 2, number])
      index = 0
      if len(self.shares) > 1:
        index = int(draw.choice(len(self.shares), p=self.shares))
        item = int(draw.integers(len(self._encoded.tasks[index].examples)))
      example = self._encoded.tasks[index].examples[item]
      task_indices.append(index)
      examples.append(example)
      parts.append(self._parts(example, index, item, draw))
    return self._encoded.batch(parts, examples, task_indices)

  def _parts(self, example: Example, index: int, item: int, draw) -> list:
    """Returns the ids of an example of task `index`, augmented."""
    if self.augmenter.of_text:
      changed = tuple(self.augmenter.text(t, draw) for t in example.texts)
      ids = self._encoded.ids(example._replace(texts=changed))
    else:
      ids = self._ids[index][item]
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
  """Returns the batches of labelled texts, of one task or of a mixture; see `Collate`.

  Args:
    encoded: the tasks.
    tokenizer: the tokenizer's fingerprint.
    augmenter: changes the texts.
    choices: other options that decide how texts are read, for the fingerprint.
    temperature: the temperature of the mixture, > 0.
    epochs: the order of the examples of one task, and the numbers of the rows.
    seed: decides what each row draws.
  """
  # what was read, not where: data may lie elsewhere when a run continues
  tasks = [
    [t.name, t.classes, t.weights.tolist(), [(e.texts, e.label) for e in t.examples]]
    for t in encoded.tasks
  ]
  decides = ("jaxmem labels 3", choices, temperature, seed, tokenizer, tasks)
  collate = Collate(encoded, augmenter, temperature, seed)
  return Rows(epochs, collate, fingerprint(decides), tokenizer)
