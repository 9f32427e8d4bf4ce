"""The state that a training segment starts from.

A recurrent model that trains on short segments from an empty memory never meets the
states that long text leads to, and may fail beyond the training length. The remedy is
to start from other states while it trains:

- *carried*: the lane's own memory continues (truncated backpropagation through time);
- *empty*: all states are zeros;
- *passed*: a row gets what another row ended with in the batch before, windows and
  positions too;
- *noise*: numbers are normal with the standard deviation `noise_scale`;
- *fitted*: numbers are normal; every number of a row's memory has the mean and the
  standard deviation of what the rows of the batch before ended with.

No gradient flows through a start, and a document that begins inside the segment begins
empty under any of them. Noise replaces what is summed or computed: a matrix, a diagonal
state, a cell's `h`, the fields that a learned start may move. What a memory keeps of
its inputs (of a convolution, or keys and values of a window), counts, positions and
normalisers stay 0: such a memory starts empty.

Source: Ruiz and Gu, "Understanding and Improving Length Generalization in Recurrent
Models", 2025, arXiv:2507.02782.
"""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxmem import mixers
from jaxmem.core.typing import State
from jaxmem.models.lm import Positioned
from jaxmem.models.pattern import Pattern, walk
from jaxmem.models.stack import Parts
from jaxmem.ops import record

Start = Literal["carried", "empty", "passed", "noise", "fitted"]
STARTS = get_args(Start)
# The starts that need a second row: another document, or rows to have a deviation.
OF_ROWS = ("passed", "fitted")

# Keeps the numbers drawn here apart from those of dropout, which has the same key.
_STREAM = 0x57A27


def begin(
  start: Start, pattern: Pattern, last: State, key: jax.Array, noise_scale: float = 1.0
) -> State:
  """Returns the memory before a segment, a pure function of the arguments.

  Args:
    start: one of `STARTS`.
    pattern: all blocks of the model, see `stack.blocks_of`.
    last: what the rows of the batch before ended with, `[B, ...]`.
    key: the random key of the step.
    noise_scale: the standard deviation of "noise".

  Returns:
    A memory like `last`. Before the first step, where `last` is empty, "passed" and
    "fitted" are empty too.
  """
  if start == "carried":
    return last
  if start == "empty":
    return jax.tree.map(jnp.zeros_like, last)
  key = jax.random.fold_in(key, _STREAM)
  if start == "passed":
    source = _cycle(key, jax.tree.leaves(last)[0].shape[0])  # [B]
    return jax.tree.map(lambda a: a[source], last)

  def draw(key, a):
    noise = jax.random.normal(key, a.shape, a.dtype)
    if start == "noise":
      return noise * noise_scale
    return a.mean(0) + noise * a.std(0)  # moments over rows, [B, ...] of [...]

  return _all_redrawn(pattern, last, draw, key)


def _cycle(key: jax.Array, rows: int) -> jax.Array:
  """Draws one cycle through all rows, so that every row gets another row's state."""
  order = jax.random.permutation(key, rows)
  return jnp.zeros_like(order).at[order].set(jnp.roll(order, 1))


def _all_redrawn(pattern: Pattern, memory: State, draw: Any, key: jax.Array) -> State:
  """Draws the memory of every block of a model; positions become 0."""
  if isinstance(memory, Positioned):
    stack = _all_redrawn(pattern, memory.stack, draw, key)
    return Positioned(jnp.zeros_like(memory.position), stack)
  if isinstance(memory, Parts):
    blocks = _all_redrawn(pattern, sum(memory, ()), draw, key)
    ends = len(memory.first), len(memory.first) + len(memory.groups)
    return Parts(blocks[: ends[0]], blocks[ends[0] : ends[1]], blocks[ends[1] :])
  return tuple(
    _redrawn((item,), old, draw, jax.random.fold_in(key, i))
    for i, (item, old) in enumerate(zip(pattern, memory, strict=True))
  )


def _redrawn(pattern: Pattern, memory: State, draw: Any, key: jax.Array) -> State:
  """Draws the sums of a block's ops, and puts zeros elsewhere."""
  records = (record(mixers.op(item.name)) for item in walk(pattern))
  ops = {op.State: op for op in records}
  keys = _chain(key)

  def redraw(a):
    empty = jax.tree.map(jnp.zeros_like, a)
    if type(a) not in ops:
      return empty
    names, key = ops[type(a)].starts, next(keys)
    fields = zip(names, jax.random.split(key, max(len(names), 1)), strict=False)
    return empty._replace(**{n: draw(k, getattr(a, n)) for n, k in fields})

  return jax.tree.map(redraw, memory, is_leaf=lambda a: type(a) in ops)


def _chain(key: jax.Array) -> Iterator[jax.Array]:
  """Yields a key for each memory of a block."""
  while True:
    yield key
    key = jax.random.fold_in(key, 1)
