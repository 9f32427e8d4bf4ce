"""One HTML page from pictures, tables and text, with the images embedded in it."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.3rem; }
h2 { font-size: 1.15rem; margin-top: 2.4rem; border-bottom: 1px solid #ddd; }
p { max-width: 46rem; }
img { max-width: 100%; display: block; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.87rem; margin: 0.8rem 0; }
th, td { padding: 0.18rem 0.8rem 0.18rem 0; border-bottom: 1px solid #eee;
  text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .facts td { text-align: left; }
pre { background: #f6f6f4; padding: 0.7rem; max-height: 15rem; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8rem; }
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
  """

  title: str
  words: Sequence[str]
  pictures: Sequence[Path] = ()
  table: Table | None = None


def render(title: str, facts: Table, text: str, sections: Sequence[Section]) -> str:
  """Returns the page as HTML.

  Args:
    title: the title of the page.
    facts: the model and the text, as a table of two columns.
    text: the text that was read.
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
<h2>The text</h2>
<pre>{html.escape(text)}</pre>
{body}
</body>
</html>
"""


def _section(section: Section) -> str:
  parts = [f"<section>\n<h2>{html.escape(section.title)}</h2>"]
  parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
  parts += [_image(path) for path in section.pictures]
  if section.table is not None:
    parts.append(_table(section.table))
  return "\n".join([*parts, "</section>"])


def _image(path: Path) -> str:
  # a data URL keeps the page one file, which can be sent
  data = base64.b64encode(path.read_bytes()).decode()
  alt = html.escape(path.stem.replace("_", " "))
  return f'<img alt="{alt}" src="data:image/png;base64,{data}">'


def _table(table: Table) -> str:
  # a table of facts has empty headings, and no head
  head = f"<thead>{_row('th', table.header)}</thead>" if any(table.header) else ""
  rows = "\n".join(_row("td", cells) for cells in table.rows)
  return f"<table>{head}\n<tbody>{rows}</tbody></table>"


def _row(tag: str, cells: Sequence[object]) -> str:
  text = "".join(f"<{tag}>{html.escape(cell(c))}</{tag}>" for c in cells)
  return f"<tr>{text}</tr>"


def cell(value: object) -> str:
  """Returns a float in three digits, an integer in full, anything else as a str."""
  if isinstance(value, float):  # three digits, but never an exponent for thousands
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
  return f"{value:,}" if isinstance(value, int) else str(value)
