"""writes a pretrained model as a run: jaxmem convert --model NAME --out DIR"""

import dataclasses
from pathlib import Path
from typing import ClassVar

from jaxmem.commands import check, require
from jaxmem.core import outputs
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import required
from jaxmem.runtime.compilation import compiling


@dataclasses.dataclass(frozen=True)
class Options:
  """Writes a pretrained language model as the work directory of a run.

  It has one verified checkpoint, which devices read in shards, and the tokenizer; every
  command takes it as --workdir. `jaxmem export` goes the other way.

  Attributes:
    model: smollm2, a folder, a .gguf, hf:ORG/NAME.
    memory: the model's full attention becomes window:window_size=64, say.
    out: the work directory to write; it must not exist, or be empty.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem convert --model smollm2 --out runs/smollm2",
    {"The model": ("model", "memory"), "The work directory": ("out",)},
    words={"model": "NAME", "memory": "MEMORY", "out": "DIR"},
  )

  model: str = required("give smollm2, a folder, a .gguf, or hf:ORG/NAME")
  memory: str = ""
  out: str = required("give a directory for the checkpoint")


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem convert", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem convert`."""
  options = parse(Options, argv, "jaxmem convert")
  require("grain")
  check(options)
  out = Path(options.out)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise UserError(f"--out {out} has files in it: give another directory")
  outputs.refuse_overwrite_in(out, ("checkpoints",), {"--model": options.model})
  from jaxmem.evaluation import converted
  from jaxmem.interop import addresses

  if not addresses.is_address(options.model):
    raise UserError(f"--model {options.model} is no pretrained model")
  with compiling("the placement of the weights"):
    print(converted.write(options.model, out, options.memory))
  return 0
