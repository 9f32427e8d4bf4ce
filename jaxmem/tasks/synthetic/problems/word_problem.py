"""The word problem of a group of permutations: the product of all elements so far.

Source: Merrill et al. 2024, arXiv:2404.08819; Siems et al. 2025, arXiv:2502.10297
(trained at 128 tokens, tested up to 512).
"""

import functools
import itertools

import numpy as np

from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import check_word
from jaxmem.tasks.synthetic.problems import Examples, parts

# Name -> the number of permuted items; "s" has all permutations, "a" the even ones. A5
# and S5 are not solvable, so no chain of commutative groups computes their products.
GROUPS = {"s3": 3, "a4": 4, "s4": 4, "a5": 5, "s5": 5}
SIZES = {
  "cpu": dict(length=32, vocab_size=120, group="s5"),
  "paper": dict(length=128, vocab_size=120, group="s5"),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 32,
  vocab_size: int = 120,
  group: str = "s5",
) -> Examples:
  """Draws random examples.

      a b c ...   ->   a  a b  a b c ...

  Args:
    rng: fixes the examples.
    rows: B.
    length: T.
    vocab_size: at least the elements of the group, numbered in lexical order. 0 is the
      identity, so it serves as filler, too.
    group: one of `GROUPS`: "s5" has 120 elements and "a5" 60.

  Returns:
    Examples; every token counts.

  Raises:
    UserError: if there is no token, no such group, or the vocabulary is smaller than
      the group.
  """
  with raised_as(UserError):
    check_word(group, "group", GROUPS)
  members = elements(GROUPS[group], even=group.startswith("a"))
  order = len(members)
  parts.check_room(
    f"a group of {order} elements needs", (length, vocab_size), (1, order)
  )
  table = product_table(members)
  tokens = rng.integers(0, order, (rows, length), dtype=np.int32)
  targets = tokens.copy()
  for t in range(1, length):  # over time, since the product does not commute
    targets[:, t] = table[targets[:, t - 1], tokens[:, t]]  # [B]
  return Examples(tokens, targets, np.ones(tokens.shape, np.float32))


@functools.cache
def elements(size: int, even: bool = False) -> tuple[tuple[int, ...], ...]:
  """Returns all permutations of 0 .. size - 1, or the even ones, in lexical order."""
  permutations = itertools.permutations(range(size))
  return tuple(p for p in permutations if not even or _inversions(p) % 2 == 0)


def _inversions(p: tuple[int, ...]) -> int:
  """Returns the number of inversions, whose parity is that of the permutation."""
  return sum(a > b for a, b in itertools.combinations(p, 2))


@functools.cache  # up to 120 x 120 products, needed for every batch
def product_table(elements: tuple[tuple[int, ...], ...]) -> np.ndarray:
  """Returns [n, n], the number of "first a, then b", which sends i to b[a[i]]."""
  number = {p: i for i, p in enumerate(elements)}
  # composition is written left to right, in the order of the tokens
  rows = [[number[tuple(b[i] for i in a)] for b in elements] for a in elements]
  return np.array(rows, np.int32)
