"""answers records of JSON Lines: jaxmem predict --workdir DIR --input FILE|-"""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import check, require, workdir
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number


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

  workdir: str = workdir()
  checkpoint: Literal["last", "best"] = "last"
  input: str = "-"
  out: str = "-"
  rows: int = number(16, at_least=1)


def main(argv: list[str]) -> int:
  """`jaxmem predict`."""
  require("tyro")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem predict")
  check(given)
  from jaxmem.core import outputs
  from jaxmem.evaluation import predict as asking

  outputs.refuse_overwrite(
    given.out, {"--input": given.input, "--workdir": given.workdir}
  )
  with contextlib.ExitStack() as stack:
    lines = opened(given.input, stack)
    predict = asking.predictor(Path(given.workdir), given.checkpoint)
    out = stack.enter_context(outputs.writing(given.out))
    bad = asking.write(lines, predict, given.rows, out)
  return 2 if bad else 0


def opened(name: str, stack: contextlib.ExitStack) -> Any:
  """The input of records: a file, or standard input for -.

  Raises:
    UserError: if it cannot be read; the message names it.
  """
  if name == "-":
    return sys.stdin.buffer
  try:
    return stack.enter_context(open(name, "rb"))
  except (OSError, ValueError) as error:
    why = getattr(error, "strerror", None) or error
    raise UserError(f"cannot open {name}: {why}; name another --input") from error
