"""What Orbax restores: a state without its empty fields, or some of its fields."""

import re
from typing import Any

import jax
import orbax.checkpoint as ocp


def present(tree: Any) -> Any:
  """Returns the fields of a NamedTuple that have leaves; another tree as it is.

  Orbax compares empty fields too: a checkpoint from before a field existed would not
  fit a state in which that field is empty.
  """
  if not hasattr(tree, "_asdict"):
    return tree
  return {name: a for name, a in tree._asdict().items() if jax.tree.leaves(a)}


def field_of(key: str) -> str:
  """Returns the field of a state in which a leaf lies: "params" of ".params['a']"."""
  return re.split(r"[.\[]", key.removeprefix("."), maxsplit=1)[0]


def restore_args(target: Any, only: tuple[str, ...]) -> Any:
  """Returns Orbax' arguments to restore all of the target, or some of its fields."""
  if not only:
    return ocp.args.StandardRestore(target)
  # partial_restore reads these from disk and nothing else, such as optimizer moments
  part = {name: target[name] for name in only}
  args = jax.tree.map(lambda a: ocp.ArrayRestoreArgs(sharding=a.sharding), part)
  return ocp.args.PyTreeRestore(part, restore_args=args, partial_restore=True)
