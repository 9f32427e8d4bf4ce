"""Scores a long text with a checkpoint, in a reading that can be stopped and continued.

With the same versions and device kind the sums of a reading that was stopped any number
of times are bitwise equal to those of one that was not.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.core import files
from jaxmem.core.progress import Progress, say
from jaxmem.data import file_slice
from jaxmem.data.file_slice import FileSlice
from jaxmem.evaluation.language_model import LanguageModel
from jaxmem.evaluation.long_text import full_attention, table
from jaxmem.generation import session
from jaxmem.models import capacity
from jaxmem.models.loaded import Loaded
from jaxmem.runtime.lock import Lock
from jaxmem.runtime.peak import peak_memory
from jaxmem.runtime.resumable import Snapshot
from jaxmem.runtime.signals import Stop
from jaxmem.tasks.language_modeling import perplexity
from jaxmem.tasks.language_modeling.perplexity import Result, TextScorer
from jaxmem.training.trainer import EXIT_STOPPED

# The value of --carry -> the ways of reading.
WAYS = {
  "on": ("carried",),
  "off": ("reset",),
  "reread": ("re-read",),
  "all": perplexity.WAYS,
}
# Tokens after which a pretrained model forgets, in ways of reading that do.
SEGMENT = 512
# What Ctrl-C costs without `progress`.
_LOST = "nothing is kept: with --progress DIR the same command continues"


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a text is scored; the fields are the flags of `jaxmem eval`."""

  text: str
  carry: str
  segment: int
  rows: int
  length: int
  document_length: int
  out: str
  progress: str
  save_every: float
  twin: bool


def run(
  settings: Settings, documents: Sequence[FileSlice], found: LanguageModel
) -> int:
  """Scores documents, prints and writes the result; returns the exit code.

  Args:
    settings: how the text is scored.
    documents: the documents of the text.
    found: the model, whose weights are read after the checks.

  Raises:
    UserError: if a document is longer than a memory holds, or `progress` holds another
      reading; before any device work.
  """
  own = found.run.task.segment_length if found.run else SEGMENT
  segment = settings.segment or own
  settings = dataclasses.replace(settings, segment=segment)
  found = found.for_texts(check_capacity(settings, found, documents))
  with contextlib.ExitStack() as stack:
    snapshot, stop = None, None
    if settings.progress:
      stack.enter_context(Lock(Path(settings.progress).absolute(), "--progress"))
      snapshot = _snapshot(settings, documents)
      stop = stack.enter_context(Stop())  # signals end the reading after a call
    loaded = found.load()
    scorer = _scorer(settings, loaded, documents)
    if snapshot:
      # the weights are known only now, and another model must not continue the sums
      snapshot.agree(session.identity(loaded.model, loaded.params, loaded.tokenizer))
      restore(scorer, snapshot)
    seconds = _read(scorer, snapshot, stop, sum(d.size for d in documents))
    result = scorer.result()
    if stop and stop.requested:
      print(
        f"stopped by {stop.requested} after {result.num_bytes:,} bytes; the same "
        "command continues"
      )
      return EXIT_STOPPED
    peak = _peak(snapshot)

  numbers = {"text": settings.text, "step": loaded.step, "carry": settings.carry}
  numbers |= {"segment": segment} if settings.carry != "on" else {}
  numbers |= table.numbers(result, seconds, peak)
  print("\n".join(table.table(numbers)), flush=True)
  if settings.twin:
    numbers["twin"] = _full_attention(loaded, settings.length, numbers)
  if settings.out:
    files.write_json(settings.out, numbers)
    title = f"{Path(settings.text).name}, step {loaded.step}"
    table.draw(numbers, Path(settings.out).with_suffix(".png"), title)
  return 0


def check_capacity(
  settings: Settings, found: LanguageModel, documents: Sequence[FileSlice]
) -> int:
  """Returns how many tokens are read from one reset of the memory to the next, at most.

  Args:
    settings: how the text is scored.
    found: the model.
    documents: the documents of the text.

  Raises:
    CapacityError: if that is more than a memory of the model holds.
  """
  limit = capacity.limit_of(found.longest)
  if limit is None:
    return 1
  # the most that is read between two resets: re-reading reads two segments
  segments = {"off": 1, "reread": 2}.get(settings.carry, 0)
  bounds = (settings.document_length, segments * settings.segment)  # 0 is no bound
  length = min(filter(None, bounds), default=0)
  if not 0 < length <= limit.tokens:
    # only now is the text read: the flags alone do not settle it
    longest = capacity.longest(documents, found.tokenizer, limit)
    length = min(longest, length or longest)
  remedy = f"cut documents with --document-length {limit.tokens}"
  limit.check(length, f"a document of {settings.text}", remedy)
  return length


