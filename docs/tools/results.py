"""The recorded results and the documents of the repository, as pages of the site."""

import re
from pathlib import Path
from typing import Any

from docs.tools.sources import table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)\)")


def pages() -> dict[str, str | bytes]:
  """Returns path -> content: results/ as it stands, CONTRIBUTING and CHANGELOG."""
  out: dict[str, str | bytes] = {"results/index.md": _index()}
  for path in sorted(RESULTS.rglob("*")):
    if path.is_file() and path.suffix in (".md", ".png", ".csv", ".json"):
      uri = f"results/{path.relative_to(RESULTS)}"
      out[uri] = path.read_text() if path.suffix == ".md" else path.read_bytes()
  out["contributing.md"] = _of_root("CONTRIBUTING.md")
  out["changelog.md"] = _of_root("CHANGELOG.md")
  return out


def navigation() -> list[dict[str, Any]]:
  """Returns an entry for every page of results."""
  return [{_title(p): f"results/{p.relative_to(RESULTS)}"} for p in _reports()]


def _reports() -> list[Path]:
  return sorted(RESULTS.rglob("*.md"))


def _title(path: Path) -> str:
  """The heading of a report, else its path."""
  first = path.read_text().split("\n")[0]
  if first.startswith("# "):
    return first[2:].strip()
  return str(path.relative_to(RESULTS).with_suffix(""))


def _index() -> str:
  rows = [[f"[{_title(p)}]({p.relative_to(RESULTS)})"] for p in _reports()]
  return (
    "# Results\n\nEvery page names the command that printed it. A note at its top says "
    "where the code has changed since.\n\n" + table(["report"], rows) + "\n"
  )


def _of_root(name: str) -> str:
  """A document of the repository's root, its links as they are in the site."""
  return _LINK.sub(_moved, (ROOT / name).read_text())


def _moved(match: re.Match) -> str:
  text, target = match.groups()
  if target.startswith(("http:", "https:", "mailto:")):
    return match[0]
  if target.startswith("docs/"):
    return f"[{text}]({target.removeprefix('docs/')})"
  if target.startswith("results/"):
    return match[0]
  return f"`{target}`"  # code: it is no page of the site
