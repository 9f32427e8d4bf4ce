"""writes text: jaxmem generate --workdir DIR --prompt TEXT [--temperature 0.8 ...]"""

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxmem.commands import check, require, workdir
from jaxmem.core.command_line import Command, Page, describe, parse
from jaxmem.core.errors import UserError
from jaxmem.core.ranges import number


@dataclasses.dataclass(frozen=True)
class Options:
  """Continues prompts with a trained model, and streams the text.

  Several prompts are read as a batch and printed one after the other; each continues as
  it would alone.

  Attributes:
    workdir: the work directory of the run.
    checkpoint: the last one, or the best on held-out text.
    prompt: a text to continue; may be given several times.
    prompt_file: a file that holds one more prompt.
    temperature: divides the logits, >= 0; 0 takes the likeliest token.
    top_k: draws from the k likeliest tokens; 0 is all.
    top_p: draws from the likeliest tokens that reach this probability, in (0, 1].
    min_p: draws from tokens at least this part as likely as the likeliest, in [0, 1].
    repetition_penalty: makes tokens of the text less likely to come again; 1 is none.
    max_tokens: the most tokens of each text, >= 1.
    seed: of the draw; the default is 0, or with --load-state that of the state.
    stop: a text ends before this string; may be given several times.
    save_state: a file for the memory after the text, to continue from later.
    load_state: a file to continue from; each prompt then continues its row.
  """

  PAGE: ClassVar[Page] = Page(
    'jaxmem generate --workdir runs/quickstart --prompt "def main(" --temperature 0.8',
    {
      "The model": ("workdir", "checkpoint"),
      "The text": ("prompt", "prompt_file", "max_tokens", "stop"),
      "How tokens are drawn": ("temperature", "top_k", "top_p", "seed"),
      "The memory after it": ("save_state", "load_state"),
    },
    words={
      "workdir": "DIR", "prompt_file": "FILE", "save_state": "FILE",
      "load_state": "FILE",
    },
  )  # fmt: skip

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


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem generate", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem generate`."""
  options = parse(Options, argv, "jaxmem generate")
  require("grain")
  sampling, prompts = _check(options)

  from jaxmem.generation import session
  from jaxmem.training.load import load_model

  if not options.load_state:
    _check_capacity(options, prompts)
  loaded = load_model(Path(options.workdir), options.checkpoint)
  writer = _begin(options, prompts, loaded)
  begin = time.monotonic()
  first = writer.session.length.sum()
  # arguments may hold any bytes; `fsencode` gives back those of the command line
  stop = [os.fsencode(each) for each in options.stop]
  show = Show([os.fsdecode(p) for p in prompts] if len(prompts) > 1 else [])
  for chunk in writer.write(sampling, options.max_tokens, stop):
    show.update(chunk)
  drawn = int(writer.session.length.sum() - first)
  rate = drawn / max(time.monotonic() - begin, 1e-9)
  print(f"{drawn} tokens, {rate:,.0f} tokens/s", file=sys.stderr)
  if options.save_state:
    path = Path(options.save_state)
    session.save(path, writer.session, loaded.model, loaded.params, loaded.tokenizer)
  return 0


def _check(options: Options) -> tuple[Any, list[bytes]]:
  """Returns the checked sampling options and the prompts, before any device work.

  Raises:
    UserError: if an option is out of range or a prompt cannot be read.
  """
  from jaxmem.core import outputs
  from jaxmem.generation.sampling import Cutter, Sampling

  names = [field.name for field in dataclasses.fields(Sampling)]
  sampling = Sampling(**{name: getattr(options, name) for name in names})
  check(sampling)
  Cutter([os.fsencode(each) for each in options.stop])  # raises for an empty stop
  check(options)
  if options.save_state:
    # --load-state is no input here: a state may replace the one that it continues
    inputs = {"--prompt-file": options.prompt_file, "--workdir": options.workdir}
    outputs.refuse_overwrite(options.save_state, inputs, "--save-state")
  prompts = [os.fsencode(prompt) for prompt in options.prompt]
  if options.prompt_file:
    from jaxmem.data import opened

    try:
      with opened.stream(options.prompt_file) as data:
        prompts.append(data.read(opened.LONGEST))
    except UserError as error:
      raise UserError(f"--prompt-file: {error}") from error
  if not prompts and not options.load_state:
    raise UserError("no prompt: give --prompt TEXT, --prompt-file FILE or --load-state")
  return sampling, prompts


def _check_capacity(options: Options, prompts: list[bytes]) -> None:
  """Raises CapacityError if a text would be longer than a memory of the model holds."""
  from jaxmem.models import capacity
  from jaxmem.tokenizers import trained
  from jaxmem.training.load import load_config

  config = load_config(Path(options.workdir), options.checkpoint)
  limit = capacity.limit_of(config.model)
  if limit is None:
    return
  tokenizer = trained.kept(config.task.tokenizer, Path(options.workdir))
  # the EOS token before a prompt counts, too
  length = 1 + max(len(tokenizer.encode(prompt)) for prompt in prompts)
  room = limit.tokens - length
  remedy = f"give --max-tokens {room}" if room > 0 else "give a shorter prompt"
  text = f"a prompt with --max-tokens {options.max_tokens}"
  limit.check(length + options.max_tokens, text, remedy)


def _begin(options: Options, prompts: list[bytes], loaded: Any) -> Any:
  """Returns a writer that has read the prompts."""
  from jaxmem.generation import session
  from jaxmem.generation.generate import Writer

  loaded_parts = (loaded.model, loaded.params, loaded.tokenizer)
  seed = options.seed
  if options.load_state:
    rows = session.load(Path(options.load_state), *loaded_parts)
    count = rows.length.shape[0]
    if prompts and len(prompts) != count:
      raise UserError(
        f"{len(prompts)} prompts for the {count} texts of {options.load_state}: give "
        f"{count}, or none to continue all"
      )
    prompts += [b""] * (count - len(prompts))  # all rows continue without new text
  else:
    rows = session.first_session(loaded.model, len(prompts))
    seed = seed or 0
  writer = Writer(*loaded_parts, rows)
  writer.read(prompts, seed)
  return writer


class Show:
  """Prints texts as they are drawn, byte for byte, one text after the other."""

  def __init__(self, titles: list[str]):
    """Makes a printer of one or several texts.

    Args:
      titles: one a text, printed on a line before it; none for a single text.
    """
    self._titles, self._texts, self._row = titles, None, -1

  def update(self, chunk: Any) -> None:
    """Prints what is new of the current text, and of those after it once it ends."""
    if self._texts is None:
      self._texts = [b""] * len(chunk.text)
      self._next()
    # texts after the current one wait here until it has ended
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
    # bytes, since a chunk may end within a character
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
