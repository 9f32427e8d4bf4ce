"""A stack has first layers, groups, last layers, a side stream and positions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxmem.models.block import Residual, ResidualBlock
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Block, Entry, entry
from jaxmem.testing import check_laws

RANKS = {"num_heads": 2, "decay_rank": 2, "rate_rank": 2, "gate_rank": 2}
RANKS |= {"form": "recurrent"}  # compiles soonest
MIX = Entry("rwkv_channel_mix")
CONFIG = LMConfig(
  vocab_size=11,
  d_model=8,
  d_ff=16,
  first=(Block((entry("rwkv7", **RANKS), MIX)),),
  pattern=(Block((entry("rwkv7", value_residual=True, value_rank=2, **RANKS), MIX)),),
  num_groups=2,
  last=(entry("lru", state_size=4), Block((entry("lru", state_size=4),))),
  positions=12,
)
TOKENS = jax.random.randint(jax.random.key(1), (2, 12), 0, 11)


@pytest.fixture(scope="module")
def run():
  model = LM(CONFIG)
  init = jax.jit(model.init)
  params = init(jax.random.key(0), TOKENS, model.init_state(2))
  # what starts at 0 is drawn too
  params = jax.tree.map(
    lambda a: a + 0.1 * jnp.sin(jnp.arange(a.size)).reshape(a.shape), params
  )
  return jax.jit(lambda *args: model.apply(params, *args))


def test_states_are_first_then_groups_then_last():
  position, (first, groups, last) = LM(CONFIG).init_state(3)

  def shapes(tree):
    return {a.shape[:2] for a in jax.tree.leaves(tree)}

  assert position.shape == (3,)
  assert all(shape[0] == 3 for shape in shapes((first, last)))
  assert shapes(groups) == {(3, 2)}
  assert len(first) == len(groups) == 1 and len(last) == 2


def test_pieces_of_packed_documents_are_the_whole(run):
  """A document continues over the border of pieces; another begins in the second."""
  reset = jnp.zeros(TOKENS.shape, bool).at[:, jnp.array([0, 7])].set(True)
  _, full = run(TOKENS, LM(CONFIG).init_state(2), None)

  expected, end = run(TOKENS, full, reset)

  early, state = run(TOKENS[:, :5], full, reset[:, :5])
  late, state = run(TOKENS[:, 5:], state, reset[:, 5:])
  alone, _ = run(TOKENS[:, 7:], LM(CONFIG).init_state(2), None)

  def close(a, b):
    return np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

  close(jnp.concatenate([early, late], axis=1), expected)
  close(alone, expected[:, 7:])
  jax.tree.map(close, state, end)


def test_a_document_longer_than_the_positions_gets_nan_from_there_on(run):
  _, full = run(TOKENS, LM(CONFIG).init_state(2), None)
  reset = jnp.zeros((2, 12), bool).at[1, 3].set(True)

  logits, _ = run(TOKENS, full, reset)

  assert np.isnan(logits[0]).all() and np.isnan(logits[1, :3]).all()
  assert np.isfinite(logits[1, 3:]).all()


@pytest.mark.full
def test_a_stack_of_all_parts_obeys_the_laws():
  def draw(key, rows, length):
    return jax.random.randint(key, (rows, length), 0, 11)

  check_laws(LM(dataclasses.replace(CONFIG, positions=200_000)), inputs=draw, deep=True)


def _shapes(config):
  model = LM(config)
  return jax.eval_shape(model.init, jax.random.key(0), TOKENS, model.init_state(2))


def test_a_layer_that_reads_what_none_gives_is_refused():
  config = dataclasses.replace(CONFIG, first=())
  with pytest.raises(ValueError, match="reads what an earlier layer gives, and there"):
    _shapes(config)
  alone = CONFIG.pattern[0].layers[0]
  wrapped = dataclasses.replace(CONFIG, last=(entry("parallel", alone),))
  with pytest.raises(ValueError, match="in a wrapper reads no other layer: name it"):
    _shapes(wrapped)


def test_parallel_branches_read_the_same_and_a_scale_weighs_them():
  x = jax.random.normal(jax.random.key(0), (2, 5, 8))
  state = (gru := entry("gru")) and ResidualBlock(gru, 8, 16).init_state(2)

  def block(layers, **residual):
    return ResidualBlock(Block(layers), 8, 16, residual=Residual(**residual))

  both = block((gru, Entry("gelu")), parallel=True, scale=0.5)
  params = both.init(jax.random.key(1), x, state)
  y = both.apply(params, x, state)[0]
  one = block((gru,)).apply(params, x, state)[0]
  other = block((Entry("gelu"),)).apply(params, x, ())[0]

  np.testing.assert_allclose(y, x + 0.5 * (one - x + other - x), rtol=1e-5, atol=1e-6)
  with pytest.raises(ValueError, match="norm_position is 'pre' or 'sandwich'"):
    Residual("post", parallel=True)


def test_draws_of_parameters_and_of_dropout_are_those_of_earlier_versions():
  """A seed gives the same run in every version, and a resumed one the same noise."""
  config = LMConfig(8, d_model=4, d_ff=4, pattern=(entry("rnn"),), num_groups=2)
  model = LM(dataclasses.replace(config, dropout=0.5))
  tokens, state = jnp.ones((1, 4), int), model.init_state(1)
  params = jax.jit(model.init)(jax.random.key(0), tokens, state)
  params = nn.meta.unbox(params)

  @jax.jit
  def noisy(key):
    rngs = {"dropout": key}
    return model.apply(params, tokens, state, deterministic=False, rngs=rngs)[0]

  kernel = params["params"]["stack"]["groups"]["block_0"]["mlp"]["up"]["kernel"]
  np.testing.assert_allclose(kernel[:, 0, 0], [0.10433365, -0.5763021], rtol=1e-5)
  logits = noisy(jax.random.key(1))[0, -1, :3]
  np.testing.assert_allclose(logits, [-0.87419146, 1.4732535, 0.5268806], rtol=1e-4)
