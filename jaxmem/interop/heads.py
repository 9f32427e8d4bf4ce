"""Heads of pretrained models: which of a family's a folder has, or the parameters.

A head is read where the folder has all of its tensors, and written where the parameters
have all that it becomes. Heads are tried in their family's order, and one that would
read a parameter of an earlier one is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxmem.interop.families import Family, Head
from jaxmem.interop.layouts import Rule


class FoundHead(NamedTuple):
  """A head that is there.

  Attributes:
    head: see `families.Head`.
    rules: its tensors, with the number of its outputs.
  """

  head: Head
  rules: list[Rule]


def in_folder(
  family: Family, config: Any, shape_of: Callable[[str], tuple[int, ...] | None]
) -> tuple[list[FoundHead], set[str]]:
  """Returns the heads that are read of a folder, and the tensors of the others in it.

  Args:
    family: of the model.
    config: its config.
    shape_of: the name of a tensor -> its shape, None where there is none.
  """
  there = [
    found
    for found in _counted(family, config, lambda rule: shape_of(rule.name))
    if all(shape_of(rule.name) is not None for rule in found.rules)
  ]
  names = {rule.name for found in there for rule in found.rules}
  read = _apart(there)
  return read, names - {rule.name for found in read for rule in found.rules}


def in_params(
  family: Family, config: Any, params: Mapping[str, Any]
) -> list[FoundHead]:
  """Returns the heads that parameters have.

  Args:
    family: of the model.
    config: its config.
    params: those of a task's model, which may have heads of its own.
  """

  def shape_of(rule: Rule) -> tuple[int, ...] | None:
    leaf: Any = params
    for key in rule.path.split("/"):
      if not isinstance(leaf, Mapping) or key not in leaf:
        return None
      leaf = leaf[key]
    return leaf.shape

  # a head of other sizes at the same path is the task's own
  return _apart(
    found
    for found in _counted(family, config, shape_of)
    if all(shape_of(rule) == rule.param_shape for rule in found.rules)
  )


def labels(found: list[FoundHead]) -> dict[str, Any]:
  """Returns the settings that say how many outputs a head has: a name for each.

  Without them transformers makes two.

  Args:
    found: the heads that are written.
  """
  counts = [
    rule.size for head in found for rule in head.rules if rule.name == head.head.counted
  ]
  if not counts:
    return {}
  names = [f"LABEL_{i}" for i in range(counts[0])]
  return {
    "id2label": {str(i): name for i, name in enumerate(names)},
    "label2id": {name: i for i, name in enumerate(names)},
  }


def left_out(family: Family, config: Any, params: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the parameters of a model without those of its heads.

  Args:
    family: of the model.
    config: its config.
    params: see `in_params`.
  """
  found = in_params(family, config, params)
  names = {rule.path.split("/")[0] for head in found for rule in head.rules}
  return {name: value for name, value in params.items() if name not in names}


def architecture(family: Family, model_type: str, heads: list[FoundHead]) -> str:
  """Returns the class of transformers that has a model's heads, the first if several.

  Args:
    family: of the model.
    model_type: of its settings.
    heads: that it has.
  """
  bare = family.model_types[model_type]
  return bare.removesuffix("Model") + heads[0].head.suffix if heads else bare


def _counted(
  family: Family, config: Any, shape_of: Callable[[Rule], tuple[int, ...] | None]
) -> Iterator[FoundHead]:
  """Yields the heads of a family with the number of outputs that is there."""
  for head in family.heads:
    rules = head.rules(config, 1)
    # the bias of the outputs counts them
    counts = [shape_of(rule) for rule in rules if rule.name == head.counted]
    yield FoundHead(head, head.rules(config, counts[0][0]) if any(counts) else rules)


def _apart(heads: Iterable[FoundHead]) -> list[FoundHead]:
  """Returns the heads that share no parameter with one before them."""
  taken: set[str] = set()
  apart = []
  for found in heads:
    paths = {rule.path for rule in found.rules}
    if not paths & taken:
      apart.append(found)
      taken |= paths | set(found.head.without)
  return apart
