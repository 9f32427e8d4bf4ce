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


class LabelSet(NamedTuple):
  """Examples to learn, and the range of their classes among those of all tasks.

  Attributes:
    name: the task's name; empty where there is only one task.
    examples: the training examples.
    classes: the names of the task's classes.
    first: the index of its first class among the classes of all tasks.
    weights: the weight of each class in the loss.
  """

  name: str
  examples: list[Example]
  classes: tuple[str, ...]
  first: int
  weights: Float[np.ndarray, " C"]


class ExampleEncoder:
  """Turns examples into rows of tokens."""

  def __init__(self, tasks: list[LabelSet], tokenizer: Tokenizer, length: int):
    """Keeps the tasks; each method encodes what it needs.

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
      index_in_task = task.classes.index(example.label)
      label[i], weights[i] = task.first + index_in_task, task.weights[index_in_task]
      # the loss leaves the classes of other tasks out
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
    self, encoder: ExampleEncoder, augmenter: Augmenter, temperature: float, seed: int
  ):
    """Encodes the texts, unless the augmenter changes them before.

    Args:
      encoder: encodes the examples of all tasks.
      augmenter: changes the texts.
      temperature: the temperature of the mixture, > 0.
      seed: decides what each row draws.
    """
    self._encoder, self.augmenter, self._seed = encoder, augmenter, seed
    tasks = encoder.tasks
    sizes = np.array([len(task.examples) for task in tasks], float) ** (1 / temperature)
    self.shares = sizes / sizes.sum()
    # ids are made once for all epochs, where the texts stay the same
    self._ids = [
      [] if augmenter.of_text else [*map(encoder.ids, task.examples)] for task in tasks
    ]

  def __call__(self, items: np.ndarray, numbers: np.ndarray) -> Batch:
    """Makes the batch of some items; draws depend only on the numbers of the rows."""
    parts, examples, task_indices = [], [], []
    for number, item in zip(numbers.tolist(), items.tolist(), strict=True):
      # a generator for each row: the number of processes changes no draw
      rng = np.random.default_rng([self._seed, 2, number])
      index = 0
      if len(self.shares) > 1:
        index = int(rng.choice(len(self.shares), p=self.shares))
        item = int(rng.integers(len(self._encoder.tasks[index].examples)))
      example = self._encoder.tasks[index].examples[item]
      task_indices.append(index)
      examples.append(example)
      parts.append(self._parts(example, index, item, rng))
    return self._encoder.batch(parts, examples, task_indices)

  def _parts(self, example: Example, index: int, item: int, rng) -> list:
    """Returns the ids of an example of task `index`, augmented."""
    if self.augmenter.of_text:
      changed = tuple(self.augmenter.text(t, rng) for t in example.texts)
      ids = self._encoder.ids(example._replace(texts=changed))
    else:
      ids = self._ids[index][item]
    return [self.augmenter.ids(part, rng) for part in ids]


def label_rows(
  encoder: ExampleEncoder,
  tokenizer: str,
  augmenter: Augmenter,
  options: tuple,
  temperature: float,
  epochs: Epochs,
  seed: int,
) -> Rows:
  """Returns the batches of labelled texts, of one task or of a mixture; see `Collate`.

  Args:
    encoder: encodes the examples of all tasks.
    tokenizer: the tokenizer's fingerprint.
    augmenter: changes the texts.
    options: other options that decide how texts are read, for the fingerprint.
    temperature: the temperature of the mixture, > 0.
    epochs: the order of the examples of one task, and the numbers of the rows.
    seed: decides what each row draws.
  """
  # what was read, not where: data may lie elsewhere when a run continues
  tasks = [
    [t.name, t.classes, t.weights.tolist(), [(e.texts, e.label) for e in t.examples]]
    for t in encoder.tasks
  ]
  decides = ("jaxmem labels 3", options, temperature, seed, tokenizer, tasks)
  collate = Collate(encoder, augmenter, temperature, seed)
  return Rows(epochs, collate, fingerprint(decides), tokenizer)
