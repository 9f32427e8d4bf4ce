"""Elements of the group S5, the permutations of five: their product so far.

Source: Merrill et al. 2024, arXiv:2404.08819; Siems et al. 2025, arXiv:2502.10297
(trained at 128 tokens, tested up to 512).
"""

import functools
import itertools

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic.problems import Examples

SIZES = {
  "cpu": dict(length=32, vocab_size=120),
  "paper": dict(length=128, vocab_size=120),
}


def draw(
  rng: np.random.Generator, rows: int, length: int = 32, vocab_size: int = 120
) -> Examples:
  """Draws random examples.

      a b c ...   ->   a  a b  a b c ...

  Args:
    rng: fixes the examples.
    rows: B.
    length: T.
    vocab_size: at least the 120 elements of the group, numbered in lexical order. 0 is
      the identity, so it serves as filler, too.

  Returns:
    Examples; every token counts.

  Raises:
    UserError: if there is no token, or the vocabulary is smaller than the group.
  """
  return words(rng, rows, length, vocab_size, group(5))


@functools.cache
def group(size: int, even: bool = False) -> tuple[tuple[int, ...], ...]:
  """Returns all permutations of 0 .. size - 1, or the even ones, in lexical order."""
  permutations = itertools.permutations(range(size))
  return tuple(p for p in permutations if not even or _swaps(p) % 2 == 0)


def _swaps(p: tuple[int, ...]) -> int:
  """Returns the number of inversions, whose parity is that of the permutation."""
  return sum(a > b for a, b in itertools.combinations(p, 2))


@functools.cache  # 120 x 120 products, needed for every batch
def product_table(elements: tuple[tuple[int, ...], ...]) -> np.ndarray:
  """Returns [n, n], the number of "first a, then b", which sends i to b[a[i]]."""
  number = {p: i for i, p in enumerate(elements)}
  # composition is written left to right, in the order of the tokens
  table = [[number[tuple(b[i] for i in a)] for b in elements] for a in elements]
  return np.array(table, np.int32)


def words(
  rng: np.random.Generator,
  rows: int,
  length: int,
  vocab_size: int,
  elements: tuple[tuple[int, ...], ...],
) -> Examples:
  """Draws random elements, and asks at each token for the product of all up to it.

  Raises:
    UserError: if there is no token, or the vocabulary is smaller than the group.
  """
  order = len(elements)
  if length < 1 or vocab_size < order:
    raise UserError(
      f"a group of {order} elements needs a length of 1 and a vocabulary of {order}, "
      f"not {length} and {vocab_size}: give it more room"
    )
  table = product_table(elements)
  tokens = rng.integers(0, order, (rows, length), dtype=np.int32)
  targets = tokens.copy()
  for t in range(1, length):  # over time, since the product does not commute
    targets[:, t] = table[targets[:, t - 1], tokens[:, t]]  # [B]
  return Examples(tokens, targets, np.ones(tokens.shape, np.float32))
