"""The attention engine with chosen blocks, and the number of calls that lead to it."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers
from jaxmem.ops import encoder_attention
from jaxmem.ops.attention_core import block_softmax, blockwise, engine, masks
from jaxmem.ops.attention_core.masks import Causal, Document, Window
from jaxmem.ops.attention_core.scores import NOTHING, ALiBi, Buckets, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.testing.tolerance import worst

ROWS, LENGTH, HEADS, KEY_HEADS, DIM, SIZE = 2, 38, 4, 2, 4, 7
BLOCKS = -(-LENGTH // SIZE)
PLAIN = Scores(rotary=None)
BIASED = Scores(rotary=None, cap=3.0, bias=Buckets(8, 16, both_ways=True))
# A block twice, none, one that is not there, and what a causal mask hides.
DRAW = np.random.default_rng(0)
SELECTED = jnp.asarray(DRAW.integers(-2, BLOCKS + 2, (ROWS, BLOCKS, 4)), jnp.int32)
RESETS = [jnp.asarray(DRAW.random((ROWS, LENGTH)) < rate) for rate in (0, 0.1)]


def _draw(key_heads=KEY_HEADS):
  def draw(key, *shape):
    return jax.random.normal(jax.random.key(key), shape)

  q, dy = draw(0, 2, ROWS, LENGTH, HEADS, DIM)
  return (q, *draw(1, 2, ROWS, LENGTH, key_heads, DIM)), dy


def _chosen(selected, blocks=BLOCKS):
  """Returns [B, T, T], whether a query's block has chosen the key's block."""
  chosen = (selected[..., None] == jnp.arange(blocks)).any(2)  # [B, M, S/C]
  return chosen.repeat(SIZE, 1).repeat(SIZE, 2)[:, :LENGTH, :LENGTH]


def _dense(scores, params, qkv, visible):
  """Computes softmax attention under a mask [B, A, T, T], and its log denominator."""
  q, k, v = qkv
  k, v = (a.repeat(HEADS // KEY_HEADS, axis=2) for a in (k, v))
  s = jnp.einsum("bihk,bjhk->bhij", q, k) * DIM**-0.5
  if scores.cap:
    s = scores.cap * jnp.tanh(s / scores.cap)
  if scores.bias:
    index = jnp.arange(LENGTH)
    head = jnp.arange(HEADS)[:, None, None]
    pair = masks.Pair(index[:, None], index[None], LENGTH, head)
    s = s + scores.bias(params, (), (), pair)
  any_visible = visible.any(-1)
  s = jnp.where(visible, s, -1e9)
  p = jnp.where(visible, jax.nn.softmax(s), 0)
  lse = jnp.where(any_visible, jax.nn.logsumexp(s, axis=-1), NOTHING)
  return jnp.einsum("bhij,bjhv->bihv", p, v), lse.swapaxes(1, 2)


@pytest.mark.parametrize("mask", [Document(), Causal(), Causal() & Window(16)], ids=str)
@pytest.mark.parametrize("scores", [PLAIN, BIASED], ids=["plain", "biased"])
def test_chosen_blocks_are_the_dense_oracle_in_values_and_gradients(mask, scores):
  """Rows choose different blocks; y, lse and all gradients are compared."""
  qkv, dy = _draw()
  params = (jax.random.normal(jax.random.key(2), (8, HEADS)),) if scores.bias else ()
  spec = AttentionSpec(mask, scores, SIZE)

  @jax.jit
  def ours(params, qkv, reset, selected):
    def f(params, q, k, v):
      tokens = encoder_attention.call(*reset.shape, reset)
      return engine.attend(spec, params, q, (k, v), tokens, tokens, selected=selected)

    (y, lse), pull = jax.vjp(f, params, *qkv)
    return y, lse, pull((dy, jnp.where(lse > NOTHING / 2, jnp.cos(lse), 0)))

  @jax.jit
  def oracle(params, qkv, visible):
    (y, lse), pull = jax.vjp(
      lambda params, *qkv: _dense(scores, params, qkv, visible), params, *qkv
    )
    return y, lse, pull((dy, jnp.where(lse > NOTHING / 2, jnp.cos(lse), 0)))

  for reset in RESETS:
    visible = masks.dense(mask, reset, HEADS) & _chosen(SELECTED)[:, None]
    got, want = ours(params, qkv, reset, SELECTED), oracle(params, qkv, visible)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
      error, at = worst(g, w, "float32")
      assert error <= 1, f"{g[at]} instead of {w[at]} at {at}"
    y = got[0]
    assert not y.swapaxes(1, 2)[~visible.any(-1)].any()  # who sees nothing reads 0


def test_choosing_all_blocks_equals_choosing_none():
  qkv, _ = _draw()
  q, *kv = qkv
  tokens = encoder_attention.call(ROWS, LENGTH, RESETS[1])
  everything = jnp.broadcast_to(jnp.arange(BLOCKS), (ROWS, BLOCKS, BLOCKS))
  spec = AttentionSpec(Causal(), PLAIN, SIZE)
  args = spec, (), q, tuple(kv), tokens, tokens

  got, want = engine.attend(*args, selected=everything), engine.attend(*args)

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


def test_what_is_not_chosen_is_neither_read_nor_moved():
  """Blocks that no query chose may hold NaN: they are never read."""
  (q, k, v), _ = _draw()
  tokens = encoder_attention.call(ROWS, LENGTH, None)
  first = jnp.zeros((ROWS, BLOCKS, 1), jnp.int32)
  k, v = (a.at[:, SIZE:].set(jnp.nan) for a in (k, v))
  spec = AttentionSpec(Document(), PLAIN, SIZE)

  def total(q, k, v):
    y, _ = engine.attend(spec, (), q, (k, v), tokens, tokens, selected=first)
    return y.sum()

  dq, dk, dv = jax.jit(jax.grad(total, (0, 1, 2)))(q, k, v)

  assert jnp.isfinite(dq).all()
  for grad in (dk, dv):
    assert jnp.isfinite(grad[:, :SIZE]).all() and not grad[:, SIZE:].any()


def test_chosen_blocks_never_make_a_square_of_the_length():
  """A length of 64 times takes 64 times the memory, not 4096 times."""

  def temporary(length):
    shape = jax.ShapeDtypeStruct((1, length, 1, 8), jnp.float32)
    selected = jax.ShapeDtypeStruct((1, length // 64, 2), jnp.int32)
    spec = AttentionSpec(Causal(), PLAIN, 64)

    def run(q, k, v, selected):
      tokens = encoder_attention.call(1, length, None)
      y, _ = engine.attend(spec, (), q, (k, v), tokens, tokens, selected=selected)
      return y.sum()

    grad = jax.jit(jax.grad(run, (0, 1, 2)))
    compiled = grad.lower(shape, shape, shape, selected).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary(32_768) < 100 * temporary(512)


def test_blockwise_is_the_engine_without_a_spec():
  (q, k, v), _ = _draw()
  tokens = encoder_attention.call(ROWS, LENGTH, RESETS[1])
  scores = Scores(rotary=None, scale=0.3, cap=2.0)
  spec = AttentionSpec(Causal(), scores, SIZE)
  got = blockwise.attend(
    q, k, v, tokens, tokens, Causal(), scale=0.3, cap=2.0, block_size=SIZE
  )
  want = engine.attend(spec, (), q, (k, v), tokens, tokens)
  jax.tree.map(np.testing.assert_array_equal, got, want)


def test_equal_specs_are_one_for_the_compiler():
  """Masks and scores are frozen, so an equal spec does not compile again."""

  def make():
    return AttentionSpec(Causal() & Window(3), Scores(bias=ALiBi(4)), 8)

  assert make() == make() and hash(make()) == hash(make())


MIXERS = (
  "attention", "window", "longformer", "transformer_xl", "forgetting_attention",
  "encoder_attention", "bigbird", "cross_attention",
)  # fmt: skip


@pytest.mark.parametrize("name", MIXERS)
def test_from_mixer_to_softmax_it_takes_at_most_seven_calls(name):
  """Frames of the package on the stack are counted, with and without the gradient."""
  mixer = mixers.get(name).Mixer(d_model=8, num_heads=2)
  x, state = jnp.zeros((1, 16, 8)), mixer.init_state(1)
  params = jax.eval_shape(mixer.init, jax.random.key(0), x, state)
  params = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), params)
  softmax = getattr(block_softmax.forward, "__wrapped__", block_softmax.forward)
  calls = []

  def count(frame, event, _):
    if event == "call" and frame.f_code is softmax.__code__:
      names, above = [], frame
      while above := above.f_back:
        if above.f_globals.get("__name__", "").startswith("jaxmem."):
          names.append(above.f_code.co_name)
      calls.append(names.index("__call__") + 1)

  def total(x):
    return mixer.apply(params, x, state)[0].sum()

  for f in (total, jax.grad(total)):
    calls.clear()
    sys.setprofile(count)
    try:
      jax.make_jaxpr(f)(x)
    finally:
      sys.setprofile(None)
    assert calls and max(calls) <= 7, calls
