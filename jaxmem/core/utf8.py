"""Bytes as characters, and where they may be cut without breaking one."""

from jaxmem.core.errors import NotUTF8, UserError


def text(data: bytes) -> str:
  """The characters of UTF-8.

  Raises:
    NotUTF8: with the offset of the first bad byte.
  """
  try:
    return data.decode()
  except UnicodeDecodeError as error:
    raise NotUTF8(error.start) from error


def encoded(text: str | bytes) -> bytes:
  """A text as the bytes that a tokenizer reads; bytes stay as they are.

  Raises:
    UserError: if the text cannot be written in UTF-8.
  """
  if isinstance(text, bytes):
    return text
  try:
    return text.encode("utf-8", "surrogateescape")  # what is no UTF-8 in an argument
  except UnicodeEncodeError as error:
    raise UserError(
      "the text holds half of a surrogate pair, which is no text"
    ) from error


def border(text: bytes, at: int) -> int:
  """The nearest place at or before `at` that is not inside a UTF-8 character.

  Args:
    text: any bytes; what is not UTF-8 may be cut anywhere.
    at: 0 .. len(text).

  Returns:
    A place from at - 3 to at.
  """
  # a character around `at` begins at most 3 bytes before it, and ends after it
  for begin in range(at - 1, max(at - 4, -1), -1):
    for size in range(at - begin + 1, min(4, len(text) - begin) + 1):
      if _is_character(text[begin : begin + size]):
        return begin
  return at


def whole(text: bytes) -> int:
  """Bytes of a text without the beginning of a character at its end.

  Args:
    text: any bytes, cut anywhere.

  Returns:
    At least len(text) - 3.
  """
  for back in range(1, min(len(text), 3) + 1):
    byte = text[-back]
    if byte >= 0xC0:  # the first byte of a character, which says how many it has
      size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
      return len(text) - back if size > back else len(text)
    if byte < 0x80:  # ASCII
      break
  return len(text)


def _is_character(piece: bytes) -> bool:
  try:
    return len(piece.decode()) == 1
  except UnicodeDecodeError:
    return False
