"""A run that has ended is asked: how good it is on a split, and for answers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from jaxmem import jobs, models
from jaxmem.data import jsonl, template
from jaxmem.data.records import Record
from jaxmem.errors import UserError
from jaxmem.jobs import Application, Findings, Predictor
from jaxmem.load import Which, load_run, run_config

# Fields of a job's config that name a field of a record, or a template of several.
_TEXTS = ("text", "other", "read")


def evaluate(workdir: Path, which: Which, split: str) -> Findings:
  """The metric of a run's field on a split of its data.

  Raises:
    UserError: if it has none, or no such split; before any device work.
  """
  config = run_config(workdir, which)
  job = jobs.make(config, models.make(config.model))
  if not isinstance(job, Application):
    raise UserError(
      f"the run in {workdir} learned {config.data.source!r}, which has no splits to be "
      "asked: score text with --text FILE"
    )
  return job.evaluate(load_run(workdir, which).params, split)


def predictor(workdir: Path, which: Which) -> Predictor:
  """What answers records as a run has learned to.

  Raises:
    UserError: if its kind of run answers none.
  """
  config = run_config(workdir, which)
  kind = jobs.kind(config.data)
  make = getattr(jobs.get(kind), "Predictor", None)
  if make is None:
    raise UserError(
      f"the run in {workdir} is a {kind} run, which answers no records: write text "
      "with `jaxmem generate`"
    )
  run = load_run(workdir, which)
  predict = make(run.config, run.model, run.params, workdir)
  named = (getattr(config.data, name, "") for name in _TEXTS)
  templates = tuple(name for name in named if template.is_template(name))
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
    whole = Record("the record", record)
    return record | {name: whole.text(name) for name in self._templates}


def answers(
  lines: Iterable[bytes], predict: Predictor, rows: int
) -> Iterator[dict[str, Any]]:
  """An answer to each line of JSONL, in order; blank lines have none.

  Args:
    lines: of the input, or the open file of them, which may be packed.
    predict: what answers.
    rows: lines that are answered at once.

  Yields:
    The answer, or {"line": number from 1, "error": why} to a line that is bad.
  """
  lines = jsonl.incoming(lines)
  numbered = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
  while some := list(islice(numbered, rows)):
    read = [_record(line, predict) for _, line in some]
    good = [record for record, why in read if not why]
    found = iter(predict(good) if good else ())
    for (number, _), (_, why) in zip(some, read, strict=True):
      yield {"line": number, "error": why} if why else next(found)


def _record(line: bytes, predict: Predictor) -> tuple[dict[str, Any], str]:
  """The record of a line, and why it cannot be answered, else nothing."""
  try:
    record = jsonl.parse(line)
    if not isinstance(record, dict):
      raise UserError("it is no JSON object")
    predict.check(record)
  except UserError as error:
    return {}, str(error)
  return record, ""
