"""answers records of JSON Lines: jaxmem predict --workdir DIR --input FILE|-"""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxmem.commands import check, require, workdir
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import Progress
from jaxmem.core.ranges import number
from jaxmem.runtime.compilation import compiling


@dataclasses.dataclass(frozen=True)
class Options:
  """Answers the records of a file, one JSON object a line, in their order.

  A line that cannot be answered is reported with its number, and its answer is
  {"line", "error"}. The other lines are answered; the exit code is then 2.

  Attributes:
    workdir: the work directory of the run.
    checkpoint: the last one, or the best on held-out data.
    input: a JSONL file, or - for standard input.
    out: a file for the answers, or - for standard output.
    rows: lines that are answered at once.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem predict --workdir runs/reviews --input texts.jsonl --out answers.jsonl",
    {
      "The model": ("workdir", "checkpoint"),
      "The records": ("input", "out", "rows"),
    },
    words={"workdir": "DIR", "input": "FILE", "out": "FILE"},
  )

  workdir: str = workdir()
  checkpoint: Literal["last", "best"] = "last"
  input: str = "-"
  out: str = "-"
  rows: int = number(16, at_least=1)


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem predict", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem predict`."""
  options = parse(Options, argv, "jaxmem predict")
  require("grain")
  check(options)
  from jaxmem.core import outputs
  from jaxmem.evaluation import predict as prediction

  outputs.refuse_overwrite(
    options.out, {"--input": options.input, "--workdir": options.workdir}
  )
  with contextlib.ExitStack() as stack:  # closes only what is no standard stream
    lines = opened(options.input, stack)
    # the input is open by now, so a wrong name does not wait for the model
    predict = prediction.predictor(Path(options.workdir), options.checkpoint)
    out = stack.enter_context(outputs.writing(options.out))
    answering = compiling("the model, to answer records")
    with answering, progress_of_answers(options.out) as progress:
      bad = prediction.write(lines, predict, options.rows, out, progress)
  return 2 if bad else 0


def progress_of_answers(out: str) -> Progress:
  """Returns the progress of answers, which is not shown where they are shown.

  Args:
    out: the file for the answers, or - for standard output.
  """
  if out == "-":
    show, resume = not sys.stdout.isatty(), "give the other lines again"
  else:
    show, resume = True, f"{out} is not written: the same command begins again"
  return Progress(None, "answers", resume=resume, show=show)


def opened(name: str, stack: contextlib.ExitStack) -> Any:
  """Opens the input of records: a file, or standard input for -.

  Args:
    name: of the file.
    stack: closes the file.

  Raises:
    UserError: if the file cannot be read; the message names it.
  """
  if name == "-":
    return sys.stdin.buffer
  try:
    return stack.enter_context(open(name, "rb"))
  except (OSError, ValueError) as error:
    why = getattr(error, "strerror", None) or error
    raise UserError(f"cannot open {name}: {why}; name another --input") from error
