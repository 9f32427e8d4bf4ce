"""Symbols scattered among filler, which have to be written in order.

Source: Gu and Dao 2023, arXiv:2312.00752, section 4.1.1 (selective copying).
"""

import numpy as np

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
  parts.check_room(
    f"{symbols} symbols need",
    (length, vocab_size),
    (2 * symbols, 3),
    "ask for fewer, at least 1, or give them more room",
    possible=symbols >= 1,
  )
  # [B, symbols]; the two lowest ids are filler and the token that asks
  content = rng.integers(2, vocab_size, (rows, symbols))
  # sorted, so that the symbols are scattered in the order of the answer
  positions = np.sort(parts.distinct(rng, rows, length - symbols, symbols), axis=1)
  scattered = np.zeros((rows, length - symbols), np.int32)
  np.put_along_axis(scattered, positions, content, axis=1)
  return parts.write_after(scattered, content, length)
