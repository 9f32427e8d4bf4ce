"""An expression with + - * and the numbers modulo m: what is it?

Without brackets * comes before + and -, a regular language; with brackets every
operation has its own, which takes a stack.

Source: Deletang et al. 2022, arXiv:2207.02098 (modular arithmetic, trained at up to 40
tokens); Grazzi et al. 2024, arXiv:2411.12537.
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=32, vocab_size=12, modulus=5, brackets=False, shortest=3),
  "paper": dict(length=40, vocab_size=12, modulus=5, brackets=False, shortest=3),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 32,
  vocab_size: int = 12,
  modulus: int = 5,
  brackets: bool = False,
  shortest: int = 3,
) -> Examples:
  """Random examples.

      0 0 0 4 + 2 * 3 =         ->   0 at the =, where m is 5
      0 ( ( 4 + 2 ) * 3 ) =     ->   3

  Args:
    rng: fixes the examples.
    rows: B.
    length: T; filler begins a shorter expression.
    vocab_size: 0 is filler, 1 .. m are the numbers 0 .. m - 1, then come + - * = ( ).
    modulus: m, at least 2.
    brackets: around every operation.
    shortest: tokens of the shortest expression, without the =; every number of
      operations that fits from there to `length` is equally likely.

  Returns:
    Examples; only the last token, the =, counts.

  Raises:
    UserError: if the length or the vocabulary is too small.
  """
  # An operation adds itself and a number, with brackets these as well.
  cost = 4 if brackets else 2
  most, least = (length - 2) // cost, max(0, -(-(shortest - 1) // cost))
  parts.check_room(
    f"expressions of {shortest} tokens modulo {modulus} (at least 2) need",
    (length, vocab_size),
    (2 + cost * least, modulus + 7),
    "shorten them, or give them more room",
    possible=modulus >= 2,
  )
  counts = rng.integers(least, most + 1, rows)
  numbers = rng.integers(0, modulus, (rows, most + 1))
  operations = rng.integers(0, 3, (rows, most))
  if brackets:
    tokens, answers = _bracketed(rng, length, modulus, counts, numbers, operations)
  else:
    tokens, answers = _flat(length, modulus, counts, numbers, operations)
  tokens[:, -1] = modulus + 4
  return parts.at_the_end(tokens, 1 + answers[:, None])


def _flat(length, modulus, counts, numbers, operations):
  """Tokens of the last `counts` operations of each row, and their values."""
  rows, most = operations.shape
  tokens = np.zeros((rows, length), np.int32)
  begin = length - 2 - 2 * most
  tokens[:, begin : length - 1 : 2] = 1 + numbers
  tokens[:, begin + 1 : length - 1 : 2] = modulus + 1 + operations
  tokens[np.arange(length) < (length - 2 - 2 * counts)[:, None]] = 0
  total, product = np.zeros_like(counts), numbers[:, 0]
  for n in range(most):
    times, number = operations[:, n] == 2, numbers[:, n + 1]
    total = np.where(times, total, total + product) % modulus
    signed = np.where(operations[:, n] == 1, -number, number)
    product = np.where(times, product * number, signed) % modulus
    begins = counts == most - 1 - n  # this number is the first of its row
    total, product = np.where(begins, 0, total), np.where(begins, number, product)
  return tokens, (total + product) % modulus


def _bracketed(rng, length, modulus, counts, numbers, operations):
  """Tokens of expressions with `counts` operations, and their values."""
  tokens = np.zeros((len(counts), length), np.int32)
  answers = np.zeros_like(counts)
  shares = rng.random(operations.shape)
  for row, count in enumerate(counts.tolist()):
    given = [iter(of[row].tolist()) for of in (numbers, operations, shares)]
    out: list[int] = []
    answers[row] = _write(count, modulus, *given, out)
    tokens[row, length - 1 - len(out) : length - 1] = out
  return tokens, answers


def _write(count, modulus, numbers, operations, shares, out):
  """Appends an expression with `count` operations to `out`; its value."""
  if not count:
    number = next(numbers)
    out.append(1 + number)
    return number
  left = int(next(shares) * count)
  given = (modulus, numbers, operations, shares, out)
  out.append(modulus + 5)
  a = _write(left, *given)
  operation = next(operations)
  out.append(modulus + 1 + operation)
  b = _write(count - 1 - left, *given)
  out.append(modulus + 6)
  return (a + b, a - b, a * b)[operation] % modulus
