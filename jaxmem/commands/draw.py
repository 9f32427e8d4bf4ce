"""draws which tokens see which: jaxmem draw MASK|MEMORY"""

import argparse
import re
from pathlib import Path

import numpy as np

from jaxmem import mixers
from jaxmem.commands import check_numbers, require
from jaxmem.core import outputs, ranges
from jaxmem.core.errors import UserError, raised_as, reason
from jaxmem.core.ranges import Range
from jaxmem.core.typing import Reset
from jaxmem.models import pattern

MOST = 8192  # tokens, layers, features: the picture has a pixel for every pair
# The formats that Matplotlib writes without another package.
PICTURES = (".png", ".pdf", ".svg")


def main(argv: list[str]) -> int:
  """Runs `jaxmem draw`: writes a picture and prints its numbers."""
  require("matplotlib")
  from jaxmem.evaluation import visibility
  from jaxmem.tasks import maps

  args = _parser(", ".join(map(visibility.fields, visibility.MASKS))).parse_args(argv)
  if not args.what.strip():
    raise UserError("nothing to draw: name a mask or a memory, such as causal")
  path = Path(args.out or _file_name(args.what))
  outputs.refuse_overwrite(path, {})  # before the picture is computed
  if path.suffix.lower() not in PICTURES:
    raise UserError(f"--out {path}: a name that ends in {', '.join(PICTURES)}")
  drawn = Range(at_least=1, at_most=MOST)
  sizes = ("length", "layers", "block_size", "d_model")
  check_numbers(args, **dict.fromkeys(sizes, drawn))
  lengths = [args.length]
  if args.documents:
    with raised_as(UserError):
      lengths = ranges.listed(args.documents, "--documents")
      for size in (*lengths, sum(lengths)):
        ranges.check_number(size, "--documents", drawn)
  reset = visibility.documents(lengths)

  faint = 0
  if re.split("[:+]", args.what)[0] in mixers.names():
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
  print(f"{args.what}: {count} of {sees.size} pairs seen")
  if faint:
    print(f"{faint} of them move the output by less than float32 can tell")
  if tiles is not None:
    size = args.block_size
    print(f"{tiles.sum()} of {tiles.size} blocks of {size} x {size} computed")
  far = _farthest(reach > 0)
  print(f"one layer reaches {_farthest(sees)} tokens back, {args.layers} reach {far}")
  print(path)
  return 0


def _of_memory(args: argparse.Namespace, reset: Reset) -> tuple:
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


def _parser(mask_names: str) -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    "jaxmem draw",
    description="Which tokens see which: the pairs, the blocks that are computed, and "
    "what several layers reach. A memory is measured by changing its inputs.",
    epilog=f"Masks, joined by & and |: {mask_names}. Memories: see `jaxmem memories`; "
    "options as in a pattern, such as window:window_size=16.",
  )
  parser.add_argument("what", metavar="MASK|MEMORY")
  parser.add_argument("--length", type=int, default=64, help="tokens (default 64)")
  parser.add_argument(
    "--documents", default="", help="their lengths instead, such as 40,24"
  )
  parser.add_argument("--layers", type=int, default=3, help="default 3")
  parser.add_argument("--block-size", type=int, default=8, help="default 8")
  parser.add_argument("--d-model", type=int, default=32, help="of a memory (32)")
  parser.add_argument("--out", default="", help="the picture; default: NAME.png")
  return parser


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
