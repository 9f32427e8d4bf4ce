"""What Orbax is asked for: a state without its empty fields, or one field of it."""

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


def restore_args(target: Any, only: str) -> Any:
  """What Orbax is asked for: all of the target, or one field of it."""
  if not only:
    return ocp.args.StandardRestore(target)
  skip = lambda tree: jax.tree.map(lambda _: ocp.PLACEHOLDER, tree)
  part = {name: a if name == only else skip(a) for name, a in target.items()}
  place = lambda a: (
    ocp.RestoreArgs()
    if a is ocp.PLACEHOLDER
    else ocp.ArrayRestoreArgs(sharding=a.sharding)
  )
  return ocp.args.PyTreeRestore(part, restore_args=jax.tree.map(place, part))
