"""Packages that only an extra brings."""

import importlib

from jaxmem.core.errors import DataError


def require(*modules: str, extra: str = "train") -> None:
  """Imports `mixers`, which only an extra brings.

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
