"""checks the laws on this machine: jaxmem laws [NAME|package.module:Mixer ...]"""

import argparse
import importlib
import time
from collections.abc import Iterator
from typing import Any

import jax

from jaxmem import modules, ops
from jaxmem.errors import UserError
from jaxmem.registry import nearest
from jaxmem.testing import LawError, check_laws, example_of
from jaxmem.testing.suite import TITLES


def main(argv: list[str]) -> int:
  """`jaxmem laws`: a row a memory; exit code 1 if a law is broken."""
  parser = argparse.ArgumentParser("jaxmem laws", description=__doc__)
  parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
  parser.add_argument(
    "--quick", action="store_true", help="no jvp, grad of grad, or 131,072 steps"
  )
  given = parser.parse_args(argv)
  things = [thing for name in given.names or _all() for thing in _find(name)]

  print(f"{jax.device_count()} {jax.devices()[0].device_kind}, jax {jax.__version__}")
  print("worst error of each law, as a part of what is allowed\n")
  laws = list(TITLES)
  head = ["memory", "forms", *(f"law {law}" for law in laws), "seconds"]
  print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
  broken = []
  for name, thing in things:
    try:
      print(_row(name, thing, laws, full=not given.quick), flush=True)
    except LawError as error:
      broken.append(str(error))
      print(f"| {name} | BROKEN" + " | " * len(laws) + " | |", flush=True)
  print("\n" + ("\n".join(broken) or "Every law holds: " + ", ".join(TITLES.values())))
  return 1 if broken else 0


def _row(name: str, thing: Any, laws: list[int], full: bool) -> str:
  start = time.monotonic()
  rows = check_laws(thing, full=full)
  forms = dict.fromkeys(form for _, form, _ in rows)
  worst = {law: [e for n, _, e in rows if n == law] for law in laws}
  cells = [f"{max(errors):.1e}" if errors else "-" for errors in worst.values()]
  seconds = f"{time.monotonic() - start:.0f}"
  return "| " + " | ".join([name, ", ".join(forms), *cells, seconds]) + " |"


def _all() -> list[str]:
  return list(dict.fromkeys([*ops.names(), *modules.names()]))


def _find(name: str) -> Iterator[tuple[str, Any]]:
  """The op and the mixer of a name, or a class by its import path."""
  if ":" in name:
    yield name, _imported(name)
    return
  if name not in _all():
    raise UserError(f"no memory {name!r}: {nearest(name, _all())}")
  if name in ops.names():
    yield f"{name} (op)", ops.get(name)
  if name in modules.names():
    mixer = modules.get(name).Mixer
    yield f"{name} (mixer)", mixer(d_model=8, **example_of(name))


def _imported(path: str) -> Any:
  """An instance of `package.module:Class` at d_model 8."""
  module, _, attribute = path.partition(":")
  try:
    cls = getattr(importlib.import_module(module), attribute)
    return cls(d_model=8)
  except (ImportError, AttributeError, TypeError) as error:
    raise UserError(
      f"cannot make {path}(d_model=8): {error}; give an importable Flax module that "
      "needs nothing but d_model"
    ) from error
