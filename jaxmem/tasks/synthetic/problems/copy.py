"""A string that has to be written again.

The answer is due at tokens that only ask, as in `selective_copy`; the answer is not fed
back (the paper feeds each right letter before the next).

Source: Jelassi et al. 2024, arXiv:2402.01032 (strings of random letters).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=28),
  "paper": dict(length=600, vocab_size=28),
}


def draw(
  rng: np.random.Generator, rows: int, length: int = 64, vocab_size: int = 28
) -> Examples:
  """Draws random examples.

      a b c d ... 1 1 1 1 ...   ->   a b c d ... at the 1s

  Args:
    rng: fixes the examples.
    rows: B.
    length: T; half of it is the string. An odd one begins with filler.
    vocab_size: 0 is filler, 1 asks, the others are letters.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if there is no room for one letter.
  """
  parts.check_room("a string to copy needs", (length, vocab_size), (2, 3))
  # [B, T/2], letters only: the two lowest ids are filler and the token that asks
  string = rng.integers(2, vocab_size, (rows, length // 2))
  return parts.write_after(string, string, length)  # the string is its own answer
