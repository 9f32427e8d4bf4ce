"""A special token occurs once among others and again at the end: what followed it?

Source: Olsson et al. 2022, arXiv:2209.11895 (induction heads); Gu and Dao 2023,
arXiv:2312.00752, section 4.1.2, whose setting this is: trained at 256 tokens, tested up
to a million.
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=16),
  "paper": dict(length=256, vocab_size=16),
}
SPECIAL = 1


def draw(
  rng: np.random.Generator, rows: int, length: int = 64, vocab_size: int = 16
) -> Examples:
  """Draws random examples.

      5 9 1 7 4 9 3 ... 1   ->   7 at the last 1

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 3.
    vocab_size: 0 is not used (there is no filler), 1 is special, the others are
      ordinary.

  Returns:
    Examples; only the last token counts.

  Raises:
    UserError: if there is no room for a token between the two special ones, or no two
      ordinary tokens.
  """
  parts.check_room("induction needs", (length, vocab_size), (3, 4))
  tokens = rng.integers(2, vocab_size, (rows, length), dtype=np.int32)
  # [B, 1]; a token is left between the two special ones
  position = rng.integers(0, length - 2, (rows, 1))
  np.put_along_axis(tokens, position, SPECIAL, axis=1)
  tokens[:, -1] = SPECIAL  # the question: what followed the first one?
  return parts.at_the_end(tokens, np.take_along_axis(tokens, position + 1, axis=1))
