"""MLPs are layers: they are found by name, and obey the laws if they have a state."""

import jax
import jax.numpy as jnp
import pytest

from jaxmem.layers import mlps
from jaxmem.models.block import ResidualBlock
from jaxmem.models.pattern import Block, Entry, PatternError, entry, mlp_entry
from jaxmem.testing import check_laws

SIZES = {"d_model": 8, "d_ff": 16}


@pytest.mark.parametrize("receptance", [False, True])
def test_channel_mix_obeys_the_laws(receptance):
  check_laws(mlps.get("rwkv_channel_mix").MLP(**SIZES, receptance=receptance))


@pytest.mark.parametrize("name", mlps.names())
def test_an_mlp_answers_like_a_mixer(name):
  mlp = mlps.get(name).MLP(**SIZES)
  x, state = jnp.ones((2, 3, 8)), mlp.init_state(2)

  def run(key):
    return mlp.init_with_output(key, x, state)[0]

  y, new = jax.eval_shape(run, jax.random.key(0))

  assert y.shape == x.shape
  assert jax.tree.structure(new) == jax.tree.structure(state)
  assert (state == ()) == (mlp.state_axes() == ())


def test_the_state_of_a_block_is_the_first_layer_s_unless_another_has_one():
  gru, mix = entry("gru"), Entry("rwkv_channel_mix")
  states = {
    layers: ResidualBlock(Block(layers), **SIZES).init_state(2)
    for layers in ((gru,), (gru, Entry("gelu")), (gru, mix), (mix,))
  }
  gru_state, shift = states[(gru,)], states[(mix,)]

  def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b)

  assert same(states[(gru, Entry("gelu"))], gru_state)
  assert same(states[(gru, mix)], (gru_state, shift))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("gelo", "no MLP 'gelo': did you mean 'gelu'"),
    ("gelu:aproximate=True", "no option 'aproximate': did you mean 'approximate'"),
  ],
)
def test_an_unknown_mlp_is_refused(text, message):
  with pytest.raises(PatternError, match=message):
    mlp_entry(text)
