"""Docstrings and source text as Markdown."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source):", re.M)


def prose(thing: object) -> str:
  """Returns a docstring up to its first section; equations stay blocks of text.

  Args:
    thing: whatever has a docstring.
  """
  text = inspect.cleandoc(thing.__doc__ or "")
  return _fenced(_SECTION.split(text)[0].strip())


def source_line(thing: object) -> str:
  """Returns what follows "Source:" of a docstring, with links to arXiv; or "".

  Args:
    thing: whatever has a docstring.
  """
  text = " ".join((thing.__doc__ or "").partition("Source:")[2].split())
  return re.sub(
    r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text
  )


def attributes(thing: object) -> dict[str, str]:
  """Returns the entries of "Attributes:", by name, each as one line.

  Args:
    thing: whatever has a docstring.
  """
  text = inspect.cleandoc(thing.__doc__ or "").partition("Attributes:\n")[2]
  entries = re.findall(r"^  (\w+): (.*(?:\n   .*)*)", text, flags=re.M)
  return {name: " ".join(value.split()) for name, value in entries}


def code(function: Callable) -> str:
  """Returns the source of a function without its docstring.

  Args:
    function: a plain function.
  """
  lines = textwrap.dedent(inspect.getsource(function)).splitlines()
  (node,) = ast.parse("\n".join(lines)).body
  first = node.body[0]
  if ast.get_docstring(node):
    del lines[first.lineno - 1 : first.end_lineno]
  return "\n".join(lines).rstrip()


def table(head: list[str], rows: list[list[str]]) -> str:
  """Returns a Markdown table; a bar inside a cell is escaped.

  Args:
    head: the titles of the columns.
    rows: their cells.
  """
  lines = [head, ["---"] * len(head), *rows]
  cell = lambda text: str(text).replace("|", "\\|")
  return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def _fenced(text: str) -> str:
  """Turns indented blocks into fenced ones, which no list around them changes."""
  out, block = [], []
  for line in [*text.splitlines(), None]:
    if line is not None and (line.startswith("    ") or (block and not line.strip())):
      block.append(line[4:])
      continue
    if block:
      while block and not block[-1].strip():
        block.pop()
      out += ["```text", *textwrap.dedent("\n".join(block)).splitlines(), "```", ""]
      block = []
    out += [] if line is None else [line]
  return "\n".join(out)
