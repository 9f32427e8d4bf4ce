"""Recall where a key and its value are one token, so that no layer has to join them.

This tests the memory alone: no convolution and no earlier layer must first carry a key
to its value. zoology stacks the two embeddings in one input of twice the width; here a
pair is a token of its own, and the vocabulary holds all pairs.

Source: stacked_mqar.py of the data of zoology (the code of Arora et al. 2023,
arXiv:2312.04927); its passes are those of Arora et al. 2024, arXiv:2407.05483.
"""

import math

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=256, pairs=0, passes=1, power=1.0),
  "paper": dict(length=512, vocab_size=8192, pairs=64, passes=1, power=0.01),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 256,
  pairs: int = 0,
  passes: int = 1,
  power: float = 1.0,
) -> Examples:
  """Draws random examples.

      k1v1 k2v2 k3v3 ... 0 0 k2 0 0 k1 0 ...   ->   v2 at k2, v1 at k1

  Let n + 1 be the root of `vocab_size`, rounded down. The token of key a and value b,
  both of 1 .. n, is a (n + 1) + b; the key alone has b = 0, the value alone a = 0.

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least `passes` + 1 times `pairs`.
    vocab_size: 0 is filler; ids beyond the square (n + 1)^2 are not used.
    pairs: different keys of an example, each asked for once; 0 is `length` // 8, or all
      keys of the vocabulary where they are fewer.
    passes: how often the pairs occur before the questions, each time in another order.
    power: the exponent of the law of gaps, as in `mqar`.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if the length or the vocabulary is too small for the pairs.
  """
  base = math.isqrt(vocab_size)  # n + 1: a digit for the key and one for the value
  pairs = pairs or max(1, min(length // 8, base - 1))
  context = passes * pairs
  parts.check_room(
    f"{pairs} pairs in {passes} passes need",
    (length, vocab_size),
    (context + pairs, (pairs + 1) ** 2),
    "ask for fewer pairs and at least one pass, or give them more room",
    possible=min(pairs, passes) >= 1,
  )
  keys = 1 + parts.distinct(rng, rows, base - 1, pairs)
  values = rng.integers(1, base, (rows, pairs))
  tokens = np.zeros((rows, length), np.int32)
  for begin in range(0, context, pairs):
    # the order changes with every pass, so that positions tell nothing
    tokens[:, begin : begin + pairs] = rng.permuted(keys * base + values, axis=1)
  positions = context + parts.gaps(rng, rows, length - context, pairs, power)
  np.put_along_axis(tokens, positions, keys * base, axis=1)  # keys alone: value 0
  return parts.ask_at(tokens, positions, values)
