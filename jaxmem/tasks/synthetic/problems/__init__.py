"""Tasks that ask a memory one question, one a file: `draw(rng, rows) -> Examples`."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core import migrations, registry


class Examples(NamedTuple):
  """Sequences, what should follow each token, and which of these count.

  Attributes:
    tokens: [B, T], int32.
    targets: [B, T], int32: the answer at this token.
    weights: [B, T], float32: 1 where an answer is asked for, else 0.
  """

  tokens: np.ndarray
  targets: np.ndarray
  weights: np.ndarray


def names() -> list[str]:
  """The tasks, by file name."""
  return list(registry.members("jaxmem.tasks.synthetic.problems", "draw"))


def resolve(name: str) -> tuple[ModuleType, Mapping[str, Any]]:
  """The task `name`, or the one that took its place, and options the name stands for.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  file, preset = migrations.SYNTHETIC_TASKS.get(name, (name, {}))
  return get(file), preset


def get(name: str) -> ModuleType:
  """The task `name`."""
  return registry.member("jaxmem.tasks.synthetic.problems", "draw", name)
