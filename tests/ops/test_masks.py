"""The engine equals a dense oracle for every mask, to the token."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.ops import encoder_attention, longformer
from jaxmem.ops.attention_core import block_table, blockwise, masks, sparse_blocks
from jaxmem.ops.attention_core.block_table import BlockTable
from jaxmem.ops.attention_core.masks import (
  Beyond,
  ByFirst,
  ByRest,
  Causal,
  Dilated,
  Document,
  First,
  Global,
  Rest,
  Strided,
  Window,
)
from jaxmem.ops.attention_core.sparse_blocks import LastBlock, NearBlocks, RandomBlocks
from jaxmem.ops.attention_core.tokens import (
  block_bounds,
  in_blocks,
  to_visit,
  visited,
)
from jaxmem.testing.tolerance import worst

ROWS, LENGTH, HEADS, KEY_HEADS, DIM = 2, 38, 4, 2, 4
TABLE = tuple(tuple((5 * i + 3 * j) % 4 == 0 for j in range(9)) for i in range(8))
MASKS = {
  "document": Document(),
  "causal": Causal(),
  "window": Window(7),
  "window both ways": Window(4, 6),
  "beyond": Beyond(5),
  "first": First(3),
  "rest": Rest(6),
  "by first": ByFirst(6),
  "by rest": ByRest(6),
  "global": Global(3),
  "dilated": Dilated(4, 3),
  "dilated by head": Dilated(3, (1, 2, 5, 7), 2),
  "strided": Strided(6),
  "block table": BlockTable(4, TABLE),
  "last block": LastBlock(4),
  "near blocks": NearBlocks(3),
  "random blocks": RandomBlocks(2, 3, HEADS, 1),
  "window with sinks": Causal() & (Window(5) | First(2)),
  "prefix": Causal() | First(9),
  "strided window": Causal() & (Window(4) | Strided(4)),
  "longformer": ByRest(2) & (longformer.near(3, (1, 2, 1, 4), 2) | First(2)),
  "bigbird": sparse_blocks.bigbird(3, 2, HEADS),
}
# Masks that skip every block that shows nothing of one document.
TIGHT = (
  "document", "causal", "window", "window both ways", "beyond", "first", "rest",
  "by first", "by rest", "global", "strided", "block table", "last block",
  "near blocks",
)  # fmt: skip


# No border, and borders at random places.
DRAW = np.random.default_rng(0)
RESETS = [jnp.asarray(DRAW.random((ROWS, LENGTH)) < rate) for rate in (0, 0.07, 0.2)]


def _kinds(kind):
  yield kind
  for below in kind.__subclasses__():
    yield from _kinds(below)


def _parts(mask):
  yield type(mask)
  for part in (getattr(mask, "a", None), getattr(mask, "b", None)):
    if part is not None:
      yield from _parts(part)


def test_every_mask_is_tested_here():
  tested = set(itertools.chain(*map(_parts, MASKS.values())))
  # a user may define other masks
  files = (masks.__name__, block_table.__name__, sparse_blocks.__name__)
  assert tested == {k for k in _kinds(masks.Mask) if k.__module__ in files} - {
    masks.Mask
  }


@jax.jit
def _oracle(qkv, visible, dy):
  """Returns y and gradients of plain softmax attention under a mask array."""

  def f(q, k, v):
    k, v = (a.repeat(HEADS // KEY_HEADS, axis=2) for a in (k, v))
    s = jnp.einsum("bihk,bjhk->bhij", q, k) * DIM**-0.5
    p = jnp.where(visible, jax.nn.softmax(jnp.where(visible, s, -1e9)), 0)
    return jnp.einsum("bhij,bjhv->bihv", p, v)

  y, pull = jax.vjp(f, *qkv)
  return y, *pull(dy)


@functools.cache
def _engine(name, size):
  def run(qkv, reset, dy):
    tokens = encoder_attention.call(*reset.shape, reset)

    def f(*qkv):
      return blockwise.attend(*qkv, tokens, tokens, MASKS[name], block_size=size)[0]

    y, pull = jax.vjp(f, *qkv)
    return y, *pull(dy)

  return jax.jit(run)


@functools.cache
def _dense(name, which):
  return masks.dense(MASKS[name], RESETS[which], HEADS)


@pytest.mark.parametrize("name", MASKS)
def test_engine_is_the_dense_oracle_in_values_and_gradients(name):
  def draw(key, *shape):
    return jax.random.normal(jax.random.key(key), shape)

  q, dy = draw(0, 2, ROWS, LENGTH, HEADS, DIM)
  qkv = (q, *draw(1, 2, ROWS, LENGTH, KEY_HEADS, DIM))
  for which, reset in enumerate(RESETS):
    visible = _dense(name, which)
    got = y, _, dk, dv = _engine(name, 7)(qkv, reset, dy)
    for g, w in zip(got, _oracle(qkv, visible, dy), strict=True):
      error, at = worst(g, w, "float32")
      assert error <= 1, f"{g[at]} instead of {w[at]} at {at}"
    assert not y.swapaxes(1, 2)[~visible.any(-1)].any()  # who sees nothing reads 0
    for grad in (dk, dv):  # and a key that no query sees has none
      assert not grad[~visible.any((1, 2))].any()


@functools.cache
def _visited(name, size):
  """Returns which blocks the engine computes, [query block, key block]."""

  def run(reset):
    tokens = encoder_attention.call(*reset.shape, reset)
    bounds = block_bounds(in_blocks(tokens, (), size, 0))

    def one(query):
      count, order = to_visit(MASKS[name], query, bounds)
      blocks = len(order)
      return jnp.zeros(blocks, bool).at[order].set(jnp.arange(blocks) < count)

    return jax.lax.map(one, bounds)

  return jax.jit(run)


def _visible_blocks(name, size, which):
  """Returns the blocks in which any row and head sees a key."""
  visible = np.asarray(_dense(name, which)).any((0, 1))
  short = -LENGTH % size
  visible = np.pad(visible, ((0, short), (0, short)))
  return visible.reshape(len(visible) // size, size, -1, size).any((1, 3))


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("size", [3, 7])
def test_blocks_that_show_something_are_computed_and_few_others(name, size):
  """With documents of equal length no others are computed, for masks that can tell."""
  visited = _visited(name, size)
  for which, reset in enumerate(RESETS):
    skipped = _visible_blocks(name, size, which) & ~np.asarray(visited(reset))
    assert not skipped.any(), np.argwhere(skipped)

  if name in TIGHT or (name, size) == ("bigbird", 3):  # the blocks of its mask
    np.testing.assert_array_equal(visited(RESETS[0]), _visible_blocks(name, size, 0))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_random_blocks_are_as_many_as_configured_and_none_is_seen_anyway(count):
  """Documents of 1 .. 30 blocks of two tokens are packed; the last block has one."""
  size, heads, blocks = 2, 5, [1, 2, 3, 5, 6, 11, 30]
  ends = np.cumsum([size * n - 1 for n in blocks])
  reset = jnp.zeros((1, ends[-1]), bool).at[0, ends[:-1]].set(True)

  def visible(mask):
    return np.asarray(masks.dense(mask, reset, heads))[0]

  drawn = visible(RandomBlocks(size, count, heads, 3))
  fixed = visible(sparse_blocks.bigbird(size, 0, heads))

  assert not (drawn & fixed).any()
  for begin, end in zip([0, *ends], ends, strict=False):
    each = (slice(None), *[slice(begin, end, size)] * 2)  # a token a block
    eligible = (~fixed[each]).sum(-1)
    np.testing.assert_array_equal(drawn[each].sum(-1), np.minimum(eligible, count))


def test_random_blocks_differ_by_head_block_and_seed_and_reach_everywhere():
  reset = jnp.zeros((1, 64), bool)

  def draw(seed):
    return masks.dense(RandomBlocks(1, 3, 40, seed), reset, 40)[0]

  drawn = np.asarray(draw(0))

  assert len({row.tobytes() for row in drawn[:, 30]}) > 30  # heads
  assert len({row.tobytes() for row in drawn[0]}) > 50  # blocks
  assert (drawn != np.asarray(draw(1))).any()
  often = drawn[:, 30, 1:63].sum(0)  # 3 of 59 in 40 heads: about 2 each
  assert (often[:28] > 0).mean() > 0.75 and often.max() < 10


def test_a_document_sees_the_same_wherever_it_is_packed():
  mask, length, at = sparse_blocks.bigbird(3, 2, HEADS), 29, 5
  first = jnp.zeros((1, LENGTH), bool).at[0, length].set(True)
  alone = masks.dense(mask, first, HEADS)
  packed = masks.dense(mask, jnp.roll(first, at, 1).at[0, at].set(True), HEADS)
  inside = slice(at, at + length)
  np.testing.assert_array_equal(
    packed[:, :, inside, inside], alone[:, :, :length, :length]
  )


class _OldWindow(masks.Mask):
  """A mask that was written for the interface before 0.2."""

  def sees(self, pair):
    return (pair.distance < 3) & (pair.distance >= 0)

  def touches(self, reach):
    return (reach.distance.low < 3) & (reach.distance.high >= 0)


def test_a_mask_written_before_0_2_still_works():
  old, new = _OldWindow() & Document(), Causal() & Window(3)
  reset = RESETS[1]
  np.testing.assert_array_equal(masks.dense(old, reset), masks.dense(new, reset))
  computed = [visited(mask, *_both(reset), 4) for mask in (old, new)]
  np.testing.assert_array_equal(*computed)


def _both(reset):
  return (encoder_attention.call(*reset.shape, reset),) * 2
