"""Elements of the group A5, the even permutations of five: their product so far.

Source: Merrill et al. 2024, arXiv:2404.08819; Siems et al. 2025, arXiv:2502.10297
(trained at 128 tokens, tested up to 512).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, word_s5

SIZES = {
  "cpu": dict(length=32, vocab_size=60),
  "paper": dict(length=128, vocab_size=60),
}


def draw(
  rng: np.random.Generator, rows: int, length: int = 32, vocab_size: int = 60
) -> Examples:
  """Draws random examples.

      a b c ...   ->   a  a b  a b c ...

  Args:
    rng: fixes the examples.
    rows: B.
    length: T.
    vocab_size: at least the 60 elements of the group, numbered in lexical order. 0 is
      the identity, so it serves as filler, too.

  Returns:
    Examples; every token counts.

  Raises:
    UserError: if there is no token, or the vocabulary is smaller than the group.
  """
  # A5 is simple, so no chain of commutative groups computes its products
  return word_s5.words(rng, rows, length, vocab_size, word_s5.group(5, even=True))
