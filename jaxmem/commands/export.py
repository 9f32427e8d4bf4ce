"""writes a folder that transformers loads: jaxmem export --workdir DIR --out DIR"""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from jaxmem.commands import check, one_model
from jaxmem.core import outputs
from jaxmem.core.command_line import parse
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import required
from jaxmem.runtime.compilation import compiling

# The files that the command writes to --out.
WRITTEN = ("config.json", "model.safetensors", "generation_config.json", "tokenizer*")


@dataclasses.dataclass(frozen=True)
class Options:
  """Writes a model as Hugging Face lays it out: config.json and model.safetensors.

  The model is a run, or a pretrained one: a GGUF file becomes a folder, float32 becomes
  bfloat16. In float32 every number keeps its bits. A model that transformers has no
  class for is refused, with what sets it apart.

  Attributes:
    workdir: the work directory of a run of `jaxmem train`.
    checkpoint: of a run, the last one, or the best on held-out text.
    model: in the place of a run: smollm2, a folder, a .gguf, hf:ORG/NAME.
    type: the `model_type` of the settings, such as qwen3; empty is that of the folder,
      or the first that fits.
    dtype: of the tensors.
    out: the folder to write.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem export --model smollm2 --out models/smollm2",
    {
      "The model, one of both": ("workdir", "checkpoint", "model"),
      "The folder": ("out", "type", "dtype"),
    },
    words={"workdir": "DIR", "model": "NAME", "out": "DIR", "type": "TYPE"},
  )

  workdir: str = ""
  checkpoint: Literal["last", "best"] = "last"
  model: str = ""
  type: str = ""
  dtype: Literal["float32", "bfloat16"] = "float32"
  out: str = required("give a directory for the folder")


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem export", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem export`."""
  options = parse(Options, argv, "jaxmem export")
  check(options)
  address = one_model(options.workdir, options.model)
  inputs = {"--workdir": options.workdir, "--model": options.model}
  outputs.refuse_overwrite_in(options.out, WRITTEN, inputs)
  from jaxmem.evaluation import exported

  with compiling("the verification of the weights"):
    written = exported.write(
      address,
      Path(options.out),
      which=options.checkpoint,
      model_type=options.type,
      dtype=options.dtype,
    )
  print(written)
  return 0
