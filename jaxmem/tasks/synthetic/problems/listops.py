"""Lists of digits in lists: the least, the greatest, the median, the sum modulo 10.

A tree grows to a random size: a random digit of it becomes an operator with arguments
of its own, until the next would not fit. (The papers draw trees until one has the right
size; here each one has it, at a fixed cost.) The median of an even number of digits is
the mean of the middle two, rounded down.

Source: Nangia and Bowman 2018, arXiv:1804.06028; Tay et al. 2020, arXiv:2011.04006
(long range arena: 500 to 2000 tokens, depth 10, up to 10 arguments).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=16, shortest=0, depth=5, arguments=5),
  "paper": dict(length=2000, vocab_size=16, shortest=500, depth=10, arguments=10),
}
OPERATORS = ("MIN", "MAX", "MED", "SM")
FIRST, CLOSE = 11, 15  # the token of the first operator; the closing bracket


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 16,
  shortest: int = 0,
  depth: int = 5,
  arguments: int = 5,
) -> Examples:
  """Draws random examples.

      0 0 [MAX 2 9 [MIN 4 7 ] 0 ]   ->   9 at the last ]

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 2 + `arguments`; filler begins a shorter expression.
    vocab_size: 0 is filler, 1 .. 10 are the digits 0 .. 9, then [MIN [MAX [MED [SM ].
    shortest: the least size of an expression, in tokens: sizes are drawn from here to
      `length`, and an expression fills its size but for less than one operator, unless
      `depth` ends it sooner. 0 is a quarter of `length`.
    depth: the most operators inside one another.
    arguments: the most arguments of an operator, at least 2; 2 to so many are equally
      likely.

  Returns:
    Examples; only the last token, the closing bracket, counts.

  Raises:
    UserError: if the length or the vocabulary is too small.
  """
  shortest = max(shortest or length // 4, 2 + arguments)
  parts.check_room(
    f"lists of {shortest} tokens, {arguments} arguments (at least 2) and depth {depth} "
    "(at least 1) need",
    (length, vocab_size),
    (shortest, 16),
    "make them smaller, or give them more room",
    possible=arguments >= 2 and depth >= 1,
  )
  tokens = np.zeros((rows, length), np.int32)
  answers = np.zeros((rows, 1), np.int32)
  rooms = rng.integers(shortest, length + 1, rows).tolist()
  chances = rng.random((rows, length + 2))  # three an operator, which adds three tokens
  digits = rng.integers(0, 10, (rows, length))
  for row, room in enumerate(rooms):
    tree = _grown(room, depth, arguments, iter(chances[row].tolist()))
    out: list[int] = []
    answers[row] = 1 + _write(tree, iter(digits[row].tolist()), out)
    tokens[row, length - len(out) :] = out
  return parts.at_the_end(tokens, answers)


def _grown(room, depth, arguments, chance):
  """Grows a tree of (operator, children) of at most `room` tokens; a digit is None."""

  def pick(below: int) -> int:
    return int(next(chance) * below)

  root: list = [None]
  open_leaves, used = [(root, 0, 0)], 1
  while open_leaves:
    at = pick(len(open_leaves))
    count = 2 + pick(arguments - 1)
    if used + 1 + count > room:  # a digit becomes [OP, its arguments and ]
      break
    # swapped to the end, where it is removed at a constant cost
    open_leaves[at], open_leaves[-1] = open_leaves[-1], open_leaves[at]
    parent, index, level = open_leaves.pop()
    children = [None] * count
    parent[index] = (pick(len(OPERATORS)), children)
    used += 1 + count
    if level + 1 < depth:
      open_leaves += [(children, n, level + 1) for n in range(count)]
  return root[0]


def _write(tree, digits, out):
  """Appends the tokens of a tree to `out`, with new digits; returns its value."""
  operator, children = tree
  out.append(FIRST + operator)
  values = []
  for child in children:
    if child:
      values.append(_write(child, digits, out))
    else:
      values.append(next(digits))
      out.append(1 + values[-1])
  out.append(CLOSE)
  return _value(operator, values)


def _value(operator: int, values: list[int]) -> int:
  """Applies an operator, by its index in OPERATORS, to digits."""
  if operator == 0:
    return min(values)
  if operator == 1:
    return max(values)
  if operator == 3:
    return sum(values) % 10
  values, half = sorted(values), len(values) // 2  # the median is what is left
  return values[half] if len(values) % 2 else (values[half - 1] + values[half]) // 2
