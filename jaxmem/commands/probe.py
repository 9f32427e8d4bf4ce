"""asks a model about long texts: jaxmem probe --workdir DIR|--model NAME --out DIR"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from jaxmem.commands import ModelOptions, check, current_flags, require
from jaxmem.core import files, outputs, ranges
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import Progress, say
from jaxmem.core.ranges import number, number_list, required

# The files that the command writes to --out.
WRITTEN = (
  "probe.md", "results.json", "answers.jsonl", "probe.json", "probe.tmp", "needle.png",
  "lock.json",
)  # fmt: skip
# How the command goes on after Ctrl-C.
_SAVED = "the same command asks the others"


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
  """Runs long-context probes: RULER, pass key, needle, BABILong's questions.

  Every finished sample is kept in --out, and the same command continues. The same
  directory takes more tasks, lengths and samples; nothing else may change.

  Attributes:
    tasks: names with commas between; ruler, babilong and all stand for several.
    lengths: tokens of the contexts and their answers, with commas between.
    samples: how many of every task and length; for the needle a multiple of the depths.
    seed: of the samples.
    haystack: the source of the filler text, as --text of `jaxmem eval`.
    qa: a file of questions in SQuAD's or HotpotQA's form for qa_1 and qa_2, or two
      files with a comma between.
    depths: how many the needle grid has.
    max_tokens: the most tokens of an answer; 0 leaves it to each task.
    rows: samples that are read at once.
    threshold: the score, 0 to 100, that an effective length must reach.
    out: a directory for answers, tables and pictures.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem probe --workdir runs/quickstart --tasks passkey --out runs/probe",
    {
      "The model": ("workdir", "checkpoint", "model", "memory"),
      "What is asked": ("tasks", "lengths", "samples", "haystack"),
      "What is written": ("out", "threshold"),
    },
    words={
      "workdir": "DIR", "model": "NAME", "memory": "MEMORY", "tasks": "NAMES",
      "lengths": "N,N", "haystack": "SOURCE", "qa": "FILE", "out": "DIR",
    },
  )  # fmt: skip

  tasks: str = "all"
  lengths: str = number_list("512,1024", at_least=1)
  samples: int = number(10, at_least=1)
  seed: int = number(0, at_least=0, at_most=2**32 - 1)
  haystack: str = "stdlib"
  qa: str = ""
  depths: int = number(5, at_least=1)
  max_tokens: int = number(0, at_least=0)
  rows: int = number(10, at_least=1)
  threshold: float = number(85.6, at_least=0, at_most=100)
  out: str = required("a directory for answers, tables and pictures")


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem probe", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem probe`."""
  options = parse(Options, current_flags(argv, {"gguf": "model"}), "jaxmem probe")
  require("grain", "matplotlib")
  plan = _check(options)
  found = _model(options, max(plan.lengths))
  material = _material(options, plan, found.tokenizer)

  from jaxmem.evaluation.longbench import runner
  from jaxmem.evaluation.longbench.runner import Stopped
  from jaxmem.runtime.fingerprints import fingerprints
  from jaxmem.runtime.lock import Lock
  from jaxmem.runtime.signals import Stop
  from jaxmem.training.trainer import EXIT_STOPPED

  runner.check(plan, material)  # makes a sample of every task and length
  out = Path(options.out)
  with contextlib.ExitStack() as stack:
    stack.enter_context(Lock(out, flag="--out"))
    # raises if the directory has answers to other questions
    ledger = runner.open_ledger(out, _identity(options, material))
    stop = stack.enter_context(Stop())
    loaded = found.load()
    # the samples belong to these weights, wherever the model lies
    weights = json.dumps(fingerprints(loaded.params), sort_keys=True).encode()
    digest = hashlib.sha256(weights).hexdigest()[:16]
    ledger.agree({"step": loaded.step, "weights": digest})
    answer = runner.writer(loaded, options.rows, stop)
    total = len(plan.tasks) * len(plan.lengths) * plan.samples
    done = runner.count_done(plan, ledger)
    say(f"{total - done} of {total} samples to ask; every batch is saved")
    try:
      with Progress(total, "samples", done=done, resume=_SAVED) as progress:
        for lines in runner.run(plan, material, answer, ledger, options.rows, stop):
          progress.advance(len(lines), "saved")
          say(_line(lines))
    except Stopped:
      say(f"stopped by {stop.requested}; the same command continues")
      return EXIT_STOPPED
    _report(options, plan, ledger, loaded.model)
  return 0


