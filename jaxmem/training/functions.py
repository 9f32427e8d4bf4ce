"""Functions that a config names: those of Optax by name, or one of the user's own.

    find("optim.optimizer", "lion:b1=0.95", {"lion": optax.lion})  # optax.lion, {...}

A Python config may hold a function itself. A saved run keeps the function's name, and
nothing is ever imported by it: a caller who resumes the run gives the function again.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxmem.core.errors import ConfigError, raised_as, reason
from jaxmem.core.registry import check_options, nearest, options


class Function(str):
  """The dotted name of a function of a Python config, together with the function.

  Attributes:
    function: the function itself.
  """

  function: Callable

  def __new__(cls, function: Callable) -> "Function":
    """Makes the name by which a run is saved.

    Raises:
      ConfigError: if the function has no name by which it could be given again.
    """
    name = getattr(function, "__qualname__", "")
    if not name or "<" in name:
      raise ConfigError(
        f"{function!r} has no name to save a run by: give a function that `def` "
        "defines in a file"
      )
    self = super().__new__(cls, f"{function.__module__}.{name}")
    self.function = function
    return self

  def __getnewargs__(self) -> tuple[Callable]:
    # copies and pickles call `__new__` again, which takes the function, not the text
    return (self.function,)


def named(value: Any) -> Any:
  """Wraps a function as the `Function` that a config holds; other values pass."""
  return Function(value) if callable(value) else value


def find(
  key: str, text: str, functions: Mapping[str, Callable]
) -> tuple[Callable, dict[str, Any]]:
  """Looks up the function that a config names, and parses its options.

  Args:
    key: the key of the config, for messages.
    text: `name:option=value:...`, or a `Function`.
    functions: the functions by name.

  Returns:
    The function, and its keyword arguments as the text gives them.

  Raises:
    ConfigError: if there is no such function, or it has no such option; names the
      nearest.
  """
  if isinstance(text, Function):
    return text.function, {}
  with raised_as(ConfigError, f"{key}: "):
    name, kwargs = options(text)
  if "." in name:  # a dotted name, which only `Function` makes
    raise ConfigError(
      f"{key} is the function {name!r} of a Python config, and nothing is imported by "
      "the name that a run was saved with: train with the file that gives the function"
    )
  if name not in functions:
    raise ConfigError(f"{key} is {text!r}: {nearest(name, sorted(functions))}")
  accepted = list(inspect.signature(functions[name]).parameters)
  with raised_as(ConfigError):
    check_options(kwargs, accepted, f"{key} {name!r}")
  return functions[name], kwargs


def call(key: str, text: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
  """Calls a named function, and turns its exceptions into messages.

  Args:
    key: the key of the config, for messages.
    text: the text that named the function, for messages.
    function: the function.
    *args: its positional arguments.
    **kwargs: its keyword arguments.

  Raises:
    ConfigError: if the function refuses its arguments.
  """
  try:
    return function(*args, **kwargs)
  except ConfigError:
    raise
  except Exception as error:  # the function is not ours: it may raise anything
    raise ConfigError(f"{key} {text!r} cannot be used: {reason(error)}") from error
