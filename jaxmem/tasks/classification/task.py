"""Classification: a text, or a pair of texts, and its class.

One task, or several that share the encoder: "sentiment=FILE,topic=FILE". Held-out texts
choose the best checkpoint; the metric is accuracy and macro-F1 on the test texts,
beside TF-IDF with logistic regression and the most frequent class, on the same texts.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import ConfigError
from jaxmem.data import leaks
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.classification import data, metrics, tfidf
from jaxmem.tasks.classification.augment import Augmenter
from jaxmem.tasks.classification.config import LabelsConfig
from jaxmem.tasks.classification.data import Example
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.classification.predict import KEPT, LabelsPredictor, log_probabilities
from jaxmem.tasks.classification.rows import Encoded, Task, label_rows
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tokenizers import trained

# Texts that are read at once where nothing is learned.
ROWS = 32


def fit(model: EncoderConfig, config: LabelsConfig) -> EncoderConfig:
  """The model's config with the vocabulary, checked.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=True)
  if config.classes == 1:
    raise ConfigError(
      "task.classes is 1: 2 or more, over all tasks, or 0 to count them"
    )
  return with_made(model, config.tokenizer, mask=True)


def complete(config: LabelsConfig, seed: int) -> LabelsConfig:
  """The config with the number of classes of the training texts; see `tasks.complete`.

  Raises:
    DataError: see `LabelsJob`.
  """
  if config.classes:
    return config
  splits = data.splits(config.reader(), config.files(), config.folds(), seed)
  names = (data.classes(s["train"], n or config.source) for n, s in splits.items())
  return dataclasses.replace(config, classes=sum(map(len, names)))


def make_model(model: EncoderConfig, config: LabelsConfig) -> Classifier:
  """What is trained; see `tasks.make_model`.

  Raises:
    ConfigError: if the classes are not counted yet.
  """
  if not config.classes:
    raise ConfigError("task.classes is 0: state it, or count with `tasks.complete`")
  return Classifier(model, config.classes, config.label_smoothing)


def packages(config: LabelsConfig, context: TaskContext) -> dict[str, str]:
  """For the report; see `tasks.packages`."""
  return {"sklearn": "apps"} if context.eval_size else {}


