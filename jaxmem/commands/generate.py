"""writes text: jaxmem generate --workdir DIR|--model NAME --prompt TEXT [...]"""

import contextlib
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from jaxmem.commands import ModelOptions, check, require
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import number


@dataclasses.dataclass(frozen=True)
class Options(ModelOptions):
  """Continues prompts with a trained model, and streams the text.

  Several prompts are read as a batch and printed one after the other; each continues as
  it would alone. With --input, --out or --logprobs the prompts are answered as JSON
  Lines: {"id", "prompt", "text"}, a line each. A line of the input that cannot be
  answered is reported with its number, and its answer is {"line", "error"}; the exit
  code is then 2.

  Attributes:
    prompt: a text to continue; may be given several times.
    prompt_file: a file that holds one more prompt.
    input: a file of {"prompt": TEXT} and any "id", or - for standard input.
    out: a file for the answers as JSON Lines, or - for standard output.
    rows: texts that are written at once for JSON Lines.
    num_samples: continuations of each prompt, by different draws; in JSON Lines a list
      "samples".
    logprobs: adds the tokens to JSON Lines, and the log-probability of each and of all
      under the model, whatever the temperature and its like.
    temperature: divides the logits, >= 0; 0 takes the likeliest token, 1 draws from the
      model's distribution.
    top_k: draws from the k likeliest tokens; 0 is all.
    top_p: draws from the likeliest that add up to this, in (0, 1].
    min_p: draws from tokens at least this part as likely as the likeliest, in [0, 1].
    repetition_penalty: makes tokens of the text less likely to come again; 1 is none.
    max_tokens: the most tokens of each text, >= 1.
    seed: of the draw; the default is 0, or with --load-state that of the state.
    stop: a text ends before this string; may be given several times.
    save_state: a file for the memory after the text, to continue from later.
    load_state: a file to continue from; each prompt then continues its row.
  """

  PAGE: ClassVar[Page] = Page(
    'jaxmem generate --workdir runs/quickstart --prompt "def main(" --max-tokens 100',
    {
      "The model, one of both": ("workdir", "model"),
      "The prompts": ("prompt", "prompt_file", "input"),
      "The texts": ("out", "num_samples", "max_tokens", "stop"),
      "How tokens are drawn": ("temperature", "top_p"),
      "The memory after a text": ("save_state", "load_state"),
    },
    words={
      "workdir": "DIR", "model": "NAME", "prompt_file": "FILE", "input": "FILE",
      "out": "FILE", "save_state": "FILE", "load_state": "FILE",
    },
  )  # fmt: skip

  prompt: tuple[str, ...] = ()
  prompt_file: str = ""
  input: str = ""
  out: str = ""
  rows: int = number(16, at_least=1)
  num_samples: int = number(1, at_least=1)
  logprobs: bool = False
  temperature: float = 0.8
  top_k: int = 0
  top_p: float = 0.95
  min_p: float = 0.0
  repetition_penalty: float = 1.0
  max_tokens: int = number(256, at_least=1)
  seed: int | None = number(None, at_least=0, at_most=2**32 - 1)
  stop: tuple[str, ...] = ()
  save_state: str = ""
  load_state: str = ""

  @property
  def is_json(self) -> bool:
    """Whether the answers are JSON Lines."""
    return bool(self.input or self.out or self.logprobs)


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem generate", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem generate`."""
  options = parse(Options, argv, "jaxmem generate")
  require("grain")
  sampling, prompts = _check(options)
  # arguments may hold any bytes; `fsencode` gives back those of the command line
  stop = [os.fsencode(each) for each in options.stop]
  if options.is_json:
    return _answer(options, sampling, prompts, stop)

  from jaxmem.generation import session
  from jaxmem.generation.show import Show

  found = options.find()
  if not options.load_state:
    needed = _check_capacity(options, found, prompts)
    if not options.save_state:
      found = found.for_texts(needed)
  prompts = [p for p in prompts for _ in range(options.num_samples)]
  loaded = found.load()
  writer = _begin(options, prompts, loaded)
  begin = time.monotonic()
  first = writer.length.sum()
  show = Show([os.fsdecode(p) for p in prompts] if len(prompts) > 1 else [])
  for chunk in writer.write(sampling, options.max_tokens, stop):
    show.update(chunk)
  drawn = int(writer.length.sum() - first)
  rate = drawn / max(time.monotonic() - begin, 1e-9)
  print(f"{drawn} tokens, {rate:,.0f} tokens/s", file=sys.stderr)
  if options.save_state:
    path = Path(options.save_state)
    session.save(path, writer.session, loaded.model, loaded.params, loaded.tokenizer)
  return 0


