"""Which parameters move: a step differentiates with respect to these alone."""

import re
from typing import Any

from flax import traverse_util

from jaxmem.core.errors import ConfigError


class Trainable:
  """The part of the parameters that a pattern selects, by their paths.

  Optimizer, gradient norm and moving average know this part only. Where all of them
  move, it is the tree itself.
  """

  def __init__(self, pattern: str, params: Any):
    """Selects.

    Args:
      pattern: a regular expression that is searched for in paths such as
        "stack/groups/block_0/mixer/q/kernel"; "" selects all.
      params: a tree of nested dictionaries, of arrays, shapes or names.

    Raises:
      ConfigError: if the pattern is no regular expression, or selects nothing.
    """
    try:
      moves = re.compile(pattern)
    except re.error as error:
      raise ConfigError(
        f"optim.trainable is {pattern!r}, which is no regular expression: {error}"
      ) from error
    paths = traverse_util.flatten_dict(params)
    self._moving = {path for path in paths if moves.search("/".join(path))}
    self._all = len(self._moving) == len(paths)
    if not self._moving:
      raise ConfigError(
        f"optim.trainable is {pattern!r} and no parameter has such a path; one has "
        f"{'/'.join(min(paths))!r}"
      )

  @property
  def all(self) -> bool:
    """Whether all parameters move."""
    return self._all

  def part(self, tree: Any) -> Any:
    """What moves, of a tree with the parameters' paths."""
    if self._all:
      return tree
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({p: flat[p] for p in self._moving})

  def join(self, moving: Any, tree: Any) -> Any:
    """The tree with what moves from `moving`."""
    if self._all:
      return moving
    flat = traverse_util.flatten_dict(tree) | traverse_util.flatten_dict(moving)
    return traverse_util.unflatten_dict(flat)
