"""Symbols scattered among filler, then: write them in order.

Source: Gu and Dao 2023, arXiv:2312.00752, section 4.1.1 (selective copying).
"""

import numpy as np

from jaxmem.evals.tasks import Examples


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  symbols: int = 8,
) -> Examples:
  """Random examples.

      0 0 a 0 b 0 0 0 c 0 ... 1 1 1   ->   a b c at the three 1s

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 2 `symbols`.
    vocab_size: 0 is filler, 1 asks, the others are symbols.
    symbols: of an example.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    ValueError: if the length is too small for the symbols.
  """
  if length < 2 * symbols or vocab_size < 3:
    raise ValueError(
      f"{symbols} symbols need a length of {2 * symbols} and a vocabulary of 3, not "
      f"{length} and {vocab_size}"
    )
  content = rng.integers(2, vocab_size, (rows, symbols))
  places = rng.permuted(np.tile(np.arange(length - symbols), (rows, 1)), axis=1)
  places = np.sort(places[:, :symbols], axis=1)
  tokens = np.zeros((rows, length), np.int32)
  np.put_along_axis(tokens, places, content, axis=1)
  tokens[:, -symbols:] = 1
  targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
  targets[:, -symbols:], weights[:, -symbols:] = content, 1
  return Examples(tokens, targets, weights)
