"""checks the laws on this machine: jaxmem laws [NAME|package.module:Mixer ...]"""

import dataclasses
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jax

from jaxmem import mixers, ops
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError, reason
from jaxmem.core.options import Command, Page, describe
from jaxmem.core.progress import Progress, say
from jaxmem.core.registry import nearest
from jaxmem.evaluation import measured
from jaxmem.testing import LawError, check_laws, check_saved, check_shards, example_of
from jaxmem.testing.suite import TITLES

# How the command goes on after Ctrl-C.
_AGAIN = "nothing is kept: name the other memories to check them alone"


@dataclasses.dataclass(frozen=True)
class Options:
  """Checks the laws that every memory obeys, on the devices of this machine.

  Prints a row a memory, with the worst error of each law as a part of the tolerance.

  Attributes:
    names: ops and memories, or package.module:Mixer of your own; none is all.
    quick: without jvp, grad of grad, 131,072 steps, shards of time, and checkpoints.
    keep: keeps the worst errors for `jaxmem memories`.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem laws gated_delta lstm --quick",
    {"What is checked": ("names", "quick", "keep")},
    places=("names",),
    words={"names": "NAME"},
  )

  names: tuple[str, ...] = ()
  quick: bool = False
  keep: bool = False


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem laws", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem laws`: prints a row a memory, and returns 1 if a law is broken."""
  args = parse(Options, argv, "jaxmem laws")
  subjects = [subject for name in args.names or _all() for subject in _find(name)]

  print(f"{jax.device_count()} {jax.devices()[0].device_kind}, jax {jax.__version__}")
  print("worst error of each law, as a part of the tolerance\n")
  laws = sorted(_laws(full=not args.quick))
  head = ["memory", "forms", *(f"law {law}" for law in laws), "seconds"]
  broken, worst = [], {}
  with Progress(len(subjects), "memories", resume=_AGAIN) as progress:
    say("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for done, (name, subject) in enumerate(subjects):
      progress.update(done, f"checks {name}")
      start = time.monotonic()
      try:
        rows = _check(subject, laws, full=not args.quick)
        say(_row(name, rows, laws, time.monotonic() - start))
        errors = [error for _, _, error in rows]
        plain = name.split()[0]  # an op and its mixer share a row of the table
        worst[plain] = max(worst.get(plain, 0.0), *errors)
      except LawError as error:
        broken.append(str(error))
        say(f"| {name} | BROKEN" + " | " * len(laws) + " | |")
  if args.keep and not broken:
    measured.keep("laws", worst)
  all_hold = "Every law holds: " + ", ".join(TITLES[law] for law in laws)
  print("\n" + ("\n".join(broken) or all_hold))
  return 1 if broken else 0


def _laws(full: bool) -> set[int]:
  """Returns the laws this machine can check: 7 needs several devices, 10 Orbax."""
  able = {7: jax.device_count() > 1, 10: importlib.util.find_spec("orbax") is not None}
  return {law for law in TITLES if law not in able or (full and able[law])}


def _check(subject: Any, laws: list[int], full: bool) -> list[tuple[int, str, float]]:
  rows = check_laws(subject, full=full)
  if 7 in laws:
    # `check_shards` takes divisors of 32
    most = 1 << min(jax.device_count(), 32).bit_length() - 1
    rows += check_shards(subject, (most,))
  if 10 in laws:
    with tempfile.TemporaryDirectory() as directory:
      rows += check_saved(subject, Path(directory))
  return rows


def _row(
  name: str, rows: list[tuple[int, str, float]], laws: list[int], seconds: float
) -> str:
  forms = dict.fromkeys(form for _, form, _ in rows)
  worst = {law: [e for n, _, e in rows if n == law] for law in laws}
  cells = [f"{max(errors):.1e}" if errors else "-" for errors in worst.values()]
  cells = [name, ", ".join(forms), *cells, f"{seconds:.0f}"]
  return "| " + " | ".join(cells) + " |"


def _all() -> list[str]:
  return list(dict.fromkeys([*ops.names(), *mixers.names()]))


def _find(name: str) -> Iterator[tuple[str, Any]]:
  """Yields the op and the mixer of a name, or the class of an import path."""
  if ":" in name and name.split(":")[0] in _all():
    raise UserError(
      f"{name!r} has options, and laws are checked at fixed sizes: give "
      f"{name.split(':')[0]} alone"
    )
  if ":" in name:
    yield name, _imported(name)
    return
  if name not in _all():
    raise UserError(f"no memory {name!r}: {nearest(name, _all())}")
  if name in ops.names():
    yield f"{name} (op)", ops.get(name)
  if name in mixers.names():
    mixer = mixers.get(name).Mixer
    yield f"{name} (mixer)", mixer(d_model=8, **example_of(name))


def _imported(path: str) -> Any:
  """Returns an instance of `package.module:Class` with d_model 8."""
  module, _, attribute = path.partition(":")
  try:
    cls = getattr(importlib.import_module(module), attribute)
    return cls(d_model=8)
  except Exception as error:  # a user's module may raise anything
    raise UserError(
      f"cannot make {path}(d_model=8): {reason(error)}; give an importable Flax "
      "module that needs nothing but d_model"
    ) from error
