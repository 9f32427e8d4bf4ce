"""What goes wrong, in two kinds; each is one message without a traceback."""

import contextlib
from collections.abc import Iterator
from typing import Any


class UserError(ValueError):
  """Something that the user can mend: exit code 2. Names the thing and the remedy."""


class DataError(UserError):
  """A mistake that the user can mend; the message names the thing and the remedy."""


class NotUTF8(DataError):
  """Bytes that a tokenizer of text cannot read.

  Attributes:
    offset: of the first bad byte. Who knows where the bytes came from catches this and
      names the file too.
  """

  def __init__(self, offset: int):
    self.offset = offset
    super().__init__(f"not UTF-8 at byte {offset}: convert it, or use tokenizer 'byte'")


class ConfigError(UserError):
  """A config that cannot be run; the message names the key, the value, the remedy."""


class RunError(RuntimeError):
  """A run that cannot continue: exit code 1. Names the thing and the remedy."""


@contextlib.contextmanager
def raised_as(kind: type[Exception], prefix: str = "") -> Iterator[None]:
  """Raises a ValueError of its block as another error, with the same message.

  Args:
    kind: the class of the other error.
    prefix: stands before the message, "model." say before the name of a field.
  """
  try:
    yield
  except ValueError as error:
    raise kind(f"{prefix}{error}") from error


def shown(value: Any, most: int = 80) -> str:
  """A value as a message shows it: its beginning, whatever its size or its depth."""
  try:
    text = repr(value)
  except Exception:  # nested too deeply, or a number of too many digits
    return f"a value of type {type(value).__name__}"
  return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def reason(error: BaseException) -> str:
  """The first line of what an error says, behind its kind where it is no UserError."""
  if isinstance(error, UserError):
    return str(error)
  first = (str(error).strip().splitlines() or ["no reason given"])[0]
  return f"{type(error).__name__}: {first[:300]}"
