"""Baselines of reports: which of them are better than the model, and compressors."""

import gzip
import importlib.util
import lzma
import math
from collections.abc import Mapping, Sequence

# Descriptions of the numbers of `compressors`.
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
  """Returns a sentence for each baseline that beats the model, the best first.

  They are the first lines of a report, so that nobody misses that a model lost.

  Args:
    measure: name of the metric, such as "accuracy".
    model: value of the model; NaN is worse than any number.
    baselines: name -> value; NaN is never better.
    lower: whether a lower value is better.
    digits: digits after the decimal point.

  Returns:
    Sentences and an empty line, or no line if the model is the best.
  """

  def worth(value: float) -> float:
    return -math.inf if math.isnan(value) else -value if lower else value

  winners = [name for name, value in baselines.items() if worth(value) > worth(model)]
  winners.sort(key=lambda name: -worth(baselines[name]))
  lines = [
    f"{name[:1].upper() + name[1:]} is better than this model: {measure} "
    f"{_apart(baselines[name], model, digits)}."
    for name in winners
  ]
  return [*lines, ""] if lines else []


def _apart(one: float, other: float, digits: int) -> str:
  """Formats two values with as many digits as distinguish them, at most nine."""
  # equal after rounding, two values would look like a tie
  while digits < 9 and f"{one:.{digits}f}" == f"{other:.{digits}f}":
    digits += 1
  return f"{one:.{digits}f} against {other:.{digits}f}"


def missing(name: str, module: str, extra: str = "apps") -> str:
  """Returns a sentence on how to install a baseline, or "" if it is installed.

  Args:
    name: name of the baseline.
    module: module that it needs.
    extra: extra of jaxmem that installs the module.
  """
  if importlib.util.find_spec(module):
    return ""
  return (
    f"{name} was not computed, because {module} is not installed: run "
    f"pip install 'jaxmem[{extra}]'."
  )


def compressors(texts: Sequence[bytes]) -> dict[str, float]:
  """Returns bits per byte of gzip and xz, see `PACKED`; file headers count.

  Args:
    texts: the documents that a model was scored on.
  """
  joined, size = b"".join(texts), sum(map(len, texts))
  packers = {
    "gzip": lambda text: gzip.compress(text, 9),
    "xz": lambda text: lzma.compress(text, preset=9 | lzma.PRESET_EXTREME),
  }
  bits = {}
  for name, pack in packers.items():
    # one file shares its dictionary between documents, as a carried memory may
    bits[f"{name}, whole"] = 8 * len(pack(joined)) / size
    bits[f"{name}, per file"] = 8 * sum(len(pack(text)) for text in texts) / size
  return bits


def packed_rows(packed: Mapping[str, float]) -> list[str]:
  """Returns the numbers of `compressors` as rows of three cells in Markdown."""
  return [f"| {name} | {bits:.3f} | {PACKED[name]} |" for name, bits in packed.items()]
