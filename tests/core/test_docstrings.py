"""Every public name says what it is; an overriding method inherits its docstring."""

import importlib
import inspect
import pkgutil

import jaxmem

# What these import is installed by the extra `bench` alone, or is a template.
LEFT_OUT = ("jaxmem.bench.peers", "jaxmem.commands.templates")


def _modules():
  for info in pkgutil.walk_packages(jaxmem.__path__, "jaxmem."):
    runs = info.name.endswith("__main__")  # its import is a command
    if not runs and not info.name.startswith(LEFT_OUT):
      yield importlib.import_module(info.name)


def _undocumented(module):
  """The functions, classes and methods of a module that have no docstring."""
  for name, value in vars(module).items():
    own = getattr(value, "__module__", None) == module.__name__
    if name.startswith("_") or not own or not callable(value):
      continue
    if not inspect.getdoc(value):
      yield f"{module.__name__}.{name}"
    for method, member in vars(value).items() if inspect.isclass(value) else ():
      # a property is documented among the attributes of its class
      if inspect.isfunction(member) and not method.startswith("_"):
        if not inspect.getdoc(getattr(value, method)):
          yield f"{module.__name__}.{name}.{method}"


def test_every_public_name_has_a_docstring():
  assert not [name for module in _modules() for name in _undocumented(module)]
