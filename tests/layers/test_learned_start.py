"""Memories with a learned initial state obey the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers, ops
from jaxmem.models.block import ResidualBlock
from jaxmem.models.pattern import entry, parse
from jaxmem.models.wrappers.learned_init import LearnedInit
from jaxmem.ops import lstm
from jaxmem.ops.recurrence import learned_init
from jaxmem.testing import check_laws, check_shards, example_of


def _can_start(op):
  return bool(ops.record(op).starts)


@pytest.mark.parametrize("name", ["slstm", "rglru"])
def test_op_with_a_learned_start_obeys_the_laws(name):
  check_laws(learned_init.learned(ops.record(name)))


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n in ops.names() if _can_start(ops.get(n))])
def test_every_op_with_a_learned_start_obeys_the_full_laws(name):
  check_laws(learned_init.learned(ops.record(name)), full=True)


@pytest.mark.full
@pytest.mark.parametrize(
  "name", [n for n in mixers.names() if _can_start(mixers.op(n))]
)
def test_every_mixer_with_a_learned_start_obeys_the_laws(name):
  mixer = mixers.get(name).Mixer(d_model=8, **example_of(name), parent=None)
  check_laws(LearnedInit(mixer))


def test_a_pattern_can_ask_for_it():
  (item,) = parse("gru:learned_start=True")
  assert item == entry("gru", learned_start=True)
  check_laws(ResidualBlock(item, d_model=8, d_ff=16))


def test_shards_do_not_matter_to_a_learned_start():
  mixer = mixers.get("rglru").Mixer(d_model=8, num_heads=2, parent=None)
  check_shards(LearnedInit(mixer), shards=(2,))


@pytest.mark.parametrize("form", lstm.FORMS)
def test_every_document_begins_from_the_start(form):
  params, inputs, _ = lstm.example(jax.random.key(0), 2, 12)
  c, h = jax.random.normal(jax.random.key(1), (2, 4))
  reset = jnp.zeros((2, 12), bool).at[0, 5].set(True)
  empty = lstm.init_state(2, 4)

  run = jax.jit(learned_init.learned(ops.record("lstm")).form(form))
  y, state = run((c, h, *params), inputs, empty, reset)

  def rows(a):
    return jnp.broadcast_to(a, (2, 4))

  begin = lstm.State(rows(c), rows(h))

  def cut(a):
    return a[:, 5:]

  plain = jax.jit(lstm.FORMS["recurrent"])
  first, last = plain(params, inputs, begin)
  second, last_second = plain(params, jax.tree.map(cut, inputs), begin)

  def close(a, b):
    return np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

  close(y[0, :5], first[0, :5])
  close(y[0, 5:], second[0])
  close(y[1], first[1])
  close(state.c[0] + c, last_second.c[0])
  close(state.c[1] + c, last.c[1])


def test_the_start_gets_gradients_from_every_document():
  op = learned_init.learned(ops.record("lstm"))
  params, inputs, _ = op.example(jax.random.key(0), 1, 12)
  reset = jnp.zeros((1, 12), bool).at[0, jnp.array([4, 8])].set(True)
  empty = lstm.init_state(1, 4)

  @jax.jit
  @jax.grad
  def slope(h, token):
    y, _ = op.form("chunk")((params[0], h, *params[2:]), inputs, empty, reset)
    return y[0, token].sum()

  for token in (3, 7, 11):
    assert jnp.abs(slope(params[1], token)).min() > 0


def test_what_keeps_inputs_has_no_learned_start():
  window = mixers.get("window").Mixer(d_model=8, num_heads=2, parent=None)
  with pytest.raises(ValueError, match="keeps are inputs"):
    args = jax.random.key(0), jnp.zeros((1, 4, 8)), window.init_state(1)
    jax.eval_shape(LearnedInit(window).init, *args)


def test_a_mixer_that_applies_its_op_as_it_is_says_so(monkeypatch):
  gru = mixers.get("gru").Mixer(d_model=8, parent=None)
  monkeypatch.setattr(type(gru), "op", lambda self, file: ops.record(file))
  with pytest.raises(ValueError, match="GRU applies its op as it is"):
    LearnedInit(gru).init(jax.random.key(0), jnp.zeros((1, 4, 8)), gru.init_state(1))
