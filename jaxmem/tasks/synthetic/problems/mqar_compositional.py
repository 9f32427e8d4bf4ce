"""Recall by two keys together: neither of them alone determines the value.

The keys form a grid: each first key occurs with each second key, every time with
another value. A question is two tokens, and the answer is due at the second.

Source: compositional_mqar of the data of zoology (the code of Arora et al. 2023,
arXiv:2312.04927).
"""

import math

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=64, side=0, power=1.0),
  "paper": dict(length=512, vocab_size=8192, side=8, power=0.01),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  side: int = 0,
  power: float = 1.0,
) -> Examples:
  """Draws random examples.

      a x v1 b x v2 a y v3 b y v4 0 0 b x 0 a x 0 ...   ->   v2 at the x after b

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 5 `side` squared.
    vocab_size: 0 is filler; a third each are first keys, second keys and values.
    side: first keys and second keys of an example, `side` squared questions; 0 is the
      root of `length` // 8, for as many questions as in `mqar`, or all keys of the
      vocabulary where they are fewer.
    power: the exponent of the law of gaps, as in `mqar`, over slots of two tokens.

  Returns:
    Examples; only the second tokens of questions count.

  Raises:
    UserError: if the length or the vocabulary is too small for the grid.
  """
  third = vocab_size // 3  # first keys, second keys and values have disjoint ids
  side = side or max(2, min(math.isqrt(length // 8), third - 1))
  grid = side * side
  parts.check_room(
    f"a grid of {side} by {side} keys needs",
    (length, vocab_size),
    (5 * grid, 3 * side + 3),
    "choose a smaller side, or give it more room",
    possible=side >= 1,
  )
  firsts = 1 + parts.distinct(rng, rows, third - 1, side)
  seconds = third + parts.distinct(rng, rows, third, side)
  # cell c of the grid is first key c // side with second key c % side
  cells = parts.distinct(rng, rows, grid, grid)
  firsts = np.take_along_axis(firsts, cells // side, axis=1)
  seconds = np.take_along_axis(seconds, cells % side, axis=1)
  values = rng.integers(2 * third, vocab_size, (rows, grid))
  tokens = np.zeros((rows, length), np.int32)
  for offset, column in enumerate((firsts, seconds, values)):
    tokens[:, offset : 3 * grid : 3] = column
  slots = parts.gaps(rng, rows, (length - 3 * grid) // 2, grid, power)
  positions = 3 * grid + 2 * slots  # [B, grid], of the first token of a question
  np.put_along_axis(tokens, positions, firsts, axis=1)
  np.put_along_axis(tokens, positions + 1, seconds, axis=1)
  return parts.ask_at(tokens, positions + 1, values)
