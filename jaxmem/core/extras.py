"""Packages that only an extra installs; each is imported where it is needed."""

import importlib

from jaxmem.core.errors import DataError


def require(*modules: str, extra: str = "train") -> None:
  """Imports modules that only an extra installs.

  Args:
    modules: top-level module names.
    extra: that installs them.

  Raises:
    DataError: if one cannot be imported; the message names the extra.
  """
  for module in modules:
    try:
      importlib.import_module(module)
    except ImportError as error:  # also raised by an installed one that is broken
      raise DataError(
        f"this needs {module}, which cannot be imported ({error}): "
        f"pip install 'jaxmem[{extra}]'"
      ) from error
