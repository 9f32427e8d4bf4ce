"""Collections for retrieval: documents, queries and judgements of relevance."""

import re
from html import unescape
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import formats, opened, records
from jaxmem.data.bad_records import Tally

_TAGGED = re.compile(r"<(doc|top)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"<(?:doc|top)>", re.IGNORECASE)
# Names of the last column in a header of judgements.
_GRADES = {"score", "relevance", "rel", "grade", "label", "judgment", "judgement"}
_FIELD = re.compile(r"<(docno|num|title|text)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


# The highest grade, because trec_eval needs memory for all grades up to the highest.
MOST = 1_000_000


class Passage(NamedTuple):
  """A document, or a query.

  Attributes:
    name: its id.
    title: its title; may be empty.
    text: its text, without the title.
  """

  name: str
  title: str
  text: str

  @property
  def full_text(self) -> str:
    """The title and the text, without the title if the text begins with it."""
    if not self.title or self.text.startswith(self.title):
      return self.text or self.title
    return f"{self.title} {self.text}".strip()


class Judged(NamedTuple):
  """A collection of documents and judged queries.

  Attributes:
    documents: all documents.
    queries: the queries that have a relevant document.
    relevant: query -> document -> grade, above 0, by their ids, as the judgements state
      them, also of documents that the collection lacks.
  """

  documents: list[Passage]
  queries: list[Passage]
  relevant: dict[str, dict[str, int]]


def passages(
  source: str, hint: str, encoding: str = "utf-8", text: str = ""
) -> list[Passage]:
  """Reads documents or queries; those without title and text are left out.

  Args:
    source: records with "id" (or "_id"), "text" and perhaps "title", of which one may
      be empty, see `data.records`; a table without a header has ids and texts in its
      columns; or XML of TREC's form, <doc> with <docno>, <title> and <text>, <top> with
      <num> and <title>.
    hint: where such data can be had, for messages.
    encoding: the encoding of a file without a byte-order mark.
    text: the field of a record that is all of its text, or a template of several;
      empty reads "title" and "text".

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
    entries = [once(source, passage) for passage in _tagged(source, encoding)]
  else:

    def make(record: records.Record) -> Passage:
      return once(record.where, _passage(record, text))

    entries = records.collect(source, make, hint, encoding)
  entries = [passage for passage in entries if passage.full_text.strip()]
  if not entries:
    raise DataError(f"{source} has no text")
  return entries


def judgements(source: str, hint: str) -> dict[str, dict[str, int]]:
  """Reads judgements as query -> relevant document -> grade.

  Lines have TREC's four columns, query, iteration, document and grade, or three, query,
  document and grade, separated by tabs or spaces; a header is skipped. A grade is a
  whole number; documents graded 0 or less are not relevant and left out.

  Args:
    source: the file.
    hint: where such data can be had, for messages.

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
    # a header, before the first judgement
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
    query: {name: grade for name, grade in documents.items() if grade > 0}
    for query, documents in grades.items()
  }
  return {query: documents for query, documents in relevant.items() if documents}


def _cells(line: str) -> list[str]:
  """Splits a line into columns, at tabs if there are enough, else at spaces."""
  # ids may have spaces where tabs separate the columns
  cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
  return cells if len(cells) in (3, 4) else line.split() or [""]


def _judgement(cells: list[str], line: str, where: str) -> tuple[str, str, int]:
  """Returns the query, the document and the grade of a line."""
  number = re.fullmatch(r"([-+]?\d{1,9})(\.0*)?", cells[-1], re.ASCII)
  if len(cells) not in (3, 4) or not number or not all(cells):
    raise DataError(
      f"{where} is {line[:80]!r}: a query, a number, a document and its relevance (a "
      "whole number) expected, or these without the number"
    )
  if abs(grade := int(number[1])) > MOST:
    raise DataError(f"{where} has the grade {grade:,}: at most {MOST:,} expected")
  return cells[0], cells[-2], grade


def collection(
  documents: str,
  queries: str,
  relevant: str,
  by_order: bool,
  hint: str,
  texts: tuple[str, str] = ("", ""),
) -> Judged:
  """Reads a collection of three files.

  Args:
    documents: the source of documents, see `passages`.
    queries: the source of queries, see `passages`.
    relevant: the source of judgements, see `judgements`.
    by_order: whether the judgements number queries 1, 2, ... in the order of their file
      instead of naming their ids, as those of Cranfield do.
    hint: where such data can be had, for messages.
    texts: the fields of documents and of queries, see `passages`.

  Raises:
    DataError: if a judgement is of a query that does not exist, or none is left.
  """
  questions = passages(queries, hint, text=texts[1])
  if by_order:
    questions = [q._replace(name=str(n)) for n, q in enumerate(questions, start=1)]
  judged = judgements(relevant, hint)
  unknown = set(judged) - {q.name for q in questions}
  if unknown:
    raise DataError(
      f"{relevant} judges query {min(unknown)!r}, which {queries} has not: is it "
      "counted by order (task.by_order)?"
    )
  collected = passages(documents, hint, text=texts[0])
  names = {d.name for d in collected}
  questions = [q for q in questions if q.name in judged]
  if not any(names & judged[q.name].keys() for q in questions):
    raise DataError(f"{relevant} judges no document of {documents} relevant")
  return Judged(collected, questions, judged)


def _passage(record: records.Record, text: str = "") -> Passage:
  """Makes the document or query of a record; see `passages` for `text`."""
  fields = record.fields
  # a table without a header names its columns 1, 2, 3
  if "1" in fields and "2" in fields and "id" not in fields:
    fields = {"id": fields["1"], "text": fields["2"], "title": fields.get("3", "")}
  name = fields.get("id", fields.get("_id", ""))
  if type(name) not in (str, int) or name == "":
    raise DataError(f'{record.where}: an "id", a "text" and perhaps a "title" expected')
  name = records.checked(str(name), f"{record.where}: its id")
  if text:
    return Passage(name, "", record.text(text).strip())
  if "text" not in fields and not fields.get("title"):
    record.text("text")  # raises the error that names the fields of the record
  title, text = (
    records.checked(fields.get(key) or "", f"{record.where}: field {key!r}").strip()
    for key in ("title", "text")
  )
  return Passage(name, title, text)


def _is_tagged(source: str, hint: str, encoding: str) -> bool:
  """Whether a file is XML: its first character that is no space is `<`."""
  file = records.single(source, hint)
  if file is None:
    return False
  with opened.stream(file, encoding) as data:
    return data.read(formats.HEAD).lstrip().startswith(b"<")


def _tagged(source: str, encoding: str) -> list[Passage]:
  """Reads the documents or queries of an XML file."""
  text, result = opened.text(source, encoding), []
  # no parser of XML reads TREC's files: they have no root element
  entries = _TAGGED.findall(text)
  if len(entries) < len(_OPENING.findall(text)):
    raise DataError(f"{source} has a <doc> or <top> that is never closed: close it")
  for _, body in entries:
    fields = {k.lower(): " ".join(unescape(v).split()) for k, v in _FIELD.findall(body)}
    name = fields.get("docno", fields.get("num"))
    if name is None:
      raise DataError(f"{source} has an entry without <docno> or <num>: {body[:60]!r}")
    result.append(Passage(name, fields.get("title", ""), fields.get("text", "")))
  return result
