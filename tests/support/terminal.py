"""Terminals for tests: what a person sees of a command."""

import contextlib
import os
import pty
import subprocess
import sys
import termios
import threading


def screen(content: bytes) -> list[str]:
  """Returns the lines that a terminal shows after these bytes."""
  lines, row, column = [""], 0, 0
  text = content.decode()
  while text:
    if text.startswith("\x1b[A"):
      row, text = max(row - 1, 0), text[3:]
      continue
    character, text = text[0], text[1:]
    if character == "\r":
      column = 0
    elif character == "\n":
      row += 1
      lines += [""] * (row == len(lines))
    else:
      line = lines[row].ljust(column)
      lines[row] = line[:column] + character + line[column + 1 :]
      column += 1
  return [line.rstrip() for line in lines]


def run(arguments: list[str], size: tuple[int, int] = (24, 80)) -> bytes:
  """Runs a process on a terminal of its own; returns what the terminal got.

  Args:
    arguments: the command.
    size: lines and columns of the terminal.
  """
  ours, theirs = _open(size)
  child = subprocess.Popen(arguments, stdout=theirs, stderr=theirs)
  os.close(theirs)
  content = _read(ours)
  assert child.wait(timeout=60) == 0, content
  return content


@contextlib.contextmanager
def streams(monkeypatch, size: tuple[int, int] = (24, 80)):
  """Puts the standard streams on a terminal; yields a list that gets its content."""
  content, (ours, theirs) = [], _open(size)
  reader = threading.Thread(target=lambda: content.append(_read(ours)))
  reader.start()
  with open(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
    patch.setattr(sys, "stdout", stream)
    patch.setattr(sys, "stderr", stream)
    yield content
  reader.join()


def _open(size: tuple[int, int]) -> tuple[int, int]:
  ours, theirs = pty.openpty()
  termios.tcsetwinsize(theirs, size)
  return ours, theirs


def _read(ours: int) -> bytes:
  """Reads a terminal until its other end is closed."""
  content = b""
  while True:
    try:
      part = os.read(ours, 4096)
    except OSError:  # the process has closed its end
      part = b""
    if not part:
      break
    content += part
  os.close(ours)
  return content
