"""Nonlinear cells and their options, where the laws do not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers, ops
from jaxmem.ops import slstm
from jaxmem.testing import check_laws

OPTIONS = [
  ("gru", {"reset_after": False}),
  ("lstm", {"peepholes": True, "layer_norm": True}),
]
MORE_OPTIONS = [
  ("rnn", {"activation": "relu"}),
  ("lstm", {"peepholes": True}),
  ("slstm", {"forget": "exp", "num_heads": 2}),
]


@pytest.mark.parametrize("name, options", OPTIONS)
def test_options_obey_the_laws(name, options):
  check_laws(mixers.get(name).Mixer(d_model=8, **options))


@pytest.mark.full
@pytest.mark.parametrize("name, options", OPTIONS + MORE_OPTIONS)
def test_options_obey_the_full_laws(name, options):
  check_laws(mixers.get(name).Mixer(d_model=8, **options), full=True)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "slstm"])
@pytest.mark.parametrize("length", [1, 7, 8, 21])
def test_chunks_of_any_size_agree(name, length):
  op = ops.get(name)

  @jax.jit
  def run(key):
    case = op.example(key, 2, length)
    sizes = [op.FORMS["chunk"](*case, chunk_size=size) for size in (1, 4, 100)]
    return op.FORMS["recurrent"](*case), sizes

  want, sizes = run(jax.random.key(0))

  for got in sizes:
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
      np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)


def test_chunk_of_no_tokens_is_refused():
  gru = ops.get("gru")
  case = jax.eval_shape(lambda: gru.example(jax.random.key(0), 2, 8))
  with pytest.raises(ValueError, match="chunk_size is 0"):
    jax.eval_shape(lambda *case: gru.FORMS["chunk"](*case, chunk_size=0), *case)


def test_slstm_is_empty_by_element_and_row():
  """An element of a row does not affect whether another one is empty."""
  params, inputs, state = slstm.example(jax.random.key(0), 2, 1)
  params = (jnp.zeros_like(params[0]),)  # only R mixes elements
  run = jax.jit(slstm.FORMS["recurrent"])
  empty_elements = jnp.array([[True, False, True, False, False, True], [False] * 6])
  part = jax.tree.map(lambda a: jnp.where(empty_elements, 0, a), state)

  empty, full, got = (
    jax.tree.leaves(run(params, inputs, memory))
    for memory in (jax.tree.map(jnp.zeros_like, state), state, part)
  )

  for e, k, g in zip(empty, full, got, strict=True):
    np.testing.assert_array_equal(
      g.squeeze(), jnp.where(empty_elements, e.squeeze(), k.squeeze())
    )


@pytest.mark.parametrize("gate", [-50.0, 50.0])
def test_slstm_of_a_first_token_is_that_token_alone(gate):
  """With an empty memory h = sigmoid(o) tanh(z) for all gates."""
  params, (i, f, z, o), _ = slstm.example(jax.random.key(0), 2, 1)
  inputs = (jnp.full_like(i, gate), jnp.full_like(f, -gate), z, o)

  y, _ = slstm.FORMS["recurrent"](params, inputs, slstm.init_state(2, 6))

  np.testing.assert_allclose(y, jax.nn.sigmoid(o) * jnp.tanh(z), rtol=1e-6)


def test_unknown_options_are_refused():
  for name, field in (("rnn", "activation"), ("slstm", "forget")):
    with pytest.raises(ValueError, match=f"{field} is 'sine'"):
      mixers.get(name).Mixer(d_model=8, **{field: "sine"})
