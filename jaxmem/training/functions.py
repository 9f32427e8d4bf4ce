"""Functions that a config names: those of Optax by a text, or one of the user's own.

    find("optim.optimizer", "lion:b1=0.95", {"lion": optax.lion})  # optax.lion, {...}

A Python config may give a function itself. A saved run keeps the function's name, and
nothing is ever imported by it: whoever continues with the run gives the function again.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxmem.core.errors import ConfigError, raised_as, reason
from jaxmem.core.registry import check_options, nearest, options


class Function(str):
  """The dotted name of a function that a Python config gives, and the function.

  Attributes:
    function: itself.
  """

  function: Callable

  def __new__(cls, function: Callable) -> "Function":
    """The name by which a run is saved.

    Raises:
      ConfigError: if the function has none that could be given again.
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
    return (self.function,)


def named(value: Any) -> Any:
  """A function as the `Function` that a config holds; another value as it is."""
  return Function(value) if callable(value) else value


def find(
  key: str, text: str, known: Mapping[str, Callable]
) -> tuple[Callable, dict[str, Any]]:
  """The function that a config names, and the options that its text gives.

  Args:
    key: of the config, for messages.
    text: `name:option=value:...`, or a `Function`.
    known: name -> function.

  Raises:
    ConfigError: if there is no such function, or it has no such option; names the
      nearest.
  """
  if isinstance(text, Function):
    return text.function, {}
  with raised_as(ConfigError, f"{key}: "):
    name, given = options(text)
  if "." in name:
    raise ConfigError(
      f"{key} is the function {name!r} of a Python config, and nothing is imported by "
      "the name that a run was saved with: train with the file that gives the function"
    )
  if name not in known:
    raise ConfigError(f"{key} is {text!r}: {nearest(name, sorted(known))}")
  takes = list(inspect.signature(known[name]).parameters)
  with raised_as(ConfigError):
    check_options(given, takes, f"{key} {name!r}")
  return known[name], given


def call(key: str, text: str, function: Callable, *args: Any, **given: Any) -> Any:
  """What a named function makes of its arguments.

  Raises:
    ConfigError: if it refuses them.
  """
  try:
    return function(*args, **given)
  except ConfigError:
    raise
  except Exception as error:  # whatever a function of others may raise
    raise ConfigError(f"{key} {text!r} cannot be used: {reason(error)}") from error
