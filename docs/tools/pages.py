"""All that is generated: pages, pictures, and the entries of the navigation."""

import functools
from pathlib import Path
from typing import Any

from docs.tools import layers, reference, results

DOCS = Path(__file__).parents[1]
MARK = "GENERATED"
# The folder of a list of pages -> the part that completes it.
_PARTS = {"layers": layers, "api": reference, "results": results}


@functools.cache
def generated() -> dict[str, str | bytes]:
  """Returns path in the site -> content, of all that has no file in docs/."""
  return layers.pages() | reference.pages() | results.pages()


def completed(nav: list) -> list:
  """Returns the navigation with its generated parts, without pages that do not exist.

  Args:
    nav: as mkdocs.yml has it.
  """
  entries: list[Any] = []
  for entry in nav:
    if entry == MARK:
      folder = Path(nav[0]).parent.name
      entries += _PARTS[folder].navigation() if folder in _PARTS else _written(folder)
    elif isinstance(entry, str):
      entries += [entry] if _exists(entry) else []
    else:
      ((title, target),) = entry.items()
      if isinstance(target, list):
        entries.append({title: completed(target)})
      elif _exists(target):
        entries.append(entry)
  return entries


def _exists(uri: str) -> bool:
  return (DOCS / uri).is_file() or uri in generated()


def _written(folder: str) -> list[str]:
  """The pages of a folder of docs/, without its index."""
  pages = sorted((DOCS / folder).glob("*.md"))
  return [f"{folder}/{page.name}" for page in pages if page.stem != "index"]
