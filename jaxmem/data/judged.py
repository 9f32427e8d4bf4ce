"""Documents, queries, and which document answers which query."""

import re
from html import unescape
from pathlib import Path
from typing import NamedTuple

from jaxmem.data import records
from jaxmem.data.errors import DataError

_TAGGED = re.compile(r"<(doc|top)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_FIELD = re.compile(r"<(docno|num|title|text)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


class Passage(NamedTuple):
  """A document, or a query.

  Attributes:
    name: its id.
    title: perhaps empty.
    text: behind the title.
  """

  name: str
  title: str
  text: str

  @property
  def whole(self) -> str:
    """Title and text; a text that begins with its title says it once."""
    if not self.title or self.text.startswith(self.title):
      return self.text or self.title
    return f"{self.title} {self.text}".strip()


class Judged(NamedTuple):
  """A collection.

  Attributes:
    documents: all of them.
    queries: all of them.
    relevant: query -> its relevant documents, by id; queries without any are left out.
  """

  documents: list[Passage]
  queries: list[Passage]
  relevant: dict[str, set[str]]


def passages(source: str, hint: str, encoding: str = "utf-8") -> list[Passage]:
  """Documents or queries of a file; ones without text are left out.

  Args:
    source: records with "id", "text" and perhaps "title", see `data.records`; or XML as
      TREC has it, <doc> with <docno>, <title> and <text>, <top> with <num> and <title>.
    hint: where such data can be had.
    encoding: of the file.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  if re.search(r"\.xml(\.gz)?$", source):
    found = _tagged(source, hint, encoding)
  else:
    found = [_passage(r) for r in records.read(source, hint, encoding)]
  names = [p.name for p in found]
  if len(set(names)) < len(names):
    twice = next(n for n in names if names.count(n) > 1)
    raise DataError(f"{source} has the id {twice!r} more than once")
  found = [p for p in found if p.whole.strip()]
  if not found:
    raise DataError(f"{source} has no text")
  return found


def judgements(source: str, hint: str) -> dict[str, set[str]]:
  """Query -> relevant documents, of lines "query iteration document relevance".

  A relevance above 0 is relevant.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  path = Path(source).expanduser()
  if not path.exists():
    raise DataError(f"no file {source!r}: {hint}")
  found: dict[str, set[str]] = {}
  for number, line in enumerate(records.content(path).splitlines(), start=1):
    words = records.decoded(line, source, "utf-8").split()
    if not words:
      continue
    if len(words) != 4 or not re.fullmatch(r"-?\d+", words[3]):
      raise DataError(
        f"{source} line {number} is {line!r}: a query, a number, a document and its "
        "relevance expected"
      )
    if int(words[3]) > 0:
      found.setdefault(words[0], set()).add(words[2])
  return found


def collection(
  documents: str, queries: str, relevant: str, by_order: bool, hint: str
) -> Judged:
  """A collection of three files.

  Args:
    documents: see `passages`.
    queries: see `passages`.
    relevant: see `judgements`.
    by_order: the judgements number queries 1, 2, ... in the order of their file and not
      by their ids: Cranfield's do.
    hint: where such data can be had.

  Raises:
    DataError: if a judgement is of a query that is not there, or none is left.
  """
  asked = passages(queries, hint)
  if by_order:
    asked = [q._replace(name=str(n)) for n, q in enumerate(asked, start=1)]
  judged = judgements(relevant, hint)
  unknown = set(judged) - {q.name for q in asked}
  if unknown:
    raise DataError(
      f"{relevant} judges query {min(unknown)!r}, which {queries} has not: is it "
      "counted by order (data.by_order)?"
    )
  held = passages(documents, hint)
  names = {d.name for d in held}
  judged = {q: some & names for q, some in judged.items() if some & names}
  asked = [q for q in asked if q.name in judged]
  if not asked:
    raise DataError(f"{relevant} judges no document of {documents}")
  return Judged(held, asked, judged)


def _passage(record: records.Record) -> Passage:
  name, title = (record.fields.get(key, "") for key in ("id", "title"))
  if not isinstance(name, str | int) or name == "" or not isinstance(title, str):
    raise DataError(f'{record.where}: an "id", a "text" and perhaps a "title" expected')
  return Passage(str(name), title.strip(), record.text("text").strip())


def _tagged(source: str, hint: str, encoding: str) -> list[Passage]:
  path = Path(source).expanduser()
  if not path.exists():
    raise DataError(f"no file {source!r}: {hint}")
  text, found = records.decoded(records.content(path), source, encoding), []
  for _, body in _TAGGED.findall(text):
    fields = {k.lower(): " ".join(unescape(v).split()) for k, v in _FIELD.findall(body)}
    name = fields.get("docno", fields.get("num"))
    if name is None:
      raise DataError(f"{source} has an entry without <docno> or <num>: {body[:60]!r}")
    found.append(Passage(name, fields.get("title", ""), fields.get("text", "")))
  return found
