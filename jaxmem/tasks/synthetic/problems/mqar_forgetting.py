"""Recall where some keys get a new value: the last one counts.

Source: forgetting_mqar of the data of zoology (the code of Arora et al. 2023,
arXiv:2312.04927).
"""

import numpy as np

from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=64, pairs=0, updates=0, power=1.0),
  "paper": dict(length=512, vocab_size=8192, pairs=64, updates=32, power=0.01),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 64,
  pairs: int = 0,
  updates: int = 0,
  power: float = 1.0,
) -> Examples:
  """Draws random examples.

      k1 v1 k2 v2 k3 v3 k2 v4 0 0 k2 0 k1 ...   ->   v4 at k2, v1 at k1

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 3 `pairs` and 2 `updates`.
    vocab_size: 0 is filler, the lower half are keys, the upper half values.
    pairs: different keys of an example, each asked for once; 0 is `length` // 8, or all
      keys of the vocabulary where they are fewer.
    updates: keys that occur again with another value, after all the pairs; 0 is half of
      `pairs`.
    power: the exponent of the law of gaps, as in `mqar`.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if there are more updates than pairs, or the length or the vocabulary is
      too small for them.
  """
  half = vocab_size // 2
  pairs = pairs or max(1, min(length // 8, half - 1))
  updates = updates or (pairs + 1) // 2
  context = 2 * (pairs + updates)
  with raised_as(UserError):
    check_number(updates, "updates", Range(at_least=1, at_most=pairs))
  parts.check_room(
    f"{pairs} pairs and {updates} updates need",
    (length, vocab_size),
    (context + pairs, max(4, 2 * pairs + 2)),
    "ask for fewer, or give them more room",
  )
  keys = 1 + parts.distinct(rng, rows, half - 1, pairs)  # [B, pairs], 0 is filler
  values = rng.integers(half, vocab_size, (rows, pairs))
  updated = parts.distinct(rng, rows, pairs, updates)
  # A step between 0 and the number of values, taken modulo it, changes every value.
  span = vocab_size - half
  step = rng.integers(1, span, (rows, updates))
  renewed = half + (np.take_along_axis(values, updated, axis=1) - half + step) % span
  tokens = np.zeros((rows, length), np.int32)
  tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
  tokens[:, 2 * pairs : context : 2] = np.take_along_axis(keys, updated, axis=1)
  tokens[:, 2 * pairs + 1 : context : 2] = renewed
  np.put_along_axis(values, updated, renewed, axis=1)  # the answers: the last values
  positions = context + parts.gaps(rng, rows, length - context, pairs, power)
  np.put_along_axis(tokens, positions, keys, axis=1)
  return parts.ask_at(tokens, positions, values)
