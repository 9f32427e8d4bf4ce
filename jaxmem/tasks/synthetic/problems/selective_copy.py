"""Symbols scattered among filler, which have to be written in order.

Source: Gu and Dao 2023, arXiv:2312.00752, section 4.1.1 (selective copying).
"""

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=64, symbols=8),
  "paper": dict(length=4096, vocab_size=16, symbols=16),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  symbols: int = 8,
) -> Examples:
  """Draws random examples.

      0 0 a 0 b 0 0 0 c 0 ... 1 1 1   ->   a b c at the three 1s

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 2 `symbols`.
    vocab_size: 0 is filler, 1 asks, the others are symbols.
    symbols: how many symbols an example has, whatever its length, as in the paper.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if the length is too small for the symbols.
  """
  if symbols < 1 or length < 2 * symbols or vocab_size < 3:
    raise UserError(
      f"{symbols} symbols need a length of {2 * symbols} and a vocabulary of 3, not "
      f"{length} and {vocab_size}: ask for fewer, at least 1, or give them more room"
    )
  # [B, symbols]; the two lowest ids are filler and the token that asks
  content = rng.integers(2, vocab_size, (rows, symbols))
  # sorted, so that the symbols are scattered in the order of the answer
  positions = np.sort(parts.distinct(rng, rows, length - symbols, symbols), axis=1)
  scattered = np.zeros((rows, length - symbols), np.int32)
  np.put_along_axis(scattered, positions, content, axis=1)
  return parts.write_after(scattered, content, length)
