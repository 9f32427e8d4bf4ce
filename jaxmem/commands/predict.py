"""answers records of JSON Lines: jaxmem predict --workdir DIR --input FILE|-"""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import require
from jaxmem.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
  """Answers to the records of a file, one JSON object a line, in their order.

  A line that cannot be answered is said with its number, gets {"line", "error"} in the
  place of its answer, and stops no other; the exit code is 2 if there was one.

  Attributes:
    workdir: of the run.
    checkpoint: the last one, or the best on what is held out.
    input: a JSONL file, or - for standard input.
    out: a file for the answers, or - for standard output.
    rows: lines that are answered at once.
  """

  workdir: str = ""
  checkpoint: Literal["last", "best"] = "last"
  input: str = "-"
  out: str = "-"
  rows: int = 16


def main(argv: list[str]) -> int:
  """`jaxmem predict`."""
  require("tyro")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem predict")
  if not given.workdir:
    raise UserError("--workdir is missing: give that of a run of `jaxmem train`")
  if given.rows < 1:
    raise UserError(f"rows is {given.rows}: it must be at least 1")
  from jaxmem.jobs import asking

  with contextlib.ExitStack() as stack:
    lines = _open(given.input, "rb", stack) or sys.stdin.buffer
    predict = asking.predictor(Path(given.workdir), given.checkpoint)
    out = _open(given.out, "w", stack) or sys.stdout
    bad = 0
    for answer in asking.answers(lines, predict, given.rows):
      if set(answer) == {"line", "error"}:
        bad += 1
        print(f"jaxmem: line {answer['line']}: {answer['error']}", file=sys.stderr)
      print(json.dumps(answer, ensure_ascii=False), file=out, flush=True)
  return 2 if bad else 0


def _open(name: str, mode: str, stack: contextlib.ExitStack) -> Any:
  """The file, or None for -."""
  if name == "-":
    return None
  try:
    return stack.enter_context(open(name, mode))
  except OSError as error:
    raise UserError(f"cannot open {name}: {error.strerror}; name another") from error
