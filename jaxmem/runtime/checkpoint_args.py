"""What Orbax is asked for: a state without its empty fields, or some of its fields."""

import re
from typing import Any

import jax
import orbax.checkpoint as ocp


def present(tree: Any) -> Any:
  """A NamedTuple as a dict of the fields that hold something; another tree as it is.

  Orbax compares empty fields too, and a field that was added later would be one.
  """
  if not hasattr(tree, "_asdict"):
    return tree
  return {name: a for name, a in tree._asdict().items() if jax.tree.leaves(a)}


def field_of(key: str) -> str:
  """The field of the state in which a leaf lies, by the leaf's key, ".params['a']"."""
  return re.split(r"[.\[]", key.removeprefix("."), maxsplit=1)[0]


def restore_args(target: Any, only: tuple[str, ...]) -> Any:
  """What Orbax is asked for: all of the target, or some of its fields."""
  if not only:
    return ocp.args.StandardRestore(target)
  part = {name: target[name] for name in only}
  place = lambda a: ocp.ArrayRestoreArgs(sharding=a.sharding)
  restore_args = jax.tree.map(place, part)
  return ocp.args.PyTreeRestore(part, restore_args=restore_args, partial_restore=True)
