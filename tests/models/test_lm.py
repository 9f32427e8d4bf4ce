"""The language model, where the laws do not reach."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers
from jaxmem.core.errors import UserError
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry

CONFIG = LMConfig(
  vocab_size=11,
  d_model=8,
  d_ff=16,
  pattern=(entry("lstm"), entry("window", window_size=4, num_heads=2)),
  num_groups=2,
)
TOKENS = jax.random.randint(jax.random.key(1), (2, 12), 0, 11)


@functools.cache
def _gradient(config, deterministic=True):
  """Compiles loss and gradient of the parameters and the key of dropout."""
  model = LM(config)

  def losses(params, key):
    args = TOKENS, TOKENS, model.init_state(2), None, deterministic
    return model.apply(params, *args, method="losses", rngs={"dropout": key})[0].sum()

  return jax.jit(jax.value_and_grad(losses))


@pytest.fixture(scope="module")
def params():
  model = LM(CONFIG)
  return jax.jit(model.init)(jax.random.key(0), TOKENS, model.init_state(2))


def test_remat_changes_nothing(params):
  key = jax.random.key(0)
  plain = _gradient(CONFIG)(params, key)
  remat = _gradient(dataclasses.replace(CONFIG, remat=True))(params, key)

  for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(remat), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("remat", [False, True])
def test_dropout_needs_a_key_and_changes_the_loss(params, remat):
  config = dataclasses.replace(CONFIG, dropout=0.5, remat=remat)

  def draw(i):
    return _gradient(config, False)(params, jax.random.key(i))[0]

  def sure(config):
    return _gradient(config)(params, jax.random.key(0))[0]

  assert draw(0) == draw(0) != draw(1)
  assert sure(config) == sure(CONFIG)


def test_losses_are_those_of_the_logits_whatever_the_chunk(params):
  model = LM(dataclasses.replace(CONFIG, loss_chunk=5))
  state = model.init_state(2)

  @jax.jit
  def both(params):
    logits, _ = model.apply(params, TOKENS, state)
    return logits, model.apply(params, TOKENS, TOKENS, state, method="losses")[0]

  logits, losses = both(params)

  want = -jnp.take_along_axis(jax.nn.log_softmax(logits), TOKENS[..., None], axis=-1)[
    ..., 0
  ]
  np.testing.assert_allclose(losses, want, rtol=1e-5, atol=1e-5)


def test_separate_head_has_a_table_of_its_own():
  def count(config):
    return sum(
      a.size
      for a in jax.tree.leaves(
        jax.eval_shape(
          LM(config).init, jax.random.key(0), TOKENS, LM(config).init_state(2)
        )
      )
    )

  untied = dataclasses.replace(CONFIG, tied=False)
  assert count(untied) - count(CONFIG) == CONFIG.vocab_size * CONFIG.d_model


def test_states_have_rows_first_and_axes_for_every_dimension():
  model = LM(CONFIG)
  state, axes = model.init_state(3), model.state_axes()

  def is_names(a):
    return type(a) is tuple and all(isinstance(n, str | None) for n in a)

  names = jax.tree.leaves(axes, is_leaf=is_names)
  for array, name in zip(jax.tree.leaves(state), names, strict=True):
    assert array.shape[:2] == (3, CONFIG.num_groups)
    assert len(name) == array.ndim and name[:2] == ("batch", "layers")


def test_packed_documents_give_the_logits_of_each_alone(params):
  """Row 0 has documents of 5, 1 and 6 tokens after a memory of another document."""
  model = LM(CONFIG)
  run = jax.jit(model.apply)
  _, full = run(params, TOKENS, model.init_state(2))
  reset = jnp.zeros(TOKENS.shape, bool).at[:, jnp.array([0, 5, 6])].set(True)

  packed, _ = run(params, TOKENS, full, reset)

  for begin, end in ((0, 5), (5, 6), (6, 12)):
    front = jnp.roll(TOKENS, -begin, axis=1)  # what follows a token does not matter
    alone, _ = run(params, front, model.init_state(2))
    alone = alone[:, : end - begin]
    np.testing.assert_allclose(packed[:, begin:end], alone, rtol=1e-4, atol=1e-5)


def test_no_token_at_all_is_refused(params):
  model = LM(CONFIG)
  with pytest.raises(ValueError, match="0 tokens: give at least one"):
    jax.eval_shape(model.apply, params, TOKENS[:, :0], model.init_state(2))


@pytest.mark.parametrize("name", sorted({*mixers.names()} - {*mixers.carrying()}))
def test_memory_that_sees_the_future_or_needs_an_encoder_is_refused_by_name(name):
  model = LM(LMConfig(11, 16, pattern=(entry("lstm"), entry(name))))
  with pytest.raises(UserError, match=f"{name!r} reads"):
    model.init_state(2)
