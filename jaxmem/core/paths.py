"""What in the text of a source is a path: made absolute, or looked for on disk.

A source may be a path, a pattern, `FILE.jsonl#FIELD`, `NAME=SOURCE,...`, two files with
a comma between, `mix:WEIGHT*SOURCE,...`, or the name of something that is no file. What
exists on disk is taken for a path, and everything around it is kept as it is.
"""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path

# Names that mean something else, even where a file is called so.
_RESERVED = ("", "-", "stdlib", "byte", "minilm")
# What joins sources: a folder with one of these cannot be written into a longer text.
_JOINTS = re.compile(r"[,=*#\[\]?]")


def absolute(text: str) -> str:
  """Returns the text of a source with every path that exists made absolute.

  Args:
    text: as it stands in a config or a flag.

  Returns:
    The same source, whichever directory it is read from.
  """
  spans = list(_spans(text))
  here = os.getcwd()
  if spans not in ([], [(0, len(text))]) and _JOINTS.search(here):
    return text
  for begin, end in reversed(spans):  # from the end: the spans before stay valid
    path = os.path.abspath(os.path.expanduser(text[begin:end]))
    text = text[:begin] + path + text[end:]
  return text


def moved(text: str, old: str, new: str) -> str:
  """Returns the text of a source with paths below one directory moved to another.

  Args:
    text: of a source, absolute.
    old: a directory that was moved.
    new: where it is now.

  Returns:
    The text; unchanged where the old path exists still, or the new one does not.
  """
  pieces = re.split(r"([,=*#])", text)
  for i, piece in enumerate(pieces):
    if old and piece.startswith(old.rstrip("/") + "/") and not _exists(piece):
      other = os.path.join(new, os.path.relpath(piece, old))
      pieces[i] = other if _exists(other) else piece
  return "".join(pieces)


def lost(text: str) -> bool:
  """Returns whether a source names an absolute path at which there is nothing.

  Args:
    text: of a source.
  """
  if _exists(text):
    return False
  pieces = re.split(r"[,=*#]", text)
  return any(os.path.isabs(piece) and not _exists(piece) for piece in pieces)


def existing(text: str) -> list[Path]:
  """Returns the files and directories that a source names.

  Args:
    text: of a source.

  Returns:
    Existing paths; those that match a pattern one by one.
  """
  existing_paths = []
  for begin, end in _spans(text):
    path = os.path.expanduser(text[begin:end])
    if os.path.exists(path):
      existing_paths.append(Path(path))
    else:
      existing_paths += map(Path, glob.iglob(path, recursive=True))
  return existing_paths


def _spans(text: str) -> Iterator[tuple[int, int]]:
  """Where in the text paths that exist begin and end."""
  if _exists(text):  # also one with a comma in its name
    yield 0, len(text)
    return
  start = 0
  for part in text.split(","):
    if span := _path_within(part):
      yield start + span[0], start + span[1]
    start += len(part) + 1


def _path_within(part: str) -> tuple[int, int] | None:
  """The path in a part, without what may stand before and behind it."""
  begins = [0, *(m.end() for m in re.finditer(r"[:*=]", part))]
  ends = [len(part), part.rfind("#")]
  for begin in begins:  # the longest first: a path may hold any of these characters
    for end in ends:
      if end > begin and _exists(part[begin:end]):
        return begin, end
  return None


def _exists(text: str) -> bool:
  """Whether a text is the path of something, or a pattern that something matches."""
  if text.strip() in _RESERVED or "\0" in text:
    return False
  path = os.path.expanduser(text)
  if os.path.exists(path):
    return True
  matches = glob.iglob(path, recursive=True) if glob.has_magic(path) else iter(())
  return next(matches, None) is not None