class LabelsJob(Asked):
  """Labelled texts; see `tasks.Application`."""

  measure = "nats/text"
  things = "labelled texts"

  def __init__(self, config: LabelsConfig, context: TaskContext, model: Classifier):
    """Reads the texts.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    self._splits = data.splits(c.reader(), c.files(), c.folds(), context.seed)
    self.repeats = self._splits.repeats
    self.tested = bool(c.fold or c.test) and not self._splits.heldout_is_test
    tasks, first = [], 0
    for name, parts in self._splits.items():
      known = data.classes(parts["train"], name or c.source)
      for split in self.splits[1:]:
        data.check_known(
          parts[split], known, f"the {split} split of {name or c.source}"
        )
      weights = _weights(parts["train"], known, c.class_weights)
      tasks.append(Task(name, parts["train"], known, first, weights))
      first += len(known)
    if first != model.classes:
      raise ConfigError(
        f"task.classes is {model.classes} and the labels are {first}: "
        + ", ".join(name for task in tasks for name in task.classes[:20])
      )
    every = (t.encode() for task in tasks for e in task.examples for t in e.texts)
    self._made = self._tokenizer = trained.make(c.tokenizer, every)
    self._encoded = Encoded(tasks, self._tokenizer, c.segment_length)
    process = context.process
    count = sum(len(task.examples) for task in tasks)
    decides = dataclasses.astuple(c.augment), c.segment_length, c.first_bytes
    counts = self._encoded.counts() if c.augment.rare else None
    scored = (
      text
      for parts in self._splits.values()
      for example in (*parts["heldout"], *parts["test"])
      for text in example.texts
    )
    unk_id = trained.unk_id(self._tokenizer)
    augmenter = Augmenter(c.augment, unk_id, counts, scored)
    self.repeats += leaks.Repeats(left_out=augmenter.left_out)
    self.rows = label_rows(
      self._encoded,
      self._tokenizer.fingerprint,
      augmenter,
      decides,
      c.temperature,
      Epochs(count, c.batch_size, context.seed, *process),
      context.seed,
    )
    self._nats, self._logp = scoring.objective(model), log_probabilities(model)

  def introduction(self) -> str:
    shown = ", ".join(
      f"{name + ' ' if name else ''}{len(p['train']):,} to train on, "
      f"{len(p['heldout']):,} held out, {len(p['test']):,} to test"
      for name, p in self._splits.items()
    )
    return f"texts: {shown}{self.repeats.words('texts')}{self._absent()}"

  def _absent(self) -> str:
    """Classes that are trained on and not scored, in brackets."""
    said = []
    for task in self._encoded.tasks:
      for split in ("heldout", "test") if self.tested else ("heldout",):
        labels = {example.label for example in self._splits[task.name][split]}
        if absent := [name for name in task.classes if name not in labels]:
          name = f"{absent[0]!r}" + (f" and {len(absent) - 1} more" * (len(absent) > 1))
          said.append(f"no {split} text of class {name}")
    return f" ({'; '.join(said)})" if said else ""

  def keep(self, workdir: Path) -> None:
    """The names of the classes, and the tokenizer if it was made."""
    tasks = [[t.name, t.classes] for t in self._encoded.tasks]
    files.write_json(workdir / KEPT, tasks, ensure_ascii=False, indent=None)
    super().keep(workdir)

  def score(self, params: Any) -> float:
    """Nats a held-out text, the mean over the tasks."""
    nats = lambda batch: self._nats(params, batch)
    held = (self._batches(i, "heldout") for i in range(len(self._splits)))
    return float(np.mean([scoring.mean_loss(nats, batches) for batches in held]))

  def findings(self, params: Any, split: str) -> Findings:
    """Accuracy, macro-F1 and confusion on a split, a task, beside the baselines."""
    found, first, lines, pictures = {"split": split}, [], [], {}
    for i, task in enumerate(self._encoded.tasks):
      own = metrics.numbers(*self._read(params, i, split), task.classes)
      own["beside"], notes = self._baselines(i, split)
      mark = f"_{task.name}" if task.name else ""
      title = f"{task.name or self._config.source} ({split})"
      accuracies = {n: row["accuracy"] for n, row in own["beside"].items()}
      measure = f"accuracy of {task.name}" if task.name else "accuracy"
      first += baselines.better(measure, own["accuracy"], accuracies)
      lines += [title, "", *metrics.table(own), "", *metrics.beside(own), *notes, ""]
      draw = lambda path, own=own: metrics.draw_confusion(own, path)
      pictures[f"confusion_{split}{mark}.png"] = draw
      found |= {task.name: own} if task.name else own
    return Findings(found, [*first, *lines[:-1]], pictures)

  def _baselines(
    self, number: int, split: str
  ) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Scores of what needs no network, and how they were made, as lines."""
    parts = [*self._splits.values()][number]
    asked, known = parts[split], self._encoded.tasks[number].classes
    wanted = np.array([known.index(e.label) for e in asked])
    largest = known[int(data.counts(parts["train"], known).argmax())]
    found = {
      f"always {largest}, the most frequent class of training": metrics.scores(
        wanted, np.full(len(asked), known.index(largest))
      )
    }
    if missing := baselines.missing(tfidf.NAME, "sklearn"):
      return found, ["", missing]
    as_split = lambda some: tfidf.Split(
      [e.texts for e in some], [e.label for e in some]
    )
    train, heldout = as_split(parts["train"]), as_split(parts["heldout"])
    texts = [e.texts for e in asked]
    answers = tfidf.fit_and_ask(train, heldout, texts, self._config.language)
    if answers is None:
      return found, ["", f"{tfidf.NAME} has no words, or no two classes, to learn."]
    guess = np.array([known.index(label) for label in answers.labels])
    return {tfidf.NAME: metrics.scores(wanted, guess)} | found, ["", answers.how + "."]

  def _read(
    self, params: Any, number: int, split: str
  ) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a task's split, and log probabilities of its classes."""
    task = self._encoded.tasks[number]
    examples = [*self._splits.values()][number][split]
    batches = self._batches(number, split)
    logp = np.concatenate([np.asarray(self._logp(params, batch)) for batch in batches])
    label = np.array([task.classes.index(e.label) for e in examples])
    columns = slice(task.first, task.first + len(task.classes))
    return label, logp[: len(examples), columns]

  def _batches(self, number: int, split: str) -> Iterator[Batch]:
    """A task's split in batches of one size, every text of weight 1."""

    def collate(some: list[Example]) -> Batch:
      parts = [self._encoded.ids(example) for example in some]
      batch = self._encoded.batch(parts, some, [number] * len(some))
      return batch | {"weights": np.ones(len(some), np.float32)}

    examples = [*self._splits.values()][number][split]
    return scoring.batches(examples, ROWS, collate)


def _weights(examples: list[Example], known: tuple[str, ...], kind: str) -> np.ndarray:
  """Of each class: 1, or N / (C n) where all shall count alike."""
  if kind == "none":
    return np.ones(len(known))
  return len(examples) / (len(known) * data.counts(examples, known))


Config = LabelsConfig
Job = LabelsJob
Predictor = LabelsPredictor
