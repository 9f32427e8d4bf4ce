"""One HTML page from pictures, tables and text, with the images embedded in it.

A page fetches nothing, so that it opens anywhere; it follows the reader's light or dark
setting, and fits the width of a phone.
"""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxmem.runtime import markdown

_STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --line: #ddd;
  --code: #f5f5f2; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --page: #16181b;
  --line: #3a3d42; --code: #22252a; --link: #8ab8ee; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--page); max-width: 48rem; margin: 1.5rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin-bottom: 0.3rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
a { color: var(--link); }
img { width: 100%; max-width: 34rem; display: block; margin: 0.8rem 0;
  background: #fff; border-radius: 4px; }
.wide { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.87rem; overflow-wrap: normal; }
th, td { padding: 0.18rem 0.8rem 0.18rem 0; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .facts td, .left { text-align: left; }
.facts td:first-child { white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
pre { background: var(--code); padding: 0.7rem; max-height: 24rem; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8rem; }
code { background: var(--code); }
summary { cursor: pointer; font-weight: 600; }
"""


class Table(NamedTuple):
  """Rows under a header; the first column names them."""

  header: tuple[str, ...]
  rows: Sequence[tuple]


class Section(NamedTuple):
  """A part of the page, under its own heading.

  Attributes:
    title: its heading.
    words: paragraphs that say how to read it.
    pictures: PNG files.
    table: the numbers; None shows none.
    code: a text that is shown as it is.
    folded: whether the reader opens it.
    written: Markdown, and the directory of its pictures; see `markdown.to_html`.
  """

  title: str
  words: Sequence[str] = ()
  pictures: Sequence[Path] = ()
  table: Table | None = None
  code: str = ""
  folded: bool = False
  written: tuple[str, Path] | None = None


def render(title: str, facts: Table, sections: Sequence[Section]) -> str:
  """Returns the page as HTML.

  Args:
    title: the title of the page.
    facts: what the page is about, as a table of two columns.
    sections: the sections from top to bottom.
  """
  body = "\n".join(map(_section, sections))
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<div class="facts">{_table(facts)}</div>
{body}
</body>
</html>
"""


def _section(section: Section) -> str:
  title = html.escape(section.title)
  parts = [f"<p>{html.escape(words)}</p>" for words in section.words]
  if section.written:
    text, folder = section.written
    parts.append(markdown.to_html(text, lambda alt, name: image(folder / name, alt)))
  if section.code:
    parts.append(f"<pre>{html.escape(section.code)}</pre>")
  parts += [image(path) for path in section.pictures]
  if section.table is not None:
    parts.append(_table(section.table))
  body = "\n".join(parts)
  if section.folded:
    body = f"<details>\n<summary>Show</summary>\n{body}\n</details>"
  return f"<section>\n<h2>{title}</h2>\n{body}\n</section>"


def image(path: str | Path, alt: str = "") -> str:
  """Returns a picture as HTML; one that is not there is its name.

  Args:
    path: of a PNG.
    alt: what it shows; "" is the name of the file.
  """
  path = Path(path)
  alt = html.escape(alt or path.stem.replace("_", " "))
  if not path.is_file():
    return f"<p>{alt}</p>"
  # a data URL keeps the page one file, which can be sent
  data = base64.b64encode(path.read_bytes()).decode()
  return f'<img alt="{alt}" src="data:image/png;base64,{data}">'


def _table(table: Table) -> str:
  # a table of facts has empty headings, and no head
  head = f"<thead>{_row('th', table.header)}</thead>" if any(table.header) else ""
  rows = "\n".join(_row("td", cells) for cells in table.rows)
  return f'<div class="wide"><table>{head}\n<tbody>{rows}</tbody></table></div>'


def _row(tag: str, cells: Sequence[object]) -> str:
  text = "".join(f"<{tag}>{html.escape(cell(c))}</{tag}>" for c in cells)
  return f"<tr>{text}</tr>"


def cell(value: object) -> str:
  """Returns a float in three digits, an integer in full, anything else as a str."""
  if isinstance(value, float):  # three digits, but never an exponent for thousands
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
  return f"{value:,}" if isinstance(value, int) else str(value)
