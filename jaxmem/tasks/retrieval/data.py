"""Documents, queries, and which document answers which query."""

import re
from html import unescape
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import formats, opened, records
from jaxmem.data.bad_records import Tally

_TAGGED = re.compile(r"<(doc|top)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"<(?:doc|top)>", re.IGNORECASE)
# What the last column of a header of judgements is called.
_GRADES = {"score", "relevance", "rel", "grade", "label", "judgment", "judgement"}
_FIELD = re.compile(r"<(docno|num|title|text)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


# The highest grade: trec_eval needs memory for every grade up to it.
MOST = 1_000_000


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
    relevant: query -> its relevant documents by id, each with its grade, above 0, as
      the judgements have it, also of documents that the collection lacks; queries
      without any are left out.
  """

  documents: list[Passage]
  queries: list[Passage]
  relevant: dict[str, dict[str, int]]


def passages(
  source: str, hint: str, encoding: str = "utf-8", text: str = ""
) -> list[Passage]:
  """Documents or queries of a file; ones without title and text are left out.

  Args:
    source: records with "id" (or "_id"), "text" and perhaps "title", of which one may
      be empty, see `data.records`; a table without a header has ids and texts in its
      columns; or XML as TREC has it, <doc> with <docno>, <title> and <text>, <top> with
      <num> and <title>.
    hint: where such data can be had.
    encoding: of a file without a byte-order mark.
    text: the field of a record that is all of its text, or a template of several;
      empty is "text" behind "title".

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  seen: set[str] = set()

  def once(where: str, passage: Passage) -> Passage:
    if passage.name in seen:
      raise DataError(
        f"{where} has the id {passage.name!r} more than once: leave one out"
      )
    seen.add(passage.name)
    return passage

  if _is_tagged(source, hint, encoding):
    if text:
      raise DataError(f"{source} is XML, which has no field {text!r}: leave it empty")
    found = [once(source, passage) for passage in _tagged(source, encoding)]
  else:
    make = lambda record: once(record.where, _passage(record, text))
    found = records.collect(source, make, hint, encoding)
  found = [p for p in found if p.whole.strip()]
  if not found:
    raise DataError(f"{source} has no text")
  return found


def judgements(source: str, hint: str) -> dict[str, dict[str, int]]:
  """Query -> relevant documents with their grades.

  Lines have four columns as TREC has them, query, iteration, document and grade, or
  three, query, document and grade, apart by tabs or spaces; a header is passed over. A
  grade is a whole number; what is graded 0 or less is not relevant and left out.

  Raises:
    DataError: names the file, the line, and what is wrong.
  """
  grades: dict[str, dict[str, int]] = {}
  tally = Tally(source)
  file = opened.Member(records.located(source, hint))
  for number, line, fault in records.lines(file):
    where = f"{source} line {number}"
    if not line.strip() and not fault:
      continue
    cells = _cells(line)
    if not grades and cells[-1].strip().lower() in _GRADES:
      continue
    try:
      if fault:
        raise DataError(fault)
      query, document, grade = _judgement(cells, line, where)
      if grades.setdefault(query, {}).setdefault(document, grade) != grade:
        raise DataError(
          f"{where} grades document {document!r} of query {query!r} {grade}, an "
          f"earlier line {grades[query][document]}: leave one out"
        )
    except DataError as error:
      tally.bad(where, error)
      continue
    tally.good()
  tally.close()
  relevant = {
    query: {name: grade for name, grade in own.items() if grade > 0}
    for query, own in grades.items()
  }
  return {query: own for query, own in relevant.items() if own}


def _cells(line: str) -> list[str]:
  """The columns of a line; ids may have spaces where tabs are between them."""
  cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
  return cells if len(cells) in (3, 4) else line.split() or [""]


def _judgement(cells: list[str], line: str, where: str) -> tuple[str, str, int]:
  whole = re.fullmatch(r"([-+]?\d{1,9})(\.0*)?", cells[-1], re.ASCII)
  if len(cells) not in (3, 4) or not whole or not all(cells):
    raise DataError(
      f"{where} is {line[:80]!r}: a query, a number, a document and its relevance (a "
      "whole number) expected, or these without the number"
    )
  if abs(grade := int(whole[1])) > MOST:
    raise DataError(f"{where} has the grade {grade:,}: at most {MOST:,}; mend it")
  return cells[0], cells[-2], grade


def collection(
  documents: str,
  queries: str,
  relevant: str,
  by_order: bool,
  hint: str,
  texts: tuple[str, str] = ("", ""),
) -> Judged:
  """A collection of three files.

  Args:
    documents: see `passages`.
    queries: see `passages`.
    relevant: see `judgements`.
    by_order: the judgements number queries 1, 2, ... in the order of their file and not
      by their ids: Cranfield's do.
    hint: where such data can be had.
    texts: the fields of documents and of queries, see `passages`.

  Raises:
    DataError: if a judgement is of a query that is not there, or none is left.
  """
  asked = passages(queries, hint, text=texts[1])
  if by_order:
    asked = [q._replace(name=str(n)) for n, q in enumerate(asked, start=1)]
  judged = judgements(relevant, hint)
  unknown = set(judged) - {q.name for q in asked}
  if unknown:
    raise DataError(
      f"{relevant} judges query {min(unknown)!r}, which {queries} has not: is it "
      "counted by order (task.by_order)?"
    )
  held = passages(documents, hint, text=texts[0])
  names = {d.name for d in held}
  asked = [q for q in asked if q.name in judged]
  if not any(names & judged[q.name].keys() for q in asked):
    raise DataError(f"{relevant} judges no document of {documents} relevant")
  return Judged(held, asked, judged)


def _passage(record: records.Record, text: str = "") -> Passage:
  fields = record.fields
  if "1" in fields and "2" in fields and "id" not in fields:  # without a header
    fields = {"id": fields["1"], "text": fields["2"], "title": fields.get("3", "")}
  name = fields.get("id", fields.get("_id", ""))
  if type(name) not in (str, int) or name == "":
    raise DataError(f'{record.where}: an "id", a "text" and perhaps a "title" expected')
  name = records.checked(str(name), f"{record.where}: its id")
  if text:
    return Passage(name, "", record.text(text).strip())
  if "text" not in fields and not fields.get("title"):
    record.text("text")  # says which fields there are
  title, text = (
    records.checked(fields.get(key) or "", f"{record.where}: field {key!r}").strip()
    for key in ("title", "text")
  )
  return Passage(name, title, text)


def _is_tagged(source: str, hint: str, encoding: str) -> bool:
  """Whether a file is of XML: its first character that is no space is `<`."""
  file = records.single(source, hint)
  if file is None:
    return False
  with opened.stream(file, encoding) as data:
    return data.read(formats.HEAD).lstrip().startswith(b"<")


def _tagged(source: str, encoding: str) -> list[Passage]:
  text, found = opened.text(source, encoding), []
  entries = _TAGGED.findall(text)
  if len(entries) < len(_OPENING.findall(text)):
    raise DataError(f"{source} has a <doc> or <top> that is never closed: mend it")
  for _, body in entries:
    fields = {k.lower(): " ".join(unescape(v).split()) for k, v in _FIELD.findall(body)}
    name = fields.get("docno", fields.get("num"))
    if name is None:
      raise DataError(f"{source} has an entry without <docno> or <num>: {body[:60]!r}")
    found.append(Passage(name, fields.get("title", ""), fields.get("text", "")))
  return found
