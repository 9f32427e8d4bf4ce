"""Bidirectional and cross attention, where the laws do not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers
from jaxmem.models.pattern import entry, parse, show
from jaxmem.ops import encoder_attention
from jaxmem.parallel import apply
from jaxmem.testing import check_laws, check_shards, example_of

SMALL = {"d_model": 8, "num_heads": 2}


def _mixer(name, **options):
  return mixers.get(name).Mixer(**(SMALL | options))


def test_longformer_both_ways_obeys_the_laws():
  check_laws(
    _mixer("longformer", window_size=4, causal=False, dilation=(1, 2), num_global=2)
  )


@pytest.mark.full
@pytest.mark.parametrize(
  "options",
  [
    {"causal": False, "num_global": 0, "bias": "buckets", "learned_sink": True},
    {"num_global": 0, "dilation": 3},
    {"num_global": 30, "bias": "alibi", "rotary_base": None},
  ],
  ids=str,
)
def test_longformer_of_any_setting_obeys_the_laws(options):
  check_laws(_mixer("longformer", window_size=4, **options))


def test_shards_do_not_matter_to_what_reads_both_ways_or_keeps_the_first():
  check_shards(_mixer("longformer", **example_of("longformer") | {"d_model": 8}))
  check_shards(_mixer("bigbird", sparse_block=2, num_random=1), (2,))


def test_longformer_names_sizes_that_do_not_fit():
  for options, words in (
    ({"window_size": 5, "causal": False}, "window_size 5 is odd"),
    ({"dilation": (1, 2, 3)}, "one for each of 2 heads"),
    ({"window_size": 0}, "at least 1"),
  ):
    with pytest.raises(ValueError, match=words):
      _mixer("longformer", **options).init_state(1)


def test_a_pattern_holds_a_dilation_for_each_head():
  pattern = (entry("lstm"), entry("longformer", num_heads=2, dilation=(1, 2)))
  assert parse(show(pattern)) == pattern


@pytest.mark.parametrize("name", ["encoder_attention", "bigbird", "longformer"])
def test_a_token_sees_what_follows_in_its_document_alone(name):
  options = {"causal": False} if name == "longformer" else {}
  mixer = _mixer(name, **options)
  x = jax.random.normal(jax.random.key(0), (1, 12, 8))
  reset = jnp.zeros((1, 12), bool).at[0, 6].set(True)
  params = jax.jit(mixer.init)(jax.random.key(1), x, (), reset)
  run = jax.jit(lambda x: mixer.apply(params, x, (), reset)[0])

  changed = jnp.abs(run(x.at[0, 10].add(1)) - run(x)).max((0, 2))

  assert (changed[6:] > 0).all() and not changed[:6].any()


def test_one_token_is_read_by_the_definition_and_a_step_is_refused():
  assert apply.choose(encoder_attention, "parallel", 1) == "dense"
  assert apply.choose(encoder_attention, "auto", 2) == "parallel"
  with pytest.raises(ValueError, match="has no form 'recurrent'"):
    apply.choose(encoder_attention, "recurrent", 2)


@pytest.mark.parametrize("name", ["longformer", "bigbird"])
def test_sparse_attention_both_ways_never_makes_a_square_of_the_length(name):
  """A length of 16 times takes 16 times the memory, not 256 times."""
  options = {"causal": False, "window_size": 32} if name == "longformer" else {}
  mixer = _mixer(name, block_size=32, **options)

  def temporary(length):
    x = jax.ShapeDtypeStruct((1, length, 8), jnp.float32)
    params = jax.eval_shape(
      lambda: mixer.init(jax.random.key(0), jnp.ones((1, 2, 8)), ())
    )

    def loss(params, x):
      return mixer.apply(params, x, ())[0].sum()

    compiled = jax.jit(jax.grad(loss)).lower(params, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary(8192) < 24 * temporary(512)


@pytest.fixture(scope="module")
def cross():
  """Returns a mixer that remembers 3 or 2 of 4 tokens, and its arguments."""
  mixer = _mixer("cross_attention", memory_size=4, d_encoded=5)
  x, encoded = (
    jax.random.normal(jax.random.key(i), (2, 6, n)) for i, n in ((0, 8), (1, 5))
  )
  params = jax.jit(mixer.init)(jax.random.key(2), x, mixer.init_state(2))
  return mixer, params, x, encoded[:, :3], jnp.array([3, 2], jnp.int32)


def test_what_is_remembered_sends_gradients_to_the_encoder(cross):
  mixer, params, x, encoded, valid = cross

  def loss(params, encoded):
    state = mixer.apply(params, encoded, valid, method="remember")
    return mixer.apply(params, x, state)[0].sum()

  of_params, of_encoded = jax.jit(jax.grad(loss, (0, 1)))(params, encoded)

  assert all(jnp.abs(g).max() > 0 for g in jax.tree.leaves(of_params))
  np.testing.assert_array_equal(jnp.abs(of_encoded).max(-1) > 0, [[1, 1, 1], [1, 1, 0]])


def test_padding_of_the_encoder_may_be_anything(cross):
  mixer, params, x, encoded, valid = cross
  remember = jax.jit(lambda e: mixer.apply(params, e, valid, method="remember"))
  got, want = remember(encoded.at[1, 2].set(jnp.nan)), remember(encoded)
  jax.tree.map(np.testing.assert_array_equal, got, want)


def test_memory_is_read_until_a_reset_forgets_it(cross):
  mixer, params, x, encoded, valid = cross

  def remember(e):
    return mixer.apply(params, e, valid, method="remember")

  state, run = jax.jit(remember)(encoded), jax.jit(mixer.apply)
  y, same = run(params, x, state)
  jax.tree.map(np.testing.assert_array_equal, same, state)

  reset = jnp.zeros((2, 6), bool).at[0, 4].set(True)
  y2, after = run(params, x, state, reset)

  np.testing.assert_allclose(y2[0, :4], y[0, :4], rtol=1e-6)
  assert jnp.abs(y).min() > 0 and not y2[0, 4:].any()
  np.testing.assert_array_equal(after.count, [0, 2])


def test_cross_attention_names_sizes_that_do_not_fit(cross):
  mixer, params, x, encoded, valid = cross
  with pytest.raises(ValueError, match="6 tokens to remember, memory_size is 4"):
    mixer.apply(params, encoded.repeat(2, axis=1), valid, method="remember")
  with pytest.raises(ValueError, match="no distance between two sequences"):
    mixer.clone(bias="alibi").init_state(1)
