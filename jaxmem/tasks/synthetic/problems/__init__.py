"""Tasks that test one ability of a memory each: `draw(rng, rows) -> Examples`."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core import migrations, registry


class Examples(NamedTuple):
  """Sequences, the answers that are due at their tokens, and which of these count.

  Attributes:
    tokens: [B, T], int32, the sequence.
    targets: [B, T], int32, the answer at this token.
    weights: [B, T], float32, 1 where an answer is due, else 0.
  """

  tokens: np.ndarray
  targets: np.ndarray
  weights: np.ndarray


def names() -> list[str]:
  """Returns the names of the tasks, which are those of their files."""
  # helper files such as `parts` have no `draw`, so they are no tasks
  return list(registry.members("jaxmem.tasks.synthetic.problems", "draw"))


def resolve(name: str) -> tuple[ModuleType, Mapping[str, Any]]:
  """Returns the module of a task and its options; old names resolve to new tasks.

  Raises:
    KeyError: if there is no such task; the message names the nearest.
  """
  file, preset = migrations.SYNTHETIC_TASKS.get(name, (name, {}))
  return get(file), preset


def get(name: str) -> ModuleType:
  """Returns the module of the task `name`."""
  return registry.member("jaxmem.tasks.synthetic.problems", "draw", name)
