"""JSON as every reader takes it: no NaN, no infinite number, no key twice."""

import json
import math
from typing import Any

from jaxmem.core.errors import DataError

BOM = b"\xef\xbb\xbf"
# The most digits of a whole number; Python itself refuses more than 4,300.
_DIGITS = 1000


def is_json(head: bytes) -> bool:
  """Returns whether a line, such as the first of a file, is a JSON object."""
  try:
    return isinstance(parse(head), dict)
  except DataError:
    return False


def parse(line: bytes, offset: int | None = None) -> Any:
  """Parses a line of JSON.

  NaN, infinite numbers and a key twice in an object are refused: other readers
  understand them differently, or not at all.

  Args:
    line: the bytes of the line; a byte order mark is skipped.
    offset: where the line begins in its file, by which a bad byte is named; None names
      the byte by its position in the line.

  Raises:
    DataError: with the reason alone; the caller names the line.
  """
  skip = len(BOM) if line.startswith(BOM) else 0
  try:
    return json.loads(
      # decode here: json.loads would guess UTF-16 and UTF-32 from bytes
      line[skip:].decode(),
      parse_constant=_refuse_constant,
      parse_float=_finite,
      parse_int=_whole,
      object_pairs_hook=_once,
    )
  except UnicodeDecodeError as error:
    at, of = skip + error.start, "line" if offset is None else "file"
    why = f"it is not UTF-8 at byte {(offset or 0) + at} of the {of}"
  except RecursionError:
    why = "it is nested too deeply"
  except ValueError as error:
    why = str(error)
  raise DataError(why)


def _refuse_constant(name: str) -> None:
  raise ValueError(f"{name} is no number of JSON: write null, or leave it out")


def _finite(digits: str) -> float:
  if not math.isfinite(value := float(digits)):
    raise ValueError(f"the number {digits[:40]} is too large")
  return value


def _whole(digits: str) -> int:
  if len(digits) > _DIGITS:
    raise ValueError(f"a number has {len(digits):,} digits: {_DIGITS:,} at most")
  return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  value = dict(pairs)
  if len(value) < len(pairs):
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"it has the key {twice!r} twice")
  return value
