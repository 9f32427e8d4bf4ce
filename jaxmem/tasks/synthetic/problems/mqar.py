"""Pairs of key and value, then the keys again: what was the value?

Source: Arora et al. 2023, arXiv:2312.04927, section 3 (multi-query associative recall);
the power law of the gaps as in the paper's data.
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=64, pairs=0, power=1.0),
  "paper": dict(length=512, vocab_size=8192, pairs=64, power=0.01),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  pairs: int = 0,
  power: float = 1.0,
) -> Examples:
  """Draws random examples.

      k1 v1 k2 v2 ... 0 0 k2 0 0 k1 0 ...   ->   v2 at k2, v1 at k1

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 3 `pairs`.
    vocab_size: 0 is filler, the lower half are keys, the upper half values.
    pairs: different keys of an example, each asked for once; 0 is `length` // 8, or all
      keys of the vocabulary where they are fewer.
    power: the exponent of the law of gaps: the probability of a question n tokens after
      the last pair is proportional to n ** (power - 1). 1 is uniform; the paper's 0.01
      asks for most keys soon.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if the length or the vocabulary is too small for the pairs.
  """
  half = vocab_size // 2
  pairs = pairs or max(1, min(length // 8, half - 1))
  parts.check_room(
    f"{pairs} pairs need",
    (length, vocab_size),
    (3 * pairs, 2 * pairs + 2),
    "ask for fewer pairs, or give them more room",
    possible=pairs >= 1,
  )
  keys = 1 + parts.distinct(rng, rows, half - 1, pairs)  # [B, pairs], 0 is filler
  values = rng.integers(half, vocab_size, (rows, pairs))
  positions = 2 * pairs + parts.gaps(rng, rows, length - 2 * pairs, pairs, power)
  tokens = np.zeros((rows, length), np.int32)
  # the context alternates keys and values; the questions are spread after it
  tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
  np.put_along_axis(tokens, positions, keys, axis=1)
  return parts.ask_at(tokens, positions, values)
