"""Recall where a key and its value are one token: nothing has to be joined over time.

What is left is the memory alone: no convolution and no earlier layer must first carry a
key to its value. zoology stacks the two embeddings in one input of twice the width; of
tokens, a pair is a token of its own, so that the vocabulary holds every pair.

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
  """Random examples.

      k1v1 k2v2 k3v3 ... 0 0 k2 0 0 k1 0 ...   ->   v2 at k2, v1 at k1

  With n + 1 the whole root of `vocab_size`, the token of key a and value b, both of
  1 .. n, is a (n + 1) + b; the key alone has b = 0, the value alone a = 0.

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least `passes` + 1 times `pairs`.
    vocab_size: 0 is filler; what is beyond the square (n + 1)^2 is not used.
    pairs: different keys of an example, each asked for once; 0 is `length` // 8,
      or every key where they are fewer.
    passes: how often the pairs stand before the questions, each time in another order.
    power: of the law of gaps, as in `mqar`.

  Returns:
    Examples; only the tokens that ask count.

  Raises:
    UserError: if the length or the vocabulary is too small for the pairs.
  """
  base = math.isqrt(vocab_size)
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
  for at in range(0, context, pairs):
    tokens[:, at : at + pairs] = rng.permuted(keys * base + values, axis=1)
  places = context + parts.gaps(rng, rows, length - context, pairs, power)
  np.put_along_axis(tokens, places, keys * base, axis=1)
  return parts.asked(tokens, places, values)
