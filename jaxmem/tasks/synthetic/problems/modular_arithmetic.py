"""An expression with + - * and the numbers modulo m: what is it?

Without brackets * comes before + and -, which is a regular language; with brackets
around each operation, parsing takes a stack.

Source: Deletang et al. 2022, arXiv:2207.02098 (modular arithmetic, trained at up to 40
tokens); Grazzi et al. 2024, arXiv:2411.12537.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=32, vocab_size=12, modulus=5, brackets=False, shortest=3),
  "paper": dict(length=40, vocab_size=12, modulus=5, brackets=False, shortest=3),
}


class _Draws(NamedTuple):
  """Random numbers of one expression, each drawn in the order of its tokens."""

  numbers: Iterator[int]
  operations: Iterator[int]
  shares: Iterator[float]


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 32,
  vocab_size: int = 12,
  modulus: int = 5,
  brackets: bool = False,
  shortest: int = 3,
) -> Examples:
  """Draws random examples.

      0 0 0 4 + 2 * 3 =         ->   0 at the =, where m is 5
      0 ( ( 4 + 2 ) * 3 ) =     ->   3

  Args:
    rng: fixes the examples.
    rows: B.
    length: T; filler begins a shorter expression.
    vocab_size: 0 is filler, 1 .. m are the numbers 0 .. m - 1, then come + - * = ( ).
    modulus: m, at least 2.
    brackets: whether every operation has brackets around it.
    shortest: tokens of the shortest expression, without the =; all numbers of
      operations that fit from there to `length` are equally likely.

  Returns:
    Examples; only the last token, the =, counts.

  Raises:
    UserError: if the length or the vocabulary is too small.
  """
  # An operation adds itself and a number, and its brackets where it has them.
  cost = 4 if brackets else 2
  largest, least = (length - 2) // cost, max(0, -(-(shortest - 1) // cost))
  parts.check_room(
    f"expressions of {shortest} tokens modulo {modulus} (at least 2) need",
    (length, vocab_size),
    (2 + cost * least, modulus + 7),
    "shorten them, or give them more room",
    possible=modulus >= 2,
  )
  counts = rng.integers(least, largest + 1, rows)
  numbers = rng.integers(0, modulus, (rows, largest + 1))
  operations = rng.integers(0, 3, (rows, largest))
  if brackets:
    tokens, answers = _bracketed(rng, length, modulus, counts, numbers, operations)
  else:
    tokens, answers = _flat(length, modulus, counts, numbers, operations)
  tokens[:, -1] = modulus + 4
  return parts.at_the_end(tokens, 1 + answers[:, None])


def _flat(length, modulus, counts, numbers, operations):
  """Returns tokens of the last `counts` operations of each row, and their values."""
  rows, largest = operations.shape
  tokens = np.zeros((rows, length), np.int32)
  begin = length - 2 - 2 * largest
  tokens[:, begin : length - 1 : 2] = 1 + numbers
  tokens[:, begin + 1 : length - 1 : 2] = modulus + 1 + operations
  tokens[np.arange(length) < (length - 2 - 2 * counts)[:, None]] = 0
  # a sum of products, left to right: `total` is complete, `product` is still open
  total, product = np.zeros_like(counts), numbers[:, 0]  # [B]
  for n in range(largest):
    times, number = operations[:, n] == 2, numbers[:, n + 1]
    total = np.where(times, total, total + product) % modulus
    signed = np.where(operations[:, n] == 1, -number, number)
    product = np.where(times, product * number, signed) % modulus
    begins = counts == largest - 1 - n  # this number is the first of its row
    total, product = np.where(begins, 0, total), np.where(begins, number, product)
  return tokens, (total + product) % modulus


def _bracketed(rng, length, modulus, counts, numbers, operations):
  """Returns tokens of expressions with `counts` operations, and their values."""
  tokens = np.zeros((len(counts), length), np.int32)
  answers = np.zeros_like(counts)
  shares = rng.random(operations.shape)
  for row, count in enumerate(counts.tolist()):
    draws = _Draws(
      numbers=iter(numbers[row].tolist()),
      operations=iter(operations[row].tolist()),
      shares=iter(shares[row].tolist()),
    )
    out: list[int] = []
    answers[row] = _write(count, modulus, draws, out)
    tokens[row, length - 1 - len(out) : length - 1] = out
  return tokens, answers


def _write(count, modulus, draws, out):
  """Appends an expression of `count` operations to `out`; returns its value."""
  if not count:
    number = next(draws.numbers)
    out.append(1 + number)
    return number
  # the remaining operations are split at random between the two operands
  count_a = int(next(draws.shares) * count)
  out.append(modulus + 5)
  a = _write(count_a, modulus, draws, out)
  operation = next(draws.operations)
  out.append(modulus + 1 + operation)
  b = _write(count - 1 - count_a, modulus, draws, out)
  out.append(modulus + 6)
  return (a + b, a - b, a * b)[operation] % modulus
