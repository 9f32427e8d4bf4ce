"""Tasks that ask a memory one question, one a file: `draw(rng, rows) -> Examples`."""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from jaxmem.core import registry


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


def get(name: str) -> ModuleType:
  """The task `name`."""
  return registry.member("jaxmem.tasks.synthetic.problems", "draw", name)
