"""Extractive question answering: where in a text the answer begins and ends.

Long texts are read in windows that overlap; the likeliest span of all windows is the
answer. Beside it stands what needs no learning: the words around which most of the
question's words stand, and the clause that has most of them.
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
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
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

# Windows that are read at once where nothing is learned; lengths the baseline may have.
ROWS, LENGTHS = 16, (1, 2, 3, 4, 6, 8, 12)


def fit(model: EncoderConfig, config: SpansConfig) -> EncoderConfig:
  """The model's config with the vocabulary, checked.

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
      "(task.segment_length without the question and 3 marks): less than that, 0 at "
      "least"
    )
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: SpansConfig) -> SpanReader:
  """What is trained; see `tasks.make_model`."""
  return SpanReader(model)


class SpansJob(Asked):
  """Questions; see `tasks.Application`."""

  measure = "nats/row"
  things = "questions"

  def __init__(self, config: SpansConfig, context: TaskContext, model: SpanReader):
    """Reads the questions.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    self._splits = folds.split(
      data.read(c.source, HINT, (c.question, c.context)),
      *folds.parse(c.fold, 3),
      lambda q: q.article,
      "articles",
      lambda q: leaks.key(q.context),
    )
    self.repeats = self._splits.repeats
    train = self._splits["train"]
    self._language = languages.of([q.context for q in train], c.language)
    self._rule = c.rule
    if c.rule == "auto":
      self._rule = metrics.rule_of(self._language)
    every = (t.encode() for q in train for t in (q.question, q.context))
    self._made = trained.make(c.tokenizer, every)
    self._cutter = _cutter(c, self._made)
    given = self._cutter, self._windows("train"), c.batch_size, context.seed
    self.rows = span_rows(*given, context.process)
    self._held = self._windows("heldout")
    self._nats = scoring.objective(model)

  def introduction(self) -> str:
    sizes = [len(self._splits[name]) for name in self.splits]
    return (
      f"{sizes[0]} questions to train on, {sizes[1]} held out, {sizes[2]} to ask"
      f"{self.repeats.words('articles')}"
    )

  def score(self, params: Any) -> float:
    """Nats of the first and the last token of a held-out window, their mean."""
    windows = functools.partial(collate, self._cutter)
    batches = scoring.batches(self._held, ROWS, windows)
    return scoring.mean_loss(lambda batch: self._nats(params, batch), batches)

  def findings(self, params: Any, split: str) -> Findings:
    """Exact match and F1 on a split, beside the baselines."""
    asked, rule = self._splits[split], self._rule
    answerer = Answerer(self._model, params, self._cutter, self._config.answer_length)
    given = [(q.question, q.context) for q in asked]
    length = self._baseline()
    clause = lambda q: lexical.clause(q.question, q.context, rule)
    rows = {
      f"{length} words by overlap": self._near(asked, length),
      "clause by overlap": [*map(clause, asked)],
      "this run": [a.text for a in answerer(given)],
    }
    wanted = [q.answers for q in asked]
    found = {n: metrics.numbers(rule, r, wanted) for n, r in rows.items()}
    numbers = {"split": split, "questions": len(asked), "beside": found}
    language = languages.describe(self._language, self._config.language)
    signature = f"rule:{rule}|best of the right answers|language:{language}"
    numbers["signature"] = signature
    source = f"{split}, fold {self._config.fold}) of {self._config.source}"
    title = f"{len(asked)} questions ({source}"
    lines = [f"| {n} | {f['exact']:.1f} | {f['f1']:.1f} |" for n, f in found.items()]
    table = ["| | exact match | F1 |", "|---|--:|--:|", *lines]
    own = found["this run"]
    others = {n: f["f1"] for n, f in found.items() if n != "this run"}
    first = baselines.better("F1", own["f1"], others, digits=1)
    notes = ["", f"Exact match and F1 are {signature}."]
    return Findings(numbers | own, [*first, title, "", *table, *notes], {})

  def _windows(self, split: str) -> list:
    """Windows with the places of answers, of questions that one window can answer."""
    found = []
    for q in self._splits[split]:
      windows, text = self._cutter.windows(q.question, q.context)
      end = q.start + len(q.answers[0])
      places = [answer_in(w, text, q.start, end) for w in windows]
      # where none has the whole answer, all would say that there is none
      found += zip(windows, places, strict=True) if any(map(any, places)) else []
    if not found:
      raise DataError(
        f"no window has a whole answer ({split}): raise task.segment_length, or "
        "task.overlap"
      )
    return found

  def _near(self, asked: list[Question], length: int) -> list[str]:
    rule = self._rule
    return [lexical.near(q.question, q.context, rule, length) for q in asked]

  def _baseline(self) -> int:
    """The length with the best F1 on the training questions."""
    train, rule = self._splits["train"], self._rule
    wanted = [q.answers for q in train]
    f1 = lambda n: metrics.numbers(rule, self._near(train, n), wanted)["f1"]
    return max(LENGTHS, key=f1)


class Answer(dict):
  """Of a question: "answer", "start" in characters, and "score"."""

  @property
  def text(self) -> str:
    return self["answer"]


class Answerer:
  """Answers to questions about texts."""

  def __init__(self, model: SpanReader, params: Any, cutter: Cutter, longest: int):
    """Args: a trained model; what cuts texts; tokens of an answer at most."""
    self._params, self._cutter, self._longest = params, cutter, longest
    used = ("tokens", "types", "length", "context")
    self._logits = jax.jit(
      lambda params, batch: model.apply(
        {"params": params}, {k: batch[k] for k in used}, method="spans"
      )
    )

  def __call__(self, given: Sequence[tuple[str, str]]) -> list[Answer]:
    """The likeliest span of each text; the score is by how much it is likelier than
    none, in nats."""
    cut = [self._cutter.windows(*pair) for pair in given]
    every = [(n, w) for n, (windows, _) in enumerate(cut) for w in windows]
    best: dict[int, tuple] = {}
    for items, real in once(len(every), ROWS):
      some = [every[i][1] for i in items]
      batch = self._cutter.batch(some, [(0, 0)] * len(some))
      logits = np.asarray(self._logits(self._params, batch))
      for i, row in zip(items[:real], logits, strict=False):
        n, window = every[i]
        first, last, score = best_span(row, window, self._longest)
        best[n] = max(best.get(n, (-np.inf,)), (score, first, last))
    found = []
    for n, (_, context) in enumerate(given):
      score, first, last = best[n]
      begin, end = int(cut[n][1].begin[first]), int(cut[n][1].end[last])
      text = context[begin:end]
      begin += len(text) - len(text.lstrip())  # a piece may begin with a space
      answer = {"answer": text.strip(), "start": begin, "score": round(score, 4)}
      found.append(Answer(answer))
    return found


class SpansPredictor:
  """`{"question", "context"}` to `{"answer", "start", "score"}`.

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
    """Raises UserError unless a record has a question and a text."""
    self._cutter.windows(*(fields.text(record, name) for name in self._fields))

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = [tuple(record[name] for name in self._fields) for record in records]
    return [dict(answer) for answer in self._answer(asked)]


def _cutter(c: SpansConfig, tokenizer: Any) -> Cutter:
  sizes = c.segment_length, c.question_length, c.overlap
  return Cutter(tokenizer, *sizes, c.match)


Config = SpansConfig
Job = SpansJob
Predictor = SpansPredictor
