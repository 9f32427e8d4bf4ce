"""The one exception of the data room."""

import importlib

from jaxmem.errors import UserError


class DataError(UserError):
  """A mistake that the user can mend; the message names the thing and the remedy."""


def require(*modules: str) -> None:
  """Imports `modules`, which only the `train` extra brings.

  Args:
    modules: top-level module names.

  Raises:
    DataError: if one is not installed.
  """
  for module in modules:
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise DataError(
        f"the data pipeline needs {module}, which cannot be imported ({error}): "
        "pip install 'jaxmem[train]'"
      ) from error
