"""The file name is the registry: what a package holds is what its files define."""

import ast
import functools
import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

# Names that a hint holds at most: more are a list.
_MOST_HINTS = 3


def nearest(name: str, names: Sequence[str]) -> str:
  """Returns a hint for a misspelt name: what was probably meant, else all names.

  What was meant is what is few slips away (a letter more, less, another, or two that
  changed places): one, and one more for every five letters; else the names of which
  this is a word or the beginning, as `size` is of `window_size`. Of equally near ones
  all are named, unless they are many: a guess would mislead.

  Args:
    name: what was written.
    names: what could have been meant.
  """
  word = _folded(name)
  slips = {other: _slips(word, _folded(other)) for other in names}
  fewest = min(slips.values(), default=0)
  near = [other for other in names if slips[other] == fewest]
  # too far, or no letter in common: a part of a longer name is likelier
  if fewest > 1 + len(word) // 5 or fewest >= len(word):
    near = [other for other in names if word and _is_part(word, _folded(other))]
  if 1 <= len(near) <= _MOST_HINTS:
    return f"did you mean {' or '.join(map(repr, near))}?"
  return f"known: {', '.join(sorted(names))}"


def check_options(names: Iterable[str], known: Sequence[str], owner: str) -> None:
  """Checks the names of options.

  Args:
    names: those that a user gave.
    known: those that there are.
    owner: whose options they are, for the message.

  Raises:
    ValueError: for the first that is not there; names the nearest.
  """
  for name in names:
    if name not in known:
      hint = nearest(name, known) if known else "it has none"
      raise ValueError(f"{owner} has no option {name!r}: {hint}")


def _folded(name: str) -> str:
  return name.casefold().replace("-", "_")


def _is_part(word: str, name: str) -> bool:
  return word in name.split("_") or name.startswith(word)


def _slips(a: str, b: str) -> int:
  """The number of slips between two words.

  Source: Damerau 1964, Communications of the ACM 7(3); two letters that changed places
  count as one slip if they are neighbours.
  """
  # the rows of the table of prefixes of a, against all prefixes of b; two are kept
  before: list[int] = []
  last = list(range(len(b) + 1))
  for i, x in enumerate(a, start=1):
    row = [i]
    for j, y in enumerate(b, start=1):
      row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
      if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
        row[-1] = min(row[-1], before[j - 2] + 1)
    before, last = last, row
  return last[-1]


def options(text: str) -> tuple[str, dict[str, Any]]:
  """Parses `name:option=value:...` into a name and its options.

  A value is a literal of Python's, else a word.

  Args:
    text: the name and its options.

  Raises:
    ValueError: if a part has no equals sign, or an option is named twice.
  """
  name, *pairs = text.strip().split(":")
  values = {}
  for pair in pairs:
    key, equals, value = pair.partition("=")
    if not equals:
      raise ValueError(f"{pair!r} in {text!r} is not of the form option=value")
    key, value = key.strip(), value.strip()
    if key in values:
      raise ValueError(f"{key!r} is given twice in {text!r}: name it once")
    try:
      values[key] = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # nested too deeply
      values[key] = value  # a word, such as form=recurrent
  return name, values


@functools.cache
def members(package: str, marker: str) -> dict[str, ModuleType]:
  """Returns all modules of `package` that define the name `marker`, by file name.

  Args:
    package: dotted name of a package, such as "jaxmem.ops".
    marker: the attribute that makes a file a member ("FORMS" of an op, "Mixer" of a
      mixer); files without it are shared helpers.

  Returns:
    file name -> module, sorted.
  """
  modules = {}
  for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
    module = importlib.import_module(f"{package}.{info.name}")
    if hasattr(module, marker):
      modules[info.name] = module
  return dict(sorted(modules.items()))


def member(package: str, marker: str, name: str) -> ModuleType:
  """Returns the module `name` of `package`.

  Args:
    package: see `members`.
    marker: see `members`.
    name: of the file.

  Raises:
    KeyError: if there is none; the message names the nearest.
  """
  modules = members(package, marker)
  if name not in modules:
    raise KeyError(f"no {name!r} in {package}: {nearest(name, list(modules))}")
  return modules[name]
