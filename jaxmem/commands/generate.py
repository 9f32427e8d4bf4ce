"""writes text: jaxmem generate --workdir DIR --prompt TEXT [--temperature 0.8 ...]"""

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

from jaxmem.commands import check, require, workdir
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number


@dataclasses.dataclass(frozen=True)
class Options:
  """Continues prompts, from the checkpoint of a run, as a stream of text.

  Several prompts are a batch, printed one after the other; each gives the text that it
  gives alone.

  Attributes:
    workdir: of the run.
    checkpoint: the last one, or the best on held-out text.
    prompt: what is continued; may be given several times.
    prompt_file: a file that is one more prompt.
    temperature: of the draw, >= 0; 0 takes the likeliest token.
    top_k: only the k likeliest tokens; 0 is all.
    top_p: only the likeliest whose probability reaches this together, in (0, 1].
    min_p: only those at least this fraction as likely as the likeliest, in [0, 1].
    repetition_penalty: makes tokens seen before less likely; 1 is none.
    max_tokens: of each text, >= 1.
    seed: of the draw; default 0, and with --load-state that of the state.
    stop: a text ends before this string; may be given several times.
    save_state: a file for the memory after the text, to continue from later.
    load_state: a file to continue from; each prompt then continues its row.
  """

  workdir: str = workdir()
  checkpoint: Literal["last", "best"] = "last"
  prompt: tuple[str, ...] = ()
  prompt_file: str = ""
  temperature: float = 1.0
  top_k: int = 0
  top_p: float = 1.0
  min_p: float = 0.0
  repetition_penalty: float = 1.0
  max_tokens: int = number(256, at_least=1)
  seed: int | None = number(None, at_least=0, at_most=2**32 - 1)
  stop: tuple[str, ...] = ()
  save_state: str = ""
  load_state: str = ""


def main(argv: list[str]) -> int:
  """`jaxmem generate`."""
  require("tyro")
  import tyro

  append = (tyro.conf.UseAppendAction,)
  given = tyro.cli(Options, args=argv, prog="jaxmem generate", config=append)
  sampling, prompts = _check(given)

  from jaxmem.generation import session
  from jaxmem.training.load import load_model

  if not given.load_state:
    _check_capacity(given, prompts)
  loaded = load_model(Path(given.workdir), given.checkpoint)
  writer = _begin(given, prompts, loaded)
  begin = time.monotonic()
  first = writer.session.length.sum()
  stop = [os.fsencode(each) for each in given.stop]
  show = Show([os.fsdecode(p) for p in prompts] if len(prompts) > 1 else [])
  for chunk in writer.write(sampling, given.max_tokens, stop):
    show.update(chunk)
  drawn = int(writer.session.length.sum() - first)
  rate = drawn / max(time.monotonic() - begin, 1e-9)
  print(f"{drawn} tokens, {rate:,.0f} tokens/s", file=sys.stderr)
  if given.save_state:
    path = Path(given.save_state)
    session.save(path, writer.session, loaded.model, loaded.params, loaded.tokenizer)
  return 0


def _check(given: Options) -> tuple[Any, list[bytes]]:
  """What is asked for, read and in range; before any device work.

  Raises:
    UserError: for the first thing that is not.
  """
  from jaxmem.core import outputs
  from jaxmem.generation.sampling import Cutter, Sampling

  names = [field.name for field in dataclasses.fields(Sampling)]
  sampling = Sampling(**{name: getattr(given, name) for name in names})
  check(sampling)
  Cutter([os.fsencode(each) for each in given.stop])
  check(given)
  if given.save_state:
    # a state may take the place of the one that it continues from
    inputs = {"--prompt-file": given.prompt_file, "--workdir": given.workdir}
    outputs.refuse_overwrite(given.save_state, inputs, "--save-state")
  prompts = [os.fsencode(prompt) for prompt in given.prompt]
  if given.prompt_file:
    from jaxmem.data import opened

    try:
      with opened.stream(given.prompt_file) as data:
        prompts.append(data.read(opened.LONGEST))
    except UserError as error:
      raise UserError(f"--prompt-file: {error}") from error
  if not prompts and not given.load_state:
    raise UserError("no prompt: give --prompt TEXT, --prompt-file FILE or --load-state")
  return sampling, prompts


def _check_capacity(given: Options, prompts: list[bytes]) -> None:
  """Raises CapacityError if a text would be longer than a memory of the model holds."""
  from jaxmem.models import capacity
  from jaxmem.tokenizers import trained
  from jaxmem.training.load import load_config

  config = load_config(Path(given.workdir), given.checkpoint)
  limit = capacity.limit_of(config.model)
  if limit is None:
    return
  tokenizer = trained.kept(config.task.tokenizer, Path(given.workdir))
  length = 1 + max(len(tokenizer.encode(prompt)) for prompt in prompts)
  room = limit.tokens - length
  remedy = f"give --max-tokens {room}" if room > 0 else "give a shorter prompt"
  what = f"a prompt with --max-tokens {given.max_tokens}"
  limit.check(length + given.max_tokens, what, remedy)


def _begin(given: Options, prompts: list[bytes], loaded: Any) -> Any:
  """A writer that has read the prompts."""
  from jaxmem.generation import session
  from jaxmem.generation.generate import Writer

  belongs = (loaded.model, loaded.params, loaded.tokenizer)
  seed = given.seed
  if given.load_state:
    rows = session.load(Path(given.load_state), *belongs)
    count = rows.length.shape[0]
    if prompts and len(prompts) != count:
      raise UserError(
        f"{len(prompts)} prompts for the {count} texts of {given.load_state}: give "
        f"{count}, or none to continue all"
      )
    prompts += [b""] * (count - len(prompts))
  else:
    rows = session.first_session(loaded.model, len(prompts))
    seed = seed or 0
  writer = Writer(*belongs, rows)
  writer.read(prompts, seed)
  return writer


class Show:
  """Texts to standard output as they come, byte for byte, one text after the other."""

  def __init__(self, titles: list[str]):
    """Args: a title a text, for a line before it; none for a single text."""
    self._titles, self._texts, self._row = titles, None, -1

  def update(self, chunk: Any) -> None:
    """Prints what is new of the text whose turn it is, and of those after it."""
    if self._texts is None:
      self._texts = [b""] * len(chunk.text)
      self._next()
    self._texts = [a + b for a, b in zip(self._texts, chunk.text, strict=True)]
    while self._row < len(self._texts):
      new, self._texts[self._row] = self._texts[self._row], b""
      self._put(new)
      if not chunk.done[self._row]:
        break
      if self._last != b"\n":
        self._put(b"\n")
      self._next()

  def _next(self) -> None:
    self._row, self._last = self._row + 1, b""
    if self._row < len(self._titles):
      title = " ".join(self._titles[self._row].split())[:60]
      self._put(os.fsencode(f"==> {self._row + 1}: {title} <==\n"))

  def _put(self, text: bytes) -> None:
    self._last = text[-1:] or self._last
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
