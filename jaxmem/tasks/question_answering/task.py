"""Extractive question answering: where in a text the answer begins and ends.

Long texts are read in windows that overlap; the likeliest span of all windows is the
answer. The baselines need no learning: the words that are nearest to the question's
words, and the clause that has most of them.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmem.core.errors import ConfigError
from jaxmem.data import DataError, folds, leaks
from jaxmem.data.epochs import once
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, fields, scoring
from jaxmem.tasks import language as languages
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tasks.question_answering import data, lexical, metrics
from jaxmem.tasks.question_answering.config import HINT, SpansConfig
from jaxmem.tasks.question_answering.data import Question
from jaxmem.tasks.question_answering.model import SpanReader
from jaxmem.tasks.question_answering.rows import (
  Cutter,
  answer_in,
  best_span,
  collate,
  span_rows,
)
from jaxmem.tokenizers import trained

# Windows of a batch where nothing is learned; words that a baseline's answer may have.
ROWS, LENGTHS = 16, (1, 2, 3, 4, 6, 8, 12)


def resolve_model(model: EncoderConfig, config: SpansConfig) -> EncoderConfig:
  """Returns the model's config with the vocabulary, after checks of both configs.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=False)
  if config.match and model.types < 3:
    raise ConfigError(f"task.match needs model.types of 3: it is {model.types}")
  room = config.segment_length - config.question_length - 3
  if not 0 <= config.overlap < room:
    raise ConfigError(
      f"task.overlap is {config.overlap} and a window has {room} tokens "
      "(task.segment_length without the question and 3 marks): set less, 0 at least"
    )
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: SpansConfig) -> SpanReader:
  """Makes the model that is trained; see `tasks.make_model`."""
  return SpanReader(model)


class QuestionAnsweringTask(BaseTask):
  """Questions; see `tasks.EvaluableTask`."""

  metric_name = "nats/row"
  noun = "questions"

  def __init__(self, config: SpansConfig, context: TaskContext, model: SpanReader):
    """Reads the questions.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    which, num_folds = folds.parse(c.fold, 3)
    self._splits = folds.split(
      data.read(c.source, HINT, (c.question, c.context)),
      which,
      num_folds,
      group=lambda q: q.article,
      what="articles",
      key=lambda q: leaks.key(q.context),
    )
    self.repeats = self._splits.repeats
    train = self._splits["train"]
    self._language = languages.of([q.context for q in train], c.language)
    self._rule = c.rule
    if c.rule == "auto":
      self._rule = metrics.rule_of(self._language)
    corpus = (t.encode() for q in train for t in (q.question, q.context))
    self._made = trained.make(c.tokenizer, corpus)
    self._cutter = _cutter(c, self._made)
    self.rows = span_rows(
      self._cutter,
      self._windows("train"),
      c.batch_size,
      context.seed,
      context.process,
    )
    self._heldout = self._windows("heldout")
    self._nats = scoring.objective(model)

  def describe(self) -> str:
    """Says how many questions each split has."""
    sizes = [len(self._splits[name]) for name in self.splits]
    return (
      f"{sizes[0]} questions to train on, {sizes[1]} held out, {sizes[2]} to test"
      f"{self.repeats.words('articles')}"
    )

  def validation_metric(self, params: Any) -> float:
    """Returns the mean of the nats of the first and last token in held-out windows."""
    to_batch = functools.partial(collate, self._cutter)
    batches = scoring.batches(self._heldout, ROWS, to_batch)
    return scoring.mean_loss(functools.partial(self._nats, params), batches)

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Computes exact match and F1 on a split, beside the baselines."""
    questions, rule = self._splits[split], self._rule
    answerer = Answerer(self._model, params, self._cutter, self._config.answer_length)
    pairs = [(q.question, q.context) for q in questions]
    length = self._baseline()
    answers = {
      f"{length} words by overlap": self._near(questions, length),
      "clause by overlap": [lexical.clause(q, context, rule) for q, context in pairs],
      "this run": [answer.text for answer in answerer(pairs)],
    }
    references = [q.answers for q in questions]
    scores = {
      name: metrics.numbers(rule, texts, references) for name, texts in answers.items()
    }
    numbers = {"split": split, "questions": len(questions), "beside": scores}
    language = languages.describe(self._language, self._config.language)
    signature = f"rule:{rule}|best of the right answers|language:{language}"
    numbers["signature"] = signature
    source = f"{split}, fold {self._config.fold}) of {self._config.source}"
    title = f"{len(questions)} questions ({source}"
    lines = [f"| {n} | {s['exact']:.1f} | {s['f1']:.1f} |" for n, s in scores.items()]
    table = ["| | exact match | F1 |", "|---|--:|--:|", *lines]
    run_scores = scores["this run"]
    baseline_f1 = {n: s["f1"] for n, s in scores.items() if n != "this run"}
    first = baselines.better("F1", run_scores["f1"], baseline_f1, digits=1)
    notes = ["", f"Exact match and F1 are {signature}."]
    return EvalResult(numbers | run_scores, [*first, title, "", *table, *notes], {})

  def _windows(self, split: str) -> list:
    """Returns windows and answers of the questions that one window can answer."""
    rows = []
    for q in self._splits[split]:
      windows, text = self._cutter.windows(q.question, q.context)
      end = q.start + len(q.answers[0])
      positions = [answer_in(w, text, q.start, end) for w in windows]
      # where no window has the whole answer, all would teach that there is none
      rows += zip(windows, positions, strict=True) if any(map(any, positions)) else []
    if not rows:
      raise DataError(
        f"no window has a whole answer ({split}): raise task.segment_length, or "
        "task.overlap"
      )
    return rows

  def _near(self, questions: list[Question], length: int) -> list[str]:
    """Returns the words nearest to the words of each question."""
    rule = self._rule
    return [lexical.near(q.question, q.context, rule, length) for q in questions]

  def _baseline(self) -> int:
    """Returns the length of answers with the best F1 on the training questions."""
    train, rule = self._splits["train"], self._rule
    references = [q.answers for q in train]

    def f1(length: int) -> float:
      return metrics.numbers(rule, self._near(train, length), references)["f1"]

    return max(LENGTHS, key=f1)


