"""Classification: a text, or a pair of texts, and its class.

A run learns one task, or several that share the encoder: "sentiment=FILE,topic=FILE".
Held-out texts choose the best checkpoint. The metric is accuracy and macro-F1 on the
test texts, beside TF-IDF with logistic regression and the most frequent class on the
same texts.
"""

import dataclasses
import functools
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
from jaxmem.tasks import baselines, maps, scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.classification import data, metrics, tfidf
from jaxmem.tasks.classification.augment import Augmenter
from jaxmem.tasks.classification.config import LabelsConfig
from jaxmem.tasks.classification.data import Example
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.classification.predict import (
  CLASSES_FILE,
  LabelsPredictor,
  log_probabilities,
)
from jaxmem.tasks.classification.rows import ExampleEncoder, LabelSet, label_rows
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tokenizers import trained

# Rows of a batch that is scored.
EVAL_ROWS = 32


def resolve_model(model: EncoderConfig, config: LabelsConfig) -> EncoderConfig:
  """Returns the model's config with the vocabulary, after checks of both configs.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=True)
  if config.classes == 1:
    raise ConfigError(
      "task.classes is 1: set 2 or more, over all tasks, or 0 to count them"
    )
  return with_made(model, config.tokenizer, mask=True)


def complete(config: LabelsConfig, seed: int) -> LabelsConfig:
  """Fills in the number of classes of the training texts; see `tasks.complete`.

  Raises:
    DataError: see `ClassificationTask`.
  """
  if config.classes:
    return config
  splits = data.splits(config.reader(), config.files(), config.folds(), seed)
  names = [
    data.classes(parts["train"], name or config.source)
    for name, parts in splits.items()
  ]
  return dataclasses.replace(config, classes=sum(map(len, names)))


def make_model(model: EncoderConfig, config: LabelsConfig) -> Classifier:
  """Makes the model that is trained; see `tasks.make_model`.

  Raises:
    ConfigError: if the classes are not counted yet.
  """
  if not config.classes:
    raise ConfigError("task.classes is 0: state it, or count with `tasks.complete`")
  return Classifier(model, config.classes, config.label_smoothing, config.hidden)


def packages(config: LabelsConfig, context: TaskContext) -> dict[str, str]:
  """Names the packages that the report needs; see `tasks.packages`."""
  return {"sklearn": "apps"} if context.eval_size else {}


class ClassificationTask(BaseTask):
  """The task of classifying labelled texts; see `tasks.EvaluableTask`."""

  metric_name = "nats/text"
  noun = "labelled texts"

  def __init__(self, config: LabelsConfig, context: TaskContext, model: Classifier):
    """Reads the texts.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context = context
    self._splits = data.splits(c.reader(), c.files(), c.folds(), context.seed)
    self.repeats = self._splits.repeats
    self.tested = bool(c.fold or c.test) and not self._splits.heldout_is_test
    tasks = self._label_sets(model.classes)
    corpus = (t.encode() for task in tasks for e in task.examples for t in e.texts)
    self._made = self._tokenizer = trained.make(c.tokenizer, corpus)
    self._encoder = ExampleEncoder(tasks, self._tokenizer, c.segment_length)
    count = sum(len(task.examples) for task in tasks)
    # options that decide what a row reads: a run continues only with the same ones
    reading_options = dataclasses.astuple(c.augment), c.segment_length, c.first_bytes
    # counting encodes all texts: only `rare` needs it
    counts = self._encoder.counts() if c.augment.rare else None
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
      self._encoder,
      self._tokenizer.fingerprint,
      augmenter,
      reading_options,
      c.temperature,
      Epochs(count, c.batch_size, context.seed, *context.process),
      context.seed,
    )
    self._nats, self._logp = scoring.objective(model), log_probabilities(model)

  def _label_sets(self, num_classes: int) -> list[LabelSet]:
    """Returns the training examples and the classes of each task.

    Raises:
      DataError: if another split has a label that no training text has.
      ConfigError: if the classes are not `num_classes`.
    """
    config = self._config
    # the classes of all tasks in one row of logits, one task after the other
    tasks, first = [], 0
    for name, parts in self._splits.items():
      source = name or config.source
      classes = data.classes(parts["train"], source)
      for split in self.splits[1:]:
        data.check_labels(parts[split], classes, f"the {split} split of {source}")
      weights = _class_weights(parts["train"], classes, config.class_weights)
      tasks.append(LabelSet(name, parts["train"], classes, first, weights))
      first += len(classes)
    if first != num_classes:
      names = ", ".join(name for task in tasks for name in task.classes[:20])
      raise ConfigError(
        f"task.classes is {num_classes} and the training texts have {first}: {names}; "
        "set it to 0 to count them"
      )
    return tasks

  def describe(self) -> str:
    """Returns how many texts each split has."""
    sizes = ", ".join(
      f"{name + ' ' if name else ''}{len(p['train']):,} to train on, "
      f"{len(p['heldout']):,} held out, {len(p['test']):,} to test"
      for name, p in self._splits.items()
    )
    return f"texts: {sizes}{self.repeats.words('texts')}{self._absent()}"

  def _absent(self) -> str:
    """Returns the classes that a scored split lacks, in brackets."""
    notes = []
    for task in self._encoder.tasks:
      for split in ("heldout", "test") if self.tested else ("heldout",):
        labels = {example.label for example in self._splits[task.name][split]}
        if absent := [name for name in task.classes if name not in labels]:
          name = f"{absent[0]!r}" + (f" and {len(absent) - 1} more" * (len(absent) > 1))
          notes.append(f"no {split} text of class {name}")
    return f" ({'; '.join(notes)})" if notes else ""

  def save_assets(self, workdir: Path) -> None:
    """Writes the names of the classes, and the tokenizer if the run made it."""
    tasks = [[t.name, t.classes] for t in self._encoder.tasks]
    files.write_json(workdir / CLASSES_FILE, tasks, ensure_ascii=False, indent=None)
    super().save_assets(workdir)

  def validation_metric(self, params: Any) -> float:
    """Returns the nats of a held-out text, averaged over the tasks."""
    nats = functools.partial(self._nats, params)
    losses = [
      scoring.mean_loss(nats, self._batches(i, "heldout"))
      for i in range(len(self._splits))
    ]
    return float(np.mean(losses))

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Scores every task on a split, beside the baselines."""
    numbers, verdicts, lines, pictures = {"split": split}, [], [], {}
    for i, task in enumerate(self._encoder.tasks):
      label, logp = self._log_probs(params, i, split)
      scores = metrics.numbers(label, logp, task.classes)
      scores["beside"], notes = self._baselines(i, split)
      suffix = f"_{task.name}" if task.name else ""
      title = f"{task.name or self._config.source} ({split})"
      accuracies = {n: row["accuracy"] for n, row in scores["beside"].items()}
      metric = f"accuracy of {task.name}" if task.name else "accuracy"
      verdicts += baselines.better(metric, scores["accuracy"], accuracies)
      lines += [title, "", *metrics.table(scores), ""]
      lines += [*metrics.baseline_table(scores), *notes, ""]
      pictures[f"confusion_{split}{suffix}.png"] = functools.partial(
        maps.confusion,
        counts=np.array(scores["confusion"]),
        names=scores["classes"],
        title=f"{title}: texts by class and prediction",
      )
      numbers |= {task.name: scores} if task.name else scores
    return EvalResult(numbers, [*verdicts, *lines[:-1]], pictures)

  def _baselines(
    self, index: int, split: str
  ) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Scores the baselines; also returns lines that describe them."""
    parts = [*self._splits.values()][index]
    examples, classes = parts[split], self._encoder.tasks[index].classes
    label = np.array([classes.index(e.label) for e in examples])  # [N]
    largest = classes[int(data.counts(parts["train"], classes).argmax())]
    scores = {
      f"always {largest}, the most frequent class of training": metrics.scores(
        label, np.full(len(examples), classes.index(largest))
      )
    }
    if missing := baselines.missing(tfidf.NAME, "sklearn"):
      return scores, ["", missing]
    train, heldout = (
      tfidf.Split([e.texts for e in parts[name]], [e.label for e in parts[name]])
      for name in ("train", "heldout")
    )
    texts = [e.texts for e in examples]
    answers = tfidf.fit_and_predict(train, heldout, texts, self._config.language)
    if answers is None:
      return scores, ["", f"{tfidf.NAME} has no words, or no two classes, to learn."]
    guess = np.array([classes.index(name) for name in answers.labels])  # [N]
    return {tfidf.NAME: metrics.scores(label, guess)} | scores, ["", answers.how + "."]

  def _log_probs(
    self, params: Any, index: int, split: str
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels of a task's split [N], and their log probabilities [N, C]."""
    task = self._encoder.tasks[index]
    examples = [*self._splits.values()][index][split]
    batches = self._batches(index, split)
    logp = np.concatenate([np.asarray(self._logp(params, batch)) for batch in batches])
    label = np.array([task.classes.index(e.label) for e in examples])
    # the last batch repeats an example to be as large as the others
    columns = slice(task.first, task.first + len(task.classes))
    return label, logp[: len(examples), columns]

  def _batches(self, index: int, split: str) -> Iterator[Batch]:
    """Yields a task's split in batches of one size, every text of weight 1."""

    def collate(examples: list[Example]) -> Batch:
      parts = [self._encoder.ids(example) for example in examples]
      batch = self._encoder.batch(parts, examples, [index] * len(examples))
      # scores weight all texts equally, whatever `class_weights` says
      return batch | {"weights": np.ones(len(examples), np.float32)}

    examples = [*self._splits.values()][index][split]
    return scoring.batches(examples, EVAL_ROWS, collate)


def _class_weights(
  examples: list[Example], classes: tuple[str, ...], kind: str
) -> np.ndarray:
  """Returns the weight of each class: 1, or N / (C n) for "balanced"."""
  if kind == "none":
    return np.ones(len(classes))
  return len(examples) / (len(classes) * data.counts(examples, classes))  # [C]


Config = LabelsConfig
Task = ClassificationTask
Predictor = LabelsPredictor
