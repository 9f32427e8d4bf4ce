"""The two kinds of errors that a command shows as a message without a traceback."""

import contextlib
from collections.abc import Iterator
from typing import Any


class UserError(ValueError):
  """A mistake that the user can mend (exit code 2); the message names the remedy."""


class DataError(UserError):
  """Data that cannot be read; the message names the file or value, and the remedy."""


class NotUTF8(DataError):
  """Bytes that a tokenizer of text cannot read.

  Attributes:
    offset: of the first bad byte. The caller that knows where the bytes came from
      catches this error and names the file, too.
  """

  def __init__(self, offset: int):
    self.offset = offset
    super().__init__(f"not UTF-8 at byte {offset}: convert it, or use tokenizer 'byte'")


class ConfigError(UserError):
  """A config that cannot be run; the message names key, value and remedy."""


class RunError(RuntimeError):
  """A run that cannot continue (exit code 1); the message names the remedy."""


@contextlib.contextmanager
def raised_as(kind: type[Exception], prefix: str = "") -> Iterator[None]:
  """Raises a ValueError of the `with` block as another error, with the same message.

  Args:
    kind: the class of the other error.
    prefix: put before the message, such as "model." before the name of a field.
  """
  try:
    yield
  except ValueError as error:
    raise kind(f"{prefix}{error}") from error


def shown(value: Any, most: int = 80) -> str:
  """Returns the beginning of a value's repr, for a message.

  Args:
    value: of any size or depth.
    most: characters that are shown.
  """
  try:
    text = repr(value)
  except Exception:  # nested too deeply, too many digits, or a faulty `__repr__`
    return f"a value of type {type(value).__name__}"
  return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def reason(error: BaseException) -> str:
  """Returns the first line of an error's message.

  Args:
    error: its type is named first unless it is a UserError.
  """
  if isinstance(error, UserError):
    return str(error)  # written for users, so it needs no type before it
  # messages of XLA may have hundreds of lines
  first = (str(error).strip().splitlines() or ["no reason given"])[0]
  return f"{type(error).__name__}: {first[:300]}"
