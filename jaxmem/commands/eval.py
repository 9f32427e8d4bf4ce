"""scores text, or a split: jaxmem eval --workdir DIR --text FILE | --split test"""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import check, current_flags, require, workdir
from jaxmem.core import files
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number
from jaxmem.runtime.peak import peak_memory

# What --carry says -> the ways of reading, of `tasks.language_modeling.bits_per_byte`.
_WAYS = {
  "on": ("carried",),
  "off": ("reset",),
  "reread": ("re-read",),
  "all": ("carried", "reset", "re-read"),
}


@dataclasses.dataclass(frozen=True)
class Elsewhere:
  """Where the data of a run are now, if they are not where it was trained on them.

  Attributes:
    source: as task.source of the config.
    heldout: as task.heldout.
    test: as task.test.
    queries: as task.queries.
    relevant: as task.relevant.
  """

  source: str = ""
  heldout: str = ""
  test: str = ""
  queries: str = ""
  relevant: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
  """Bits per byte and per word of text, streamed through the newest checkpoint.

  Attributes:
    workdir: of the run.
    checkpoint: the last one, or the best on held-out text.
    text: a file, a directory, a glob, or stdlib; files are documents.
    split: instead of text, for what is no language model of text: the run's own metric
      on train, heldout or test, with tables and pictures beside `out`, or in `workdir`.
    carry: on carries the memory through each document; off empties it at every segment;
      reread too, after reading the segment before; all does all three, of every token.
    segment: tokens after which off and reread forget; 0 is the run's segment length.
    rows: documents that are read at once.
    length: tokens of a call; changes the speed and the memory used, not the numbers.
    document_length: tokens after which the memory is emptied and a document goes on as
      another one; 0 is never.
    out: a file for the numbers, as JSON; a picture NAME.png is drawn beside it, and
      with split a table NAME.md.
    progress: a directory where the reading is kept: after Ctrl-C or SIGTERM (exit code
      75) the same command goes on.
    save_every: seconds between saves there.
    task: with split, where the data are now, if they are elsewhere than for training.
    twin: also times the same model with full attention for all its memories, and
      projects what this text would cost it.
  """

  workdir: str = workdir()
  checkpoint: Literal["last", "best"] = "last"
  text: str = ""
  split: str = ""
  carry: Literal["on", "off", "reread", "all"] = "on"
  segment: int = number(0, at_least=0)
  rows: int = number(1, at_least=1)
  length: int = number(4096, at_least=1)
  document_length: int = number(0, at_least=0)
  out: str = ""
  progress: str = ""
  save_every: float = number(60.0, above=0, remedy="it is in seconds")
  task: Elsewhere = Elsewhere()
  twin: bool = False


def main(argv: list[str]) -> int:
  """`jaxmem eval`."""
  require("tyro", "tqdm")
  import tyro

  given = tyro.cli(Options, args=current_flags(argv), prog="jaxmem eval")
  check(given)
  if given.split:
    return _split(given)
  documents = _check(given)
  from jaxmem.training.load import load_config, load_model

  config = load_config(Path(given.workdir), given.checkpoint)
  segment = given.segment or config.task.segment_length
  given = dataclasses.replace(given, segment=segment)
  _check_capacity(given, config, documents)

  from jaxmem.runtime.signals import Stop
  from jaxmem.tasks.language_modeling import long_text
  from jaxmem.training.trainer import EXIT_STOPPED

  with contextlib.ExitStack() as stack:
    progress = _progress(given, documents, stack)
    stop = stack.enter_context(Stop()) if progress else None
    loaded = load_model(Path(given.workdir), given.checkpoint)
    reading = _reading(given, loaded, documents)
    if progress:
      from jaxmem.generation import session

      belongs = session.belongs(loaded.model, loaded.params, loaded.tokenizer)
      progress.restore(reading, belongs)
    seconds = _read(reading, progress, stop, sum(d.size for d in documents))
    if stop and stop.requested:
      done = f"{reading.result().num_bytes:,} bytes"
      print(f"stopped by {stop.requested} after {done}; the same command goes on")
      return EXIT_STOPPED
    peak = _peak(progress)

  found = {"text": given.text, "step": loaded.step, "carry": given.carry}
  found |= {"segment": given.segment} if given.carry != "on" else {}
  found |= long_text.numbers(reading.result(), seconds, peak)
  print("\n".join(long_text.table(found)), flush=True)
  if given.twin:
    found["twin"] = _twin(loaded.model.config, given.length, found)
    print("\n".join(long_text.twin_lines(found["twin"])))
  if given.out:
    files.write_json(given.out, found)
    title = f"{Path(given.text).name}, step {loaded.step}"
    long_text.draw(found, Path(given.out).with_suffix(".png"), title)
  return 0


