"""One record of a file, and the texts of its fields."""

from typing import Any, NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import template


class Record(NamedTuple):
  """One record of a file.

  Attributes:
    where: the file and the line, for messages.
    fields: the record's values by the names of its fields.
    fault: what is wrong with the whole record; empty if nothing is.
  """

  where: str
  fields: dict[str, Any]
  fault: str = ""

  def text(self, name: str) -> str:
    """Returns the text of a field, or of a template of several.

    Raises:
      DataError: if a field is missing, is no text, or leaves the text empty.
    """
    if template.is_template(name) and name not in self.fields:
      value = template.fill(name, self._field)
    else:
      value = self._field(name)
    if not value.strip():
      raise DataError(f"{self.where}: field {name!r} is empty: leave the record out")
    return value

  def _field(self, name: str) -> str:
    if name not in self.fields:
      names = ", ".join(map(str, self.fields)) or "none"
      raise DataError(f"{self.where} has no field {name!r}, only {names}")
    return checked(self.fields[name], f"{self.where}: field {name!r}")


def checked(value: Any, where: str) -> str:
  """Returns a value that must be text.

  Args:
    value: the value.
    where: what messages call it.

  Raises:
    DataError: if it has another type, or holds half of a surrogate pair.
  """
  if not isinstance(value, str):
    raise DataError(f"{where} is {short(value)}, which is no text")
  try:
    value.encode()
  except UnicodeEncodeError as error:
    raise DataError(f"{where} holds half of a surrogate pair: no text") from error
  return value


def short(value: Any) -> str:
  """Returns the repr of a value, cut for a message."""
  text = repr(value)
  return text if len(text) <= 80 else f"{text[:76]} ..."
