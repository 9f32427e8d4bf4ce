"""The file name is the registry: what a package holds is what its files define."""

import ast
import difflib
import functools
import importlib
import pkgutil
from types import ModuleType
from typing import Any


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
  """A hint for a misspelt name: the nearest known one, else all of them."""
  close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
  if close:
    return f"did you mean {close[0]!r}?"
  return f"known: {', '.join(sorted(known))}"


def options(text: str) -> tuple[str, dict[str, Any]]:
  """A name and its options, from `name:option=value:...`.

  A value is a literal of Python's, else a word.

  Raises:
    ValueError: if a part has no equals sign.
  """
  name, *pairs = text.strip().split(":")
  given = {}
  for pair in pairs:
    key, equals, value = pair.partition("=")
    if not equals:
      raise ValueError(f"{pair!r} in {text!r} is not of the form option=value")
    try:
      given[key] = ast.literal_eval(value)
    except (ValueError, SyntaxError):
      given[key] = value  # a word, such as form=recurrent
  return name, given


@functools.cache
def members(package: str, marker: str) -> dict[str, ModuleType]:
  """All modules of `package` that define the name `marker`, by file name.

  Args:
    package: dotted name of a package, such as "jaxmem.ops".
    marker: the attribute that makes a file a member ("FORMS" of an op, "Mixer" of a
      mixer); files without it are shared helpers.

  Returns:
    file name -> module, sorted.
  """
  found = {}
  for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
    module = importlib.import_module(f"{package}.{info.name}")
    if hasattr(module, marker):
      found[info.name] = module
  return dict(sorted(found.items()))


def member(package: str, marker: str, name: str) -> ModuleType:
  """The module `name` of `package`.

  Raises:
    KeyError: if there is none; the message names the nearest.
  """
  found = members(package, marker)
  if name not in found:
    raise KeyError(f"no {name!r} in {package}: {nearest(name, list(found))}")
  return found[name]
