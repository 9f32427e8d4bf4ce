"""The Markdown of reports as HTML: headings, tables, lists, code, pictures, links.

Reports are written as Markdown once. Only what they use is understood: anything else is
text, and HTML in it is escaped.
"""

import html
import itertools
import re
from collections.abc import Callable, Iterable, Sequence

_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)$")
_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)")
_ALIGNMENT = re.compile(r"\|?(\s*:?-+:?\s*\|?)+$")


def pictures(names: Iterable[str]) -> list[str]:
  """Returns the lines that show pictures below a text.

  Args:
    names: of files in the directory of the text.
  """
  shown = (f"![{name.rsplit('.', 1)[0].replace('_', ' ')}]({name})" for name in names)
  return [line for picture in shown for line in ("", picture)]


def to_html(text: str, picture: Callable[[str, str], str]) -> str:
  """Returns HTML of a report's Markdown.

  Args:
    text: the Markdown.
    picture: (what it shows, its file) -> HTML.
  """
  lines, parts = text.expandtabs(4).splitlines(), []
  for kind, group in itertools.groupby(lines, _kind):
    block = list(group)
    if kind == "table":
      parts.append(_table(block))
    elif kind == "list":
      items = "\n".join(f"<li>{inline(line.strip()[2:])}</li>" for line in block)
      parts.append(f"<ul>\n{items}\n</ul>")
    elif kind == "code":
      code = html.escape("\n".join(line[4:] for line in block))
      parts.append(f"<pre>{code}</pre>")
    elif kind == "heading":
      # the page has the first two levels
      parts += [f"<h3>{inline(line.lstrip('# '))}</h3>" for line in block]
    elif kind == "picture":
      parts += [picture(*_PICTURE.match(line.strip()).groups()) for line in block]
    elif kind == "words":
      parts.append(f"<p>{inline(' '.join(block))}</p>")
  return "\n".join(parts)


def _kind(line: str) -> str:
  """Returns what a line is part of."""
  if not line.strip():
    return ""
  if line.startswith("    "):
    return "code"
  if line.startswith("|"):
    return "table"
  if line.startswith("#"):
    return "heading"
  if line.lstrip().startswith(("- ", "* ")):
    return "list"
  return "picture" if _PICTURE.match(line.strip()) else "words"


def _table(lines: Sequence[str]) -> str:
  rows = [_cells(line) for line in lines if not _ALIGNMENT.match(line)]
  marks = next((_cells(line) for line in lines if _ALIGNMENT.match(line)), [])
  # a column without a colon at its right is of words
  words = [i for i, mark in enumerate(marks) if not mark.endswith(":")]

  def row(cells: list[str], tag: str) -> str:
    shown = (
      f'<{tag} class="left">{inline(cell)}</{tag}>'
      if i in words
      else f"<{tag}>{inline(cell)}</{tag}>"
      for i, cell in enumerate(cells)
    )
    return f"<tr>{''.join(shown)}</tr>"

  head = f"<thead>{row(rows[0], 'th')}</thead>" if any(rows[0]) else ""
  body = "\n".join(row(cells, "td") for cells in rows[1:])
  return f'<div class="wide"><table>{head}\n<tbody>{body}</tbody></table></div>'


def _cells(line: str) -> list[str]:
  cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
  return [cell.strip().replace("\\|", "|") for cell in cells]


def inline(text: str) -> str:
  """Returns HTML of words with `code`, **bold** and [links](to).

  Args:
    text: a line or several.
  """
  parts, end = [], 0
  for match in _INLINE.finditer(text):
    parts.append(html.escape(text[end : match.start()]))
    code, bold, words, to = match.groups()
    if code:
      parts.append(f"<code>{html.escape(code)}</code>")
    elif bold:
      parts.append(f"<strong>{html.escape(bold)}</strong>")
    else:
      parts.append(f'<a href="{html.escape(to)}">{html.escape(words)}</a>')
    end = match.end()
  return "".join([*parts, html.escape(text[end:])])
