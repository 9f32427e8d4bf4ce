"""No rows give empty outputs, and no tokens give one clear error."""

import jax
import jax.numpy as jnp
import pytest

from jaxmem import ops
from jaxmem.models.pattern import entry, mixer
from support.every_model import ENTRIES, MODELS

# The forms of a cell and of a matrix memory are made anew around a learned start.
STARTED = {
  f"{name} from a learned start": entry(name, learned_start=True, **options)
  for name, options in (("gru", {}), ("gated_delta", {"num_heads": 2}))
}
NO_TOKENS = pytest.raises(ValueError, match="a call with 0 tokens: give at least one")


def _shapes(tree):
  return jax.tree.map(lambda a: (a.shape, a.dtype), tree)


@pytest.mark.parametrize("name", ENTRIES | STARTED)
def test_memory_reads_no_rows_and_refuses_no_tokens(name):
  layer = mixer((ENTRIES | STARTED)[name], 8, "float32")
  x, state = jnp.ones((1, 4, 8)), layer.init_state(1)
  params = jax.eval_shape(lambda: layer.init(jax.random.key(0), x, state))

  def run(params, rows, length):
    x, reset = jnp.ones((rows, length, 8)), jnp.zeros((rows, length), bool)
    state = layer.init_state(rows)
    return layer.apply(params, x, state, reset, mutable=["intermediates"])[0]

  for length in (1, 4):
    y, state = jax.eval_shape(lambda p, n=length: run(p, 0, n), params)
    assert y.shape == (0, length, 8)
    assert _shapes(state) == _shapes(layer.init_state(0))
  for rows in (0, 2):
    with NO_TOKENS:
      jax.eval_shape(lambda p, rows=rows: run(p, rows, 0), params)


@pytest.mark.parametrize("name", ops.names())
def test_form_reads_no_rows_and_refuses_no_tokens(name):
  op = ops.get(name)
  params, inputs, state = jax.eval_shape(lambda: op.example(jax.random.key(0), 2, 4))

  def cut(tree, *sizes):
    """The shapes of a tree with other leading sizes."""
    return jax.tree.map(
      lambda a: jax.ShapeDtypeStruct((*sizes, *a.shape[len(sizes) :]), a.dtype), tree
    )

  y_shape, _ = jax.eval_shape(op.FORMS[next(iter(op.FORMS))], params, inputs, state)
  empty = cut(state, 0)
  for form in op.FORMS.values():
    y, new = jax.eval_shape(form, params, cut(inputs, 0, 4), empty)
    assert _shapes(y) == _shapes(cut(y_shape, 0)) and _shapes(new) == _shapes(empty)
    with NO_TOKENS:
      jax.eval_shape(form, params, cut(inputs, 2, 0), state)


@pytest.mark.parametrize("name", MODELS)
def test_model_reads_no_rows_and_refuses_no_tokens(name):
  model = MODELS[name]
  batch, state = model.example(1, 32), model.init_state(1)

  def init():
    return model.init(jax.random.key(0), batch, state, method="objective")

  params = jax.eval_shape(init)

  def run(params, rows, length):
    batch, state = model.example(rows, length), model.init_state(rows)
    return model.apply(params, batch, state, method="objective")

  nats, state = jax.eval_shape(lambda p: run(p, 0, 32), params)
  assert len(nats) == 0 and _shapes(state) == _shapes(model.init_state(0))
  with NO_TOKENS:
    jax.eval_shape(lambda p: run(p, 2, 0), params)


def test_no_rows_have_gradients_of_zero():
  """By values, compiled: what is cut into chunks and heads elsewhere."""
  layer = mixer(ENTRIES["s5"], 8, "float32")
  x, state = jnp.ones((1, 4, 8)), layer.init_state(1)
  params = jax.jit(layer.init)(jax.random.key(0), x, state)
  x, state = jnp.ones((0, 4, 8)), layer.init_state(0)

  def loss(params):
    return layer.apply(params, x, state)[0].sum()

  value, grads = jax.jit(jax.value_and_grad(loss))(params)
  assert value == 0 and not any(a.any() for a in jax.tree.leaves(grads))