class Answer(dict):
  """The answer to a question: "answer", its "start" in characters, and "score"."""

  @property
  def text(self) -> str:
    """The text of the answer."""
    return self["answer"]


class Answerer:
  """Answers to questions about texts."""

  def __init__(self, model: SpanReader, params: Any, cutter: Cutter, longest: int):
    """Compiles the model.

    Args:
      model: a trained model.
      params: its parameters.
      cutter: cuts texts into windows.
      longest: the most tokens of an answer.
    """
    self._params, self._cutter, self._longest = params, cutter, longest
    used = ("tokens", "types", "length", "context")
    self._logits = jax.jit(
      lambda params, batch: model.apply(
        {"params": params}, {k: batch[k] for k in used}, method="spans"
      )
    )

  def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Answer]:
    """Returns the likeliest span of each text.

    Args:
      pairs: questions and texts.

    Returns:
      The answers; the score of each says how many nats likelier it is than no answer.
    """
    cut = [self._cutter.windows(question, context) for question, context in pairs]
    windows = [(n, window) for n, (parts, _) in enumerate(cut) for window in parts]
    best: dict[int, tuple] = {}
    for items, real in once(len(windows), ROWS):
      batch_windows = [windows[i][1] for i in items]
      batch = self._cutter.batch(batch_windows, [(0, 0)] * len(batch_windows))
      logits = np.asarray(self._logits(self._params, batch))  # [B, T, 2]
      for i, row in zip(items[:real], logits, strict=False):
        n, window = windows[i]
        first, last, score = best_span(row, window, self._longest)
        # scores of windows compare: each is relative to its own "no answer"
        best[n] = max(best.get(n, (-np.inf,)), (score, first, last))
    answers = []
    for n, (_, context) in enumerate(pairs):
      score, first, last = best[n]
      begin, end = int(cut[n][1].begin[first]), int(cut[n][1].end[last])
      text = context[begin:end]
      begin += len(text) - len(text.lstrip())  # a token may begin with a space
      answer = {"answer": text.strip(), "start": begin, "score": round(score, 4)}
      answers.append(Answer(answer))
    return answers


class SpansPredictor:
  """Answers `{"question", "context"}` with `{"answer", "start", "score"}`.

  The fields are named as in the training data.
  """

  TEXTS = data.FIELDS

  def __init__(
    self, config: SpansConfig, model: SpanReader, params: Any, workdir: Path
  ):
    cutter = _cutter(config, trained.kept(config.tokenizer, workdir))
    self._cutter, self._fields = cutter, (config.question, config.context)
    self._answer = Answerer(model, params, cutter, config.answer_length)

  def check(self, record: dict[str, Any]) -> None:
    """Raises a UserError unless a record has a question and a text."""
    question, context = (fields.text(record, name) for name in self._fields)
    self._cutter.windows(question, context)

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    pairs = [tuple(record[name] for name in self._fields) for record in records]
    return [dict(answer) for answer in self._answer(pairs)]


def _cutter(config: SpansConfig, tokenizer: Any) -> Cutter:
  return Cutter(
    tokenizer,
    config.segment_length,
    config.question_length,
    config.overlap,
    config.match,
  )


Config = SpansConfig
Task = QuestionAnsweringTask
Predictor = SpansPredictor