def _split(given: Options) -> int:
  """The metric of the run's own field."""
  if given.text:
    raise UserError(f"--split {given.split} and --text {given.text}: give one of them")
  from jaxmem.core import outputs
  from jaxmem.evaluation import predict
  from jaxmem.tasks import application
  from jaxmem.training import config as configs

  out = Path(given.out or Path(given.workdir, given.split))
  out = out if out.suffix else out.with_name(out.name + ".json")
  if out.suffix in (".md", ".png"):
    raise UserError(
      f"--out {out}: a name for JSON; the table and pictures stand beside it"
    )
  elsewhere = _elsewhere(given)
  workdir = Path(given.workdir)
  config = predict.asked_config(workdir, given.checkpoint, elsewhere)
  sources = configs.sources(config)
  for path in (out, out.with_suffix(".md")):
    outputs.refuse_overwrite(path, {"--workdir": given.workdir} | sources)
  outputs.refuse_overwrite_in(out.absolute().parent, ("*.png",), sources)
  found = predict.evaluate(workdir, given.checkpoint, given.split, elsewhere)
  application.write(found, out)
  return 0


def _elsewhere(given: Options) -> dict[str, str]:
  """Dotted key -> where these data are now."""
  fields = dataclasses.asdict(given.task)
  return {f"task.{name}": source for name, source in fields.items() if source}


def _reading(given: Options, loaded: Any, documents: list) -> Any:
  """The documents and the compiled model, nothing read yet."""
  import jax

  from jaxmem.tasks.language_modeling import stream

  apply = jax.jit(
    lambda params, *args: loaded.model.apply(
      {"params": params}, *args, method="losses"
    ),
    donate_argnums=3,
  )
  return stream.Reading(
    lambda *args: apply(loaded.params, *args),
    loaded.model.init_state,
    documents,
    loaded.tokenizer,
    given.rows,
    given.length,
    given.document_length,
    _WAYS[given.carry],
    given.segment,
  )


def _twin(config: Any, length: int, found: dict[str, Any]) -> dict[str, Any]:
  """Times the twin; the text counts as one document, read once."""
  from jaxmem.tasks.language_modeling import baseline as twin
  from jaxmem.tasks.language_modeling import long_text

  print("\ntiming the full-attention twin", flush=True)
  return long_text.of_twin(
    twin.measure(config, length), found["tokens"], found["seconds"]
  )


def _read(reading: Any, progress: Any, stop: Any, size: int) -> float:
  """Reads to the end, or to a signal; returns the seconds it took, in all its parts."""
  from jaxmem.tasks.language_modeling.meter import Meter

  before = progress.seconds if progress else 0.0
  meter = Meter(size, reading.result().num_bytes)
  if progress and progress.begun:
    print(f"goes on after {reading.result().num_bytes:,} bytes", flush=True)
  for result in reading:
    meter.update(result)
    if stop and stop.requested:
      break
    if progress and progress.due():
      progress.save(reading, before + meter.seconds, _peak(progress))
  seconds = before + meter.close()
  if progress:
    progress.save(reading, seconds, _peak(progress))
  return seconds


def _check(given: Options) -> list:
  """The documents; before any device work.

  Raises:
    UserError: for the first thing that is missing or out of range.
  """
  from jaxmem.core import outputs
  from jaxmem.data import sources

  if not given.text:
    raise UserError("--text is missing: a file, a directory, a glob, or stdlib")
  if _elsewhere(given):
    raise UserError("--task.source and its like are for --split: text is --text FILE")
  if given.out.endswith(".png"):
    raise UserError(f"--out {given.out}: a name for JSON; the picture stands beside it")
  if given.out:
    inputs = {"--text": given.text, "--workdir": given.workdir}
    outputs.refuse_overwrite(given.out, inputs)
    outputs.refuse_overwrite(Path(given.out).with_suffix(".png"), inputs)
  if given.segment and given.carry == "on":
    raise UserError(
      f"--segment {given.segment} is for ways that forget: give --carry off, reread or "
      "all"
    )
  return sources.find(given.text)


def _check_capacity(given: Options, config: Any, documents: list) -> None:
  """Raises CapacityError if a document is longer than a memory of the model holds."""
  from jaxmem.models import capacity
  from jaxmem.tokenizers import trained

  limit = capacity.limit_of(config.model)
  if limit is None:
    return
  # what is read without forgetting: two segments, where one is read again
  reach = {"off": given.segment, "reread": 2 * given.segment}.get(given.carry, 0)
  length = min(filter(None, (given.document_length, reach)), default=0)
  if not 0 < length <= limit.tokens:
    tokenizer = trained.kept(config.task.tokenizer, Path(given.workdir))
    longest = capacity.longest(documents, tokenizer, limit)
    length = min(longest, length or longest)
  remedy = f"cut documents with --document-length {limit.tokens}"
  limit.check(length, f"a document of {given.text}", remedy)


def _progress(given: Options, documents: list, stack: contextlib.ExitStack) -> Any:
  """Where the reading is kept, if it is; another process cannot have it."""
  if not given.progress:
    return None
  from jaxmem.runtime.lock import Lock
  from jaxmem.tasks.language_modeling import progress

  stack.enter_context(Lock(Path(given.progress).absolute(), "--progress"))
  decide = ("carry", "segment", "rows", "length", "document_length")
  belongs = {f"--{k.replace('_', '-')}": getattr(given, k) for k in decide}
  belongs["text"] = progress.digest(documents)
  return progress.Progress(Path(given.progress), belongs, given.save_every)


def _peak(progress: Any) -> float:
  """The most memory that this process has held, or one before it, in MiB."""
  own = peak_memory() / 2**20
  return max(own, progress.peak if progress else 0.0)
