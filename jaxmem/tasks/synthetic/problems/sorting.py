"""A list that has to be written in order, the smallest item first.

The first token that asks is the separator. The answer is due at tokens that only ask,
as in `selective_copy`; it is not fed back. A list may have equal items.

Source: Deletang et al. 2022, arXiv:2207.02098 (bucket sort: 5 different items, lists of
up to 40).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=64),
  "paper": dict(length=80, vocab_size=7),
}


def draw(
  rng: np.random.Generator, rows: int, length: int = 64, vocab_size: int = 64
) -> Examples:
  """Draws random examples.

      7 3 9 3 1 1 1 1   ->   3 3 7 9 at the 1s

  Args:
    rng: fixes the examples.
    rows: B.
    length: T; half of it is the list. An odd one begins with filler.
    vocab_size: 0 is filler, 1 asks, the others are items, in the order of their ids.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if there is no room for two different items.
  """
  parts.check_room("a list to sort needs", (length, vocab_size), (4, 4))
  # [B, T/2], with repeats
  items = rng.integers(2, vocab_size, (rows, length // 2))
  # ids are the order of the items, so no table of ranks is needed
  return parts.write_after(items, np.sort(items, axis=1), length)