def restore(scorer: TextScorer, snapshot: Snapshot) -> None:
  """Lets a scorer that has read nothing continue from a snapshot, if there is one.

  Raises:
    ResumeError: if the snapshot is of another reading, or damaged.
  """
  if not snapshot.begun:
    return
  states, sums, lines = scorer.state()[1]
  # the tokens that a lane has buffered have any length, so the file tells their shapes
  lengths = [shape[0] for _, shape in snapshot.shapes()[-len(lines) :]]
  lines = [jax.ShapeDtypeStruct((n,), "int32") for n in lengths]
  states, sums, lines = snapshot.arrays((states, sums, lines))
  # sums are added to in place, which arrays of a file may not allow
  sums, lines = jax.tree.map(lambda a: a.copy(), (sums, lines))
  states = jax.tree.map(jnp.array, states)  # copies, to be donated
  try:
    scorer.restore(snapshot.numbers["numbers"], (states, sums, lines))
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    raise snapshot.damaged(error) from error


def save(scorer: TextScorer, snapshot: Snapshot, seconds: float, peak: float) -> None:
  """Saves a scorer between two calls.

  Args:
    scorer: the scorer.
    snapshot: the file that it is saved to.
    seconds: the time that the reading has taken so far.
    peak: the most memory of its processes so far, in MiB.
  """
  numbers, arrays = scorer.state()
  snapshot.save({"numbers": numbers, "seconds": seconds, "peak": peak}, arrays)


def _snapshot(settings: Settings, documents: Sequence[FileSlice]) -> Snapshot:
  names = ("carry", "segment", "rows", "length", "document_length")
  identity = {f"--{n.replace('_', '-')}": getattr(settings, n) for n in names}
  identity["text"] = file_slice.digest(documents)
  if settings.rows > 1:  # before 0.2 whichever row was free took the next document
    identity["lanes"] = "longest first"
  return Snapshot(
    Path(settings.progress) / "reading.npz",
    identity,
    every=settings.save_every,
    flag="--progress",
    migrate=session.as_of_now,
  )


def _scorer(
  settings: Settings, loaded: Loaded, documents: Sequence[FileSlice]
) -> TextScorer:
  return TextScorer(
    functools.partial(perplexity.losses, loaded.model, loaded.params),
    loaded.model.init_state,
    documents,
    loaded.tokenizer,
    rows=settings.rows,
    length=settings.length,
    document_length=settings.document_length,
    ways=WAYS[settings.carry],
    segment=settings.segment,
  )


def _read(
  scorer: TextScorer, snapshot: Snapshot | None, stop: Stop | None, size: int
) -> float:
  """Reads to the end or to a signal; returns the seconds of all processes so far."""
  saved = snapshot.numbers if snapshot else {}
  earlier = saved.get("seconds", 0.0)
  num_bytes = scorer.result().num_bytes
  if saved:
    say(f"continues after {num_bytes:,} bytes")
  # the rate is that of this process alone: an earlier one may have been faster
  with Progress(size, "bytes", done=num_bytes, resume=_LOST) as progress:
    for result in scorer:
      progress.update(result.num_bytes, _so_far(result, snapshot))
      if stop and stop.requested:
        break
      if snapshot and snapshot.due():
        save(scorer, snapshot, earlier + progress.seconds, _peak(snapshot))
  seconds = earlier + progress.seconds
  if snapshot:
    save(scorer, snapshot, seconds, _peak(snapshot))
  return seconds


def _so_far(result: Result, snapshot: Snapshot | None) -> str:
  """Returns the score so far, and when it is saved next."""
  bits = next(iter(result.bits_per_byte().values()))
  text = f"{bits:.3f} bits/byte"
  return f"{text}, saves in {snapshot.wait:.0f} s" if snapshot else text


def _full_attention(
  loaded: Loaded, length: int, numbers: dict[str, Any]
) -> dict[str, Any]:
  """Times and prints the baseline; the text counts as one document, read once."""
  print("\ntiming the full-attention baseline", flush=True)
  measured = full_attention.measure(loaded.model.config, length)
  projected = full_attention.numbers(measured, numbers["tokens"], numbers["seconds"])
  print("\n".join(full_attention.lines(projected)))
  return projected


def _peak(snapshot: Snapshot | None) -> float:
  """Returns the peak memory of this process and of earlier ones, in MiB."""
  earlier = snapshot.numbers.get("peak", 0.0) if snapshot else 0.0
  return max(peak_memory() / 2**20, earlier)
