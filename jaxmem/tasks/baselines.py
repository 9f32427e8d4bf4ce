"""What a model is compared with: which baselines are better, in words."""

import gzip
import importlib.util
import lzma
import math
from collections.abc import Mapping, Sequence

# What the numbers of `compressors` are of.
PACKED = {
  "gzip, whole": "gzip -9, the same documents as one file",
  "gzip, per file": "gzip -9, each document alone",
  "xz, whole": "xz -9e, the same documents as one file",
  "xz, per file": "xz -9e, each document alone",
}


def better(
  measure: str,
  model: float,
  baselines: Mapping[str, float],
  *,
  lower: bool = False,
  digits: int = 3,
) -> list[str]:
  """A sentence for every baseline that is better than the model, the best first.

  They are the first lines of a report: nobody shall miss that a model lost.

  Args:
    measure: what is compared, such as "accuracy".
    model: its value; NaN is worse than any number.
    baselines: name -> value; NaN is never better.
    lower: whether a lower value is better.
    digits: behind the point.

  Returns:
    Sentences, and an empty line behind them; no line where the model is the best.
  """
  sign = -1 if lower else 1
  worth = lambda value: -math.inf if math.isnan(value) else sign * value
  winners = [name for name, value in baselines.items() if worth(value) > worth(model)]
  winners.sort(key=lambda name: -worth(baselines[name]))
  lines = [
    f"{name[:1].upper() + name[1:]} is better than this model: {measure} "
    f"{_apart(baselines[name], model, digits)}."
    for name in winners
  ]
  return [*lines, ""] if lines else []


def _apart(one: float, other: float, digits: int) -> str:
  """Two values with as many digits as tell them apart, nine at most."""
  while digits < 9 and f"{one:.{digits}f}" == f"{other:.{digits}f}":
    digits += 1
  return f"{one:.{digits}f} against {other:.{digits}f}"


def missing(name: str, module: str, extra: str = "apps") -> str:
  """Says that a baseline was not computed, and what brings it; "" if it can be.

  Args:
    name: of the baseline.
    module: that it needs.
    extra: of jaxmem, which brings the module.
  """
  if importlib.util.find_spec(module):
    return ""
  return (
    f"{name} was not computed: {module} is not installed, which "
    f"pip install 'jaxmem[{extra}]' brings."
  )


def compressors(texts: Sequence[bytes]) -> dict[str, float]:
  """Returns bits per byte of gzip and xz, see `PACKED`; headers of files count.

  Args:
    texts: the documents that a model was scored on.
  """
  whole, size = b"".join(texts), sum(map(len, texts))
  packers = {
    "gzip": lambda text: gzip.compress(text, 9),
    "xz": lambda text: lzma.compress(text, preset=9 | lzma.PRESET_EXTREME),
  }
  bits = {}
  for name, pack in packers.items():
    bits[f"{name}, whole"] = 8 * len(pack(whole)) / size
    bits[f"{name}, per file"] = 8 * sum(len(pack(text)) for text in texts) / size
  return bits


def packed_rows(packed: Mapping[str, float]) -> list[str]:
  """Returns the numbers of `compressors` as rows of three cells in Markdown."""
  return [f"| {name} | {bits:.3f} | {PACKED[name]} |" for name, bits in packed.items()]
