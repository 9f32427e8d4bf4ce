"""The exceptions of the data room."""

import importlib

from jaxmem.errors import UserError


class DataError(UserError):
  """A mistake that the user can mend; the message names the thing and the remedy."""


class NotUTF8(DataError):
  """Bytes that a tokenizer of text cannot read.

  Attributes:
    offset: of the first bad byte. Who knows where the bytes came from catches this and
      names the file too.
  """

  def __init__(self, offset: int):
    self.offset = offset
    super().__init__(f"not UTF-8 at byte {offset}: convert it, or use tokenizer 'byte'")


def require(*modules: str, extra: str = "train") -> None:
  """Imports `modules`, which only an extra brings.

  Args:
    modules: top-level module names.
    extra: which.

  Raises:
    DataError: if one is not installed.
  """
  for module in modules:
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise DataError(
        f"this needs {module}, which cannot be imported ({error}): "
        f"pip install 'jaxmem[{extra}]'"
      ) from error
