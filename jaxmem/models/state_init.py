"""What a training segment starts from: whose memory, or which numbers.

A recurrent model that trains on short segments from an empty memory never met what long
text leads to, and may fail behind the training length. The cure is to let it start from
other memories while it trains:

- *carried*: the lane's own memory continues (truncated backpropagation through time);
- *empty*: zeros;
- *passed*: what another row ended with in the batch before, windows and positions too;
- *noise*: normal numbers, of the standard deviation `noise_scale`;
- *fitted*: normal numbers with the mean and the standard deviation, for every number of
  a row's memory, of what the rows of the batch before ended with.

Nothing is differentiated through a start, and a document that begins inside the segment
begins empty in all of them. Noise is for what is summed or computed: a matrix, a
diagonal state, a cell's `h`, the fields that a learned start may move. What a memory
keeps of its inputs (a convolution's, a window's keys and values), counts, positions and
normalisers stay 0: such a memory starts empty.

Source: Ruiz and Gu, "Understanding and Improving Length Generalization in Recurrent
Models", 2025, arXiv 2507.02782.
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
# Those that need a second row: of another document, or to have a deviation.
OF_ROWS = ("passed", "fitted")

# Keeps the numbers drawn here apart from dropout's, which are of the same key.
_STREAM = 0x57A27


def begin(
  how: Start, pattern: Pattern, last: State, key: jax.Array, noise_scale: float = 1.0
) -> State:
  """The memory before a segment; a function of the arguments alone, so it resumes.

  Args:
    how: one of `STARTS`.
    pattern: of the model that the memory is of, see `stack.blocks_of`.
    last: what the rows of the batch before ended with, `[B, ...]`.
    key: of the step.
    noise_scale: standard deviation of "noise".

  Returns:
    A memory like `last`. Before the first step, where `last` is empty, "passed" and
    "fitted" are empty too.
  """
  if how == "carried":
    return last
  if how == "empty":
    return jax.tree.map(jnp.zeros_like, last)
  key = jax.random.fold_in(key, _STREAM)
  if how == "passed":
    source = _others(key, jax.tree.leaves(last)[0].shape[0])
    return jax.tree.map(lambda a: a[source], last)

  def draw(key, a):
    noise = jax.random.normal(key, a.shape, a.dtype)
    if how == "noise":
      return noise * noise_scale
    return a.mean(0) + noise * a.std(0)

  return _all_redrawn(pattern, last, draw, key)


def _others(key: jax.Array, rows: int) -> jax.Array:
  """For each row another one, each given once: all rows in one random cycle."""
  order = jax.random.permutation(key, rows)
  return jnp.zeros_like(order).at[order].set(jnp.roll(order, 1))


def _all_redrawn(pattern: Pattern, memory: State, draw: Any, key: jax.Array) -> State:
  """The memory of a model with that of every block redrawn; positions are 0."""
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
  """The memory of a block with its ops' sums drawn, and zeros elsewhere."""
  records = (record(mixers.op(item.name)) for item in walk(pattern))
  ops = {op.State: op for op in records}
  keys = _chain(key)

  def one(a):
    empty = jax.tree.map(jnp.zeros_like, a)
    if type(a) not in ops:
      return empty
    names, key = ops[type(a)].starts, next(keys)
    fields = zip(names, jax.random.split(key, max(len(names), 1)), strict=False)
    return empty._replace(**{n: draw(k, getattr(a, n)) for n, k in fields})

  return jax.tree.map(one, memory, is_leaf=lambda a: type(a) in ops)


def _chain(key: jax.Array) -> Iterator[jax.Array]:
  """A key for each memory of a block."""
  while True:
    yield key
    key = jax.random.fold_in(key, 1)