def _check(options: Options) -> Any:
  """Checks the options, and returns the plan, before any device work.

  Raises:
    UserError: if an option is missing, out of range, or does not fit the others.
  """
  from jaxmem.evaluation import longbench
  from jaxmem.evaluation.longbench.runner import Plan

  tasks = longbench.parse(options.tasks)
  check(options)
  lengths = ranges.listed(options.lengths)
  if "needle" in tasks and options.samples % options.depths:
    raise UserError(
      f"{options.samples} samples of the needle at {options.depths} depths: give "
      "--samples a multiple of --depths"
    )
  names = ("workdir", "model", "qa", "haystack")
  inputs = {f"--{name}": getattr(options, name) for name in names}
  outputs.refuse_overwrite_in(options.out, WRITTEN, inputs)
  return Plan(tasks, sorted(set(lengths)), options.samples, options.seed)


def _model(options: Options, longest: int) -> Any:
  """Finds the model, with a state for the longest context.

  Raises:
    CapacityError: if that is longer than a memory of the model holds.
  """
  from jaxmem.models import capacity

  found = options.find()
  limit = capacity.limit_of(found.longest)
  if limit is None:
    return found
  window = ", or --memory window:window_size=N" if options.model else ""
  remedy = f"give --lengths of at most {limit.tokens}{window}"
  limit.check(longest, "the longest context", remedy)
  return found.for_texts(longest)


def _material(options: Options, plan: Any, tokenizer: Any) -> Any:
  """Returns what samples are made of: tokenizer, filler text, questions, depths."""
  from jaxmem.evaluation.longbench import questions
  from jaxmem.evaluation.longbench.haystack import Haystack
  from jaxmem.evaluation.longbench.page import Material

  names = [name for name in questions.TASKS if name in plan.tasks]
  paths = options.qa.split(",") if options.qa else []
  if len(paths) > len(questions.TASKS):
    raise UserError(f"--qa {options.qa}: one file, or two with a comma between")
  papers = {}
  if paths:  # one file serves both tasks
    tables = dict(zip(questions.TASKS, [paths[0], paths[-1]], strict=True))
    papers = {name: questions.read(tables[name]) for name in names}
  haystack = Haystack(options.haystack, tokenizer)
  return Material(tokenizer, haystack, papers, options.depths, options.max_tokens)


def _identity(options: Options, material: Any) -> dict[str, Any]:
  """Returns everything that decides the text of a sample and its answer."""
  # a run may move, and these add samples or read them at another speed
  free = ["workdir", "tasks", "lengths", "samples", "rows", "threshold", "out"]
  free += ["model", "memory", "dtype"]
  pieces = [(p.name, p.size) for p in material.haystack.pieces]
  decisive = {k: v for k, v in dataclasses.asdict(options).items() if k not in free}
  # the names that directories of before 0.2 have
  decisive |= {"gguf": options.model, "memory": options.memory or "attention"}
  decisive |= {} if options.dtype == "float32" else {"dtype": options.dtype}
  return decisive | {
    "haystack_sha256": hashlib.sha256(json.dumps(pieces).encode()).hexdigest()[:16],
    "tokenizer": material.tokenizer.fingerprint,
  }


def _line(lines: list[dict]) -> str:
  """Returns a line about a batch."""
  head, scores = lines[0], [line["score"] for line in lines]
  tokens = sum(line["read"] + line["written"] for line in lines)
  seconds = max(sum(line["seconds"] for line in lines), 1e-9)
  return (
    f"{head['task']:<16} {head['length']:>9,}  {len(lines)} samples  "
    f"{100 * sum(scores) / len(scores):5.1f}  {tokens / seconds:,.0f} tokens/s"
  )


def _report(options: Options, plan: Any, ledger: Any, model: Any) -> None:
  """Prints the table, and writes it, its numbers and the picture of the needle."""
  from jaxmem.evaluation.longbench import needle, results
  from jaxmem.tasks import maps

  out = Path(options.out)
  numbers = results.numbers(plan, ledger.done, model, options.threshold)
  lines = results.table(plan, numbers)
  if "needle" in plan.tasks:
    depths = needle.depths(options.depths)
    cells = results.grid(plan, ledger.done, options.depths)
    maps.depths(out / "needle.png", cells, depths, list(plan.lengths))
    numbers["needle"] = {"depths": depths, "found": cells.tolist()}
  print("\n" + "\n".join(lines))
  for name, text in _files(numbers, lines):
    files.write_text(out / name, text + "\n")
  print(f"\nIn {out}: probe.md, results.json, answers.jsonl")


def _files(numbers: dict, lines: list[str]) -> Iterator[tuple[str, str]]:
  yield "probe.md", "\n".join(lines)
  yield "results.json", json.dumps(numbers, indent=2)
