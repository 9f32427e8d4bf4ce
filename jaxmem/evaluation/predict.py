"""What a trained run is used for: its metric on a split, and answers to records."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from jaxmem import tasks
from jaxmem.core.errors import UserError, reason
from jaxmem.core.progress import Progress, say
from jaxmem.data import jsonl, strict_json, template
from jaxmem.data.records import Record
from jaxmem.tasks import EvalResult, EvaluableTask, Predictor
from jaxmem.training import config as configs
from jaxmem.training import run_task
from jaxmem.training.config import Config
from jaxmem.training.load import Run, Which, load_run, run_config

# Fields of a task's config that name a field of a record, or a template of several; a
# predictor with others says so in its `TEXTS`.
_TEXTS = ("text", "other", "read")


def evaluate(
  workdir: str | Path,
  which: Which,
  split: str,
  elsewhere: Mapping[str, str] | None = None,
) -> EvalResult:
  """Returns the metric of a run's task on a split of its data.

  Args:
    workdir: the work directory of the run.
    which: which of its checkpoints is loaded.
    split: "train", "heldout" or "test".
    elsewhere: dotted key, such as "task.source", -> where these data are now.

  Raises:
    UserError: if the task has no splits, or no such split; before any device work.
  """
  config = config_of(workdir, which, elsewhere)
  # the run is trained: the packages of its initial weights are not needed again
  run_task.check_packages(dataclasses.replace(config, init_from=""))
  task = run_task.make(config, tasks.make_model(config.model, config.task))
  if not isinstance(task, EvaluableTask):
    raise UserError(
      f"the run in {workdir} learned {config.task.source!r}, which has no splits: "
      "score text with --text FILE"
    )
  return task.evaluate(load_run(workdir, which).params, split)


def config_of(
  workdir: str | Path, which: Which, elsewhere: Mapping[str, str] | None = None
) -> Config:
  """Returns the config of a run, its data moved as `elsewhere` says; see `evaluate`."""
  return configs.with_values(run_config(workdir, which), elsewhere or {})


def predictor(workdir: str | Path, which: Which) -> Predictor:
  """Loads a run and returns the predictor that answers records with it.

  Raises:
    UserError: if the run's kind of task answers no records.
  """
  kind = tasks.kind(run_config(workdir, which).task)
  if not answers_records(kind):
    raise UserError(
      f"the run in {workdir} is a {kind} run, which answers no records: write text "
      "with `jaxmem generate`"
    )
  return predictor_of(load_run(workdir, which), workdir)


def answers_records(kind: str) -> bool:
  """Returns whether runs of a kind of task answer records."""
  return hasattr(tasks.get(kind), "Predictor")


def predictor_of(run: Run, workdir: str | Path) -> Predictor:
  """Returns the predictor of a loaded run.

  Args:
    run: a run of a kind that `answers_records`.
    workdir: the work directory of the run.
  """
  config = run.config.task
  make = tasks.get(tasks.kind(config)).Predictor
  predict = make(config, run.model, run.params, Path(workdir))
  fields = (getattr(config, name, "") for name in getattr(make, "TEXTS", _TEXTS))
  templates = tuple(name for name in fields if template.is_template(name))
  return Filling(predict, templates) if templates else predict


class Filling:
  """Fills the templates of a run's config from the fields of records; a `Predictor`."""

  def __init__(self, predict: Predictor, templates: tuple[str, ...]):
    self._predict, self._templates = predict, templates

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has the fields, and can be answered."""
    self._predict.check(self._filled(record))

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return self._predict([self._filled(record) for record in records])

  def _filled(self, record: dict[str, Any]) -> dict[str, Any]:
    fields = Record("the record", record)
    return record | {name: fields.text(name) for name in self._templates}


def answers(
  lines: Iterable[bytes], predict: Predictor, rows: int
) -> Iterator[dict[str, Any]]:
  """Yields an answer to each line of JSONL, in order; blank lines have none.

  An error is reported for its own line alone: if a batch of records fails, they are
  answered one by one.

  Args:
    lines: the lines of the input, or the open file, which may be compressed.
    predict: the predictor that answers.
    rows: how many lines are answered at once.

  Yields:
    The answer, or {"line": number from 1, "error": why} for a line that is bad.
  """
  lines = jsonl.incoming(lines)
  # numbers count blank lines too, as an editor does
  numbered = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
  while batch := list(islice(numbered, rows)):
    read = [_record(line, predict) for _, line in batch]
    # only good records reach the model; the loop below puts both kinds in line order
    answered = iter(_answered([record for record, why in read if not why], predict))
    for (number, _), (_, why) in zip(batch, read, strict=True):
      answer, why = ({}, why) if why else next(answered)
      yield {"line": number, "error": why} if why else answer


def write(
  lines: Iterable[bytes],
  predict: Predictor,
  rows: int,
  out: Any,
  progress: Progress | None = None,
) -> int:
  """Writes the answers to lines of JSONL as JSONL, each as soon as it is known.

  Args:
    lines: see `answers`.
    predict: see `answers`.
    rows: see `answers`.
    out: the binary file that the answers are written to, in UTF-8.
    progress: shows how many lines are answered.

  Returns:
    How many lines were bad; each is reported on standard error too.
  """
  bad = 0
  for answer in answers(lines, predict, rows):
    if set(answer) == {"line", "error"}:
      bad += 1
      say(f"jaxmem: line {answer['line']}: {answer['error']}", sys.stderr)
    out.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    out.flush()  # a reader at the other end of a pipe waits for each answer
    if progress:
      progress.advance()
  return bad


def _record(line: bytes, predict: Predictor) -> tuple[dict[str, Any], str]:
  """Returns the record of a line, and why it cannot be answered, else ""."""
  try:
    record = strict_json.parse(line)
    if not isinstance(record, dict):
      raise UserError("it is no JSON object")
    predict.check(record)
  except Exception as error:  # a check that forgot something must not end the others
    return {}, reason(error)
  return record, ""


def _answered(
  records: list[dict[str, Any]], predict: Predictor
) -> list[tuple[dict[str, Any], str]]:
  """Returns the answer to each record, and why there is none, else ""."""
  if not records:
    return []
  try:
    results = list(predict(records))
    if len(results) != len(records):
      raise RuntimeError(f"{len(results)} answers to {len(records)} records")
  except Exception as error:
    if len(records) > 1:  # one bad record must not cost the others their answers
      return [pair for record in records for pair in _answered([record], predict)]
    return [({}, f"it cannot be answered: {reason(error)}")]
  return [_written(answer) for answer in results]


def _written(answer: dict[str, Any]) -> tuple[dict[str, Any], str]:
  """Returns an answer, and why it cannot be written as JSON in UTF-8, else ""."""
  try:
    # NaN is no JSON, and a lone surrogate is no UTF-8
    json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
  except (ValueError, TypeError) as error:
    return {}, f"its answer cannot be written: {reason(error)}"
  return answer, ""
