"""Pairs of texts from files: a text to read, and one to write or several references."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import opened, records, template
from jaxmem.data.bad_records import Tally


class Pair(NamedTuple):
  """A source text and its targets.

  Attributes:
    source: the text to read.
    targets: the texts to write: the first one is learned, all are references.
    where: the file and line, for messages.
  """

  source: str
  targets: tuple[str, ...]
  where: str


def read(
  source: str, fields: tuple[str, str], hint: str, encoding: str = "utf-8"
) -> list[Pair]:
  """Returns the pairs of a source, in order.

  Args:
    source: files of as many lines, A,B or A,B,C,... (each may be packed), of which C
      and later ones are further references; or a file with the fields below, see
      `data.records`. A list of texts to read is joined by spaces; a list of targets are
      several references; blank ones of a list are left out.
    fields: the text to read, and that to write, or several of references apart by
      commas. A record needs the first; the others may be missing or blank in it.
    hint: where such data can be found, for messages.
    encoding: encoding of the files.

  Raises:
    DataError: if a file is missing or a record is bad; names file, line and fault.
  """
  files = source.split(",")
  if len(files) > 1:
    pairs = _parallel(files, hint, encoding)
  else:
    make = _Maker(*fields)
    pairs = records.collect(source, make, hint, encoding)
    make.check(source)
  if not pairs:
    raise DataError(f"{source} has no pair of texts")
  return pairs


def _parallel(names: Sequence[str], hint: str, encoding: str) -> list[Pair]:
  """Reads files of as many lines: sources, targets, and further references."""
  sides = []
  for name in names:
    lines = records.lines(opened.Member(records.located(name, hint)), encoding)
    sides.append([(text.strip(), fault) for _, text, fault in lines])
    if len(sides[-1]) != len(sides[0]):
      raise DataError(
        f"{names[0]} has {len(sides[0]):,} lines and {name} {len(sides[-1]):,}: line n "
        "of one must be that of the other"
      )
  pairs, tally = [], Tally(",".join(names))
  for n, lines in enumerate(zip(*sides, strict=True), start=1):
    where = f"{names[0]} line {n}"
    try:
      for i, (text, fault) in enumerate(lines):
        if fault:
          raise DataError(fault)
        if not text and i < 2:  # a further reference may be missing
          raise DataError(f"{names[i]} line {n} is empty: leave it out of all files")
    except DataError as error:
      tally.bad(where, error)
      continue
    tally.good()
    targets = tuple(text for text, _ in lines[1:] if text)
    pairs.append(Pair(lines[0][0], targets, where))
  tally.close()
  return pairs


def text(record: records.Record, name: str) -> str:
  """Returns the text of a field; a list of texts is joined by spaces.

  Args:
    record: the record.
    name: name of the field.

  Raises:
    DataError: if the field has no text.
  """
  return " ".join(_texts(record, name))


def references(write: str) -> list[str]:
  """Returns the fields that `task.write` names, the first of which is learned."""
  if template.is_template(write):
    return [write]
  return [name.strip() for name in write.split(",")]


class _Maker:
  """Makes pairs of records whose references are in one field or several."""

  def __init__(self, source: str, target: str):
    self._source, self._target = source, target
    self._names = references(target)
    self._unseen = set(self._names[1:])  # fields that no record has had yet

  def __call__(self, record: records.Record) -> Pair:
    names = self._names
    if self._target in record.fields:  # a field whose name has commas
      names, self._unseen = [self._target], set()
    self._unseen.difference_update(record.fields)
    targets = _texts(record, names[0])
    for name in names[1:]:
      if not _is_blank(record.fields.get(name)):
        targets += _texts(record, name)
    return Pair(text(record, self._source), tuple(targets), record.where)

  def check(self, source: str) -> None:
    """Raises DataError if no record has a field of references."""
    if self._unseen:
      name = min(self._unseen)
      fault = f"no record of {source} has the field {name!r}, which task.write names"
      raise DataError(f"{fault}: correct it, or leave it out")


def _is_blank(value: Any) -> bool:
  """Returns whether a field holds no text: null, a blank one, or a list of such."""
  values = value if isinstance(value, list) else [value]
  return all(v is None or (isinstance(v, str) and not v.strip()) for v in values)


def _texts(record: records.Record, name: str) -> list[str]:
  """Returns the text of a field, or the texts of its list that are not blank."""
  value = record.fields.get(name)
  if not isinstance(value, list):
    return [record.text(name).strip()]
  where = f"{record.where}: field {name!r}"
  texts = [records.checked(v, f"{where}: a text of the list").strip() for v in value]
  if not any(texts):
    raise DataError(f"{where} is {value!r}: texts expected")
  return [text for text in texts if text]