def _answer(
  options: Options, sampling: Any, prompts: list[bytes], stop: list[bytes]
) -> int:
  """Answers prompts as JSON Lines; returns the exit code."""
  from jaxmem.commands import predict as command
  from jaxmem.core import outputs
  from jaxmem.evaluation import predict
  from jaxmem.generation.records import PromptPredictor

  with contextlib.ExitStack() as stack:  # closes only what is no standard stream
    if options.input:
      # opened before the model is loaded, so a wrong name does not wait for it
      lines = command.opened(options.input, stack)
    else:
      texts = [prompt.decode(errors="replace") for prompt in prompts]
      lines = [json.dumps({"prompt": text}).encode() for text in texts]
    found = options.find()
    if not options.input:  # the texts of a file are not known yet
      found = found.for_texts(_check_capacity(options, found, prompts))
    predictor = PromptPredictor(
      found.load(),
      logprobs=options.logprobs,
      num_samples=options.num_samples,
      max_tokens=options.max_tokens,
      sampling=sampling,
      stop=stop,
      seed=options.seed or 0,
      rows=options.rows,
    )
    out = stack.enter_context(outputs.writing(options.out or "-"))
    bad = predict.write(lines, predictor, options.rows, out)
  return 2 if bad else 0


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
  _check_combination(options)
  if options.save_state:
    # --load-state is no input here: a state may replace the one that it continues
    inputs = {"--prompt-file": options.prompt_file}
    inputs |= {"--workdir": options.workdir, "--model": options.model}
    outputs.refuse_overwrite(options.save_state, inputs, "--save-state")
  if options.out:
    inputs = {
      "--input": options.input,
      "--prompt-file": options.prompt_file,
      "--workdir": options.workdir,
      "--model": options.model,
    }
    outputs.refuse_overwrite(options.out, inputs)
  prompts = [os.fsencode(prompt) for prompt in options.prompt]
  if options.prompt_file:
    from jaxmem.data import opened

    try:
      with opened.stream(options.prompt_file) as data:
        prompts.append(data.read(opened.LONGEST))
    except UserError as error:
      raise UserError(f"--prompt-file: {error}") from error
  if not (prompts or options.load_state or options.input):
    raise UserError(
      "no prompt: give --prompt TEXT, --prompt-file FILE, --input FILE or --load-state"
    )
  return sampling, prompts


def _check_combination(options: Options) -> None:
  """Raises UserError if options contradict one another."""
  if options.input and (options.prompt or options.prompt_file):
    raise UserError(f"--input {options.input} and a prompt: give one of them")
  if options.is_json and (options.save_state or options.load_state):
    raise UserError(
      "--save-state and --load-state are for text: leave out --input, --out and "
      "--logprobs"
    )
  if options.load_state and options.num_samples > 1:
    raise UserError(
      f"--num-samples {options.num_samples}: a text of --load-state continues once"
    )


def _check_capacity(options: Options, found: Any, prompts: list[bytes]) -> int:
  """Returns how many tokens the longest text has with its continuation.

  Raises:
    CapacityError: if that is more than a memory of the model holds.
  """
  from jaxmem.models import capacity
  from jaxmem.tokenizers import start_ids

  # a saved state has the capacity that every later call expects
  limit = capacity.limit_of(found.config if options.save_state else found.longest)
  if limit is None:
    return 0
  length = max(len(found.tokenizer.encode(prompt)) for prompt in prompts)
  length += len(start_ids(found.tokenizer))
  room = limit.tokens - length
  remedy = f"give --max-tokens {room}" if room > 0 else "give a shorter prompt"
  text = f"a prompt with --max-tokens {options.max_tokens}"
  limit.check(length + options.max_tokens, text, remedy)
  return length + options.max_tokens


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
