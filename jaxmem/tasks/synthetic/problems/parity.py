"""Bits: is the number of ones so far odd?

This is the word problem of the group of two elements, asked at every token; the papers
ask at the last token only.

Source: Deletang et al. 2022, arXiv:2207.02098 (parity check); Grazzi et al. 2024,
arXiv:2411.12537 (trained at up to 40 tokens, tested up to 256).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=32, vocab_size=3),
  "paper": dict(length=40, vocab_size=3),
}


def draw(
  rng: np.random.Generator, rows: int, length: int = 32, vocab_size: int = 3
) -> Examples:
  """Draws random examples.

      1 2 2 1 2 ...   ->   1 2 1 1 2 ...

  Args:
    rng: fixes the examples.
    rows: B.
    length: T.
    vocab_size: 0 is not used (there is no filler); 1 is the bit 0 and "even", 2 is the
      bit 1 and "odd"; higher ids are not used.

  Returns:
    Examples; every token counts.

  Raises:
    UserError: if there is no token, or no room for two bits.
  """
  parts.check_room("parity needs", (length, vocab_size), (1, 3))
  # [B, T]; ids are one higher, since 0 is not used
  bits = rng.integers(0, 2, (rows, length), dtype=np.int32)
  odd = np.cumsum(bits, axis=1, dtype=np.int32) % 2  # [B, T]
  return Examples(1 + bits, 1 + odd, np.ones(bits.shape, np.float32))
