"""draws which tokens see which: jaxmem draw MASK|MEMORY"""

import dataclasses
import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from jaxmem import mixers
from jaxmem.commands import check, require
from jaxmem.core import outputs, ranges
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError, raised_as, reason
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.ranges import Range, number, required
from jaxmem.core.typing import Reset
from jaxmem.models import pattern

MOST = 8192  # tokens, layers, features: the picture has a pixel for every pair
# The formats that Matplotlib writes without another package.
PICTURES = (".png", ".pdf", ".svg")


@dataclasses.dataclass(frozen=True)
class Options:
  """Draws which tokens see which: the pairs, the blocks that are computed, and what
  several layers reach. A memory is measured by changing its inputs.

  Attributes:
    what: masks joined by & and |, or a memory with options, window:window_size=16; see
      `jaxmem memories`.
    length: tokens of the text.
    documents: lengths of documents that make up the text, such as 40,24.
    layers: how many layers, one above the other, have their reach drawn.
    block_size: tokens of a block of the mask.
    d_model: features of a memory.
    out: the picture, by default NAME.png.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem draw window:window_size=16 --documents 40,24 --out window.png",
    {
      "What is drawn": ("what", "length", "documents", "layers"),
      "How": ("block_size", "d_model"),
      "What is written": ("out",),
    },
    places=("what",),
    words={"what": "MASK|MEMORY", "documents": "N,N", "out": "FILE"},
  )

  what: str = required("name a mask or a memory, such as causal")
  length: int = number(64, at_least=1, at_most=MOST)
  documents: str = ""
  layers: int = number(3, at_least=1, at_most=MOST)
  block_size: int = number(8, at_least=1, at_most=MOST)
  d_model: int = number(32, at_least=1, at_most=MOST)
  out: str = ""


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem draw", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem draw`: writes a picture and prints its numbers."""
  args = parse(Options, argv, "jaxmem draw")
  require("matplotlib")
  from jaxmem.evaluation import visibility
  from jaxmem.tasks import maps

  if not args.what.strip():
    raise UserError("nothing to draw: name a mask or a memory, such as causal")
  path = Path(args.out or _file_name(args.what))
  outputs.refuse_overwrite(path, {})  # before the picture is computed
  if path.suffix.lower() not in PICTURES:
    raise UserError(f"--out {path}: a name that ends in {', '.join(PICTURES)}")
  check(args)
  lengths = [args.length]
  if args.documents:
    with raised_as(UserError):
      lengths = ranges.listed(args.documents, "--documents")
      for size in (*lengths, sum(lengths)):
        ranges.check_number(size, "--documents", Range(at_least=1, at_most=MOST))
  reset = visibility.documents(lengths)

  faint = 0
  # no mask has a colon: an unknown name before one is that of a memory
  if ":" in args.what or re.split("[:+]", args.what)[0] in mixers.names():
    pairs, sees, mask = _of_memory(args, reset)
    pairs, faint = _shown(pairs, sees)
  else:
    mask = visibility.parse(args.what)
    try:
      pairs = sees = visibility.seen(mask, reset)
    except (TypeError, ValueError) as error:
      raise UserError(f"the mask {args.what!r} cannot be drawn: {error}") from error

  tiles = None if mask is None else visibility.blocks(mask, reset, args.block_size)
  reach = visibility.layers_needed(sees, args.layers)
  maps.sight(path, args.what, pairs, tiles, reach)

  count = int(np.count_nonzero(sees))
  print(f"{args.what}: {count:,} of {sees.size:,} pairs seen")
  if faint:
    print(f"{faint} of them move the output by less than float32 can tell")
  if tiles is not None:
    size = args.block_size
    print(f"{tiles.sum()} of {tiles.size} blocks of {size} x {size} computed")
  far = _farthest(reach > 0)
  print(f"one layer reaches {_farthest(sees)} tokens back, {args.layers} reach {far}")
  print(f"wrote {path}")
  return 0


def _of_memory(args: Options, reset: Reset) -> tuple:
  """Returns the influence of each token on each, the seen pairs, and the mask if any.

  Raises:
    UserError: if the memory cannot be made with its options.
  """
  from jaxmem.evaluation import visibility

  entries = pattern.parse(args.what)
  if len(entries) > 1:
    raise UserError(f"{args.what!r} names several memories: draw one at a time")
  mixer = pattern.built(entries[0], args.d_model, "float32")
  try:
    pairs, sees = visibility.influence(mixer, reset), visibility.sees(mixer, reset)
  except UserError:
    raise
  except Exception as error:  # a user's mixer may raise anything
    raise UserError(f"{args.what} cannot be drawn: {reason(error)}") from error
  return pairs, sees, getattr(mixer, "mask", None)


def _shown(pairs: np.ndarray, sees: np.ndarray) -> tuple[np.ndarray, int]:
  """Returns the influences as they are drawn, and how many pairs are too faint.

  Where an output depends on an input by less than float32 can tell, the least measured
  influence is drawn: 0 would say that the input is not seen.
  """
  faint = sees & (pairs == 0)  # [T, T]
  least = pairs[pairs > 0].min(initial=1.0)
  return np.where(faint, least, pairs), int(faint.sum())


def _file_name(name: str) -> str:
  return "".join(c if c.isalnum() else "-" for c in name).strip("-")[:100] + ".png"


def _farthest(sees: np.ndarray) -> int:
  """Returns the greatest distance of a pair that is seen."""
  query, key = np.nonzero(sees)  # of [T, T]: one entry a seen pair
  return int((query - key).max(initial=0))
