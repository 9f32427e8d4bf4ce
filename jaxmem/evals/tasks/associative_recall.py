"""Pairs of key and value, then the keys again: what was the value?

Source: Arora et al. 2023, arXiv:2312.04927, section 3 (multi-query associative recall).
"""

import numpy as np

from jaxmem.evals.tasks import Examples


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  pairs: int = 8,
) -> Examples:
  """Random examples.

      k1 v1 k2 v2 ... 0 0 k2 0 0 k1 0 ...

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 3 `pairs`.
    vocab_size: 0 is filler, the lower half are keys, the upper half values.
    pairs: different keys of an example, each asked for once.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    ValueError: if the length or the vocabulary is too small for the pairs.
  """
  half = vocab_size // 2
  if length < 3 * pairs or half - 1 < pairs:
    raise ValueError(
      f"{pairs} pairs need a length of {3 * pairs} and a vocabulary of {2 * pairs + 2},"
      f" not {length} and {vocab_size}"
    )
  own = lambda count, of: rng.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)[
    :, :of
  ]
  keys = 1 + own(half - 1, pairs)
  values = rng.integers(half, vocab_size, (rows, pairs))
  places = 2 * pairs + own(length - 2 * pairs, pairs)
  tokens = np.zeros((rows, length), np.int32)
  tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
  targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
  for array, there in ((tokens, keys), (targets, values), (weights, 1)):
    np.put_along_axis(array, places, there, axis=1)
  return Examples(tokens, targets, weights)
