"""Stubs of the two packages that import their names when they are first used.

At run time `jaxmem.LM` and `jaxmem.layers.GRU` come from `__getattr__`, of which type
checkers and editors learn nothing: they read the `__init__.pyi` beside it.
`python -m tests.support.layout` writes both, and a test compares them.
"""

from pathlib import Path

import jaxmem
from jaxmem import mixers

PACKAGE = Path(jaxmem.__file__).parent
_HEAD = '"""The public names, as type checkers and editors see them; generated."""\n\n'


def stubs() -> dict[Path, str]:
  """Maps the path of each stub to its text."""
  packages = sorted(f"from jaxmem import {n} as {n}\n" for n in jaxmem._PACKAGES)
  public = []
  for name, target in jaxmem._PUBLIC.items():
    module, _, attribute = target.partition(":")
    public.append((f"jaxmem.{module}", attribute or name, name))
  names = "".join(f'  "{name}",\n' for name in jaxmem.__all__)
  classes = [mixers.get(name).Mixer.__name__ for name in mixers.names()]
  layers = [
    (f"jaxmem.mixers.{name}", cls, cls)
    for name, cls in zip(mixers.names(), classes, strict=True)
  ]
  return {
    PACKAGE / "__init__.pyi": (
      f"{_HEAD}{''.join(packages)}{_imports(public)}\n"
      f"__version__: str\n__all__ = [\n{names}]\n"
    ),
    PACKAGE / "layers" / "__init__.pyi": _HEAD + _imports(layers),
  }


def _imports(names: list[tuple[str, str, str]]) -> str:
  """Returns the lines that import names of modules under public names."""
  # classes before functions, as `ruff` sorts the names of one module
  names = sorted(names, key=lambda item: (item[0], item[1].islower(), item[1]))
  return "".join(_import(*item) for item in names)


def _import(module: str, name: str, new: str) -> str:
  line = f"from {module} import {name} as {new}\n"
  if len(line) <= 89:  # the line end does not count
    return line
  return f"from {module} import (\n  {name} as {new},\n)\n"
