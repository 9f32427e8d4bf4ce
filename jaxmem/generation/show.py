"""Prints texts as they are drawn, one after the other."""

import os
import sys
from typing import Any


class Show:
  """Prints texts as they are drawn, byte for byte, one text after the other."""

  def __init__(self, titles: list[str]):
    """Makes a printer of one or several texts.

    Args:
      titles: one a text, printed on a line before it; none for a single text.
    """
    self._titles, self._texts, self._row = titles, None, -1

  def update(self, chunk: Any) -> None:
    """Prints what is new of the current text, and of those after it once it ends."""
    if self._texts is None:
      self._texts = [b""] * len(chunk.text)
      self._next()
    # texts after the current one wait here until it has ended
    self._texts = [a + b for a, b in zip(self._texts, chunk.text, strict=True)]
    while self._row < len(self._texts):
      new, self._texts[self._row] = self._texts[self._row], b""
      self._put(new)
      if not chunk.done[self._row]:
        break
      if self._last != b"\n":
        self._put(b"\n")
      self._next()

  def _next(self) -> None:
    self._row, self._last = self._row + 1, b""
    if self._row < len(self._titles):
      title = " ".join(self._titles[self._row].split())[:60]
      self._put(os.fsencode(f"==> {self._row + 1}: {title} <==\n"))

  def _put(self, text: bytes) -> None:
    self._last = text[-1:] or self._last
    # bytes, since a chunk may end within a character
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
