"""Trainable parameters: a step differentiates with respect to these alone."""

import re
from typing import Any

from flax import traverse_util

from jaxmem.core.errors import ConfigError


class Trainable:
  """Selects the parameters whose paths match a pattern.

  Optimizer, gradient norm and moving average know this part only. Where all parameters
  are trainable, it is the tree itself, so that their state has the same tree.
  """

  def __init__(self, pattern: str, params: Any):
    """Selects parameters.

    Args:
      pattern: a regular expression that is searched for in paths such as
        "stack/groups/block_0/mixer/q/kernel"; "" selects all.
      params: a tree of nested dictionaries, of arrays, shapes or names.

    Raises:
      ConfigError: if the pattern is no regular expression, or selects nothing.
    """
    try:
      regex = re.compile(pattern)
    except re.error as error:
      raise ConfigError(
        f"optim.trainable is {pattern!r}, which is no regular expression: {error}"
      ) from error
    paths = traverse_util.flatten_dict(params)
    self._selected = {path for path in paths if regex.search("/".join(path))}
    # where all are selected the tree is passed as it is, as older checkpoints have it
    self._all = len(self._selected) == len(paths)
    if not self._selected:
      raise ConfigError(
        f"optim.trainable is {pattern!r} and no parameter has such a path; one has "
        f"{'/'.join(min(paths))!r}"
      )

  @property
  def all(self) -> bool:
    """Whether all parameters are trainable."""
    return self._all

  def part(self, tree: Any) -> Any:
    """Returns the trainable part of a tree.

    Args:
      tree: a tree with the paths of the parameters.
    """
    if self._all:
      return tree
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({p: flat[p] for p in self._selected})

  def join(self, part: Any, tree: Any) -> Any:
    """Returns a tree with its trainable part replaced.

    Args:
      part: the new trainable part.
      tree: all parameters.
    """
    if self._all:
      return part
    flat = traverse_util.flatten_dict(tree) | traverse_util.flatten_dict(part)
    return traverse_util.unflatten_dict(flat)
