"""Every memory, model and head works with parameters cast to bfloat16.

Arrays of two dtypes meet there, so the library's strict promotion is off.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.models.pattern import Entry, mixer
from jaxmem.parallel import mesh as meshes
from support.every_model import ENTRIES, MODELS


@pytest.fixture(autouse=True)
def _standard():
  with jax.numpy_dtype_promotion("standard"):
    yield


def _low(params):
  params = meshes.unboxed(params)
  return jax.tree.map(lambda a: a.astype(jnp.bfloat16), params)


def _kinds(tree):
  return jax.tree.map(lambda a: (a.shape, a.dtype), tree)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ENTRIES)
def test_memory_keeps_its_dtypes(name, dtype):
  layer = mixer(ENTRIES[name], 8, dtype)
  x, state = jnp.ones((1, 4, 8), dtype), layer.init_state(1)

  def run():
    params = layer.init(jax.random.key(0), x, state)
    return layer.apply(_low(params), x, state)

  y, new = jax.eval_shape(run)
  assert y.dtype == dtype and y.shape == x.shape
  assert _kinds(new) == _kinds(state)


@pytest.mark.parametrize("name", MODELS)
def test_model_reads_a_batch(name):
  model = MODELS[name]
  batch, state = model.example(1, 32), model.init_state(1)

  def run():
    params = model.init(jax.random.key(0), batch, state, method="objective")
    return model.apply(_low(params), batch, state, method="objective")

  nats, new = jax.eval_shape(run)
  assert nats.dtype == jnp.float32 and _kinds(new) == _kinds(state)


@pytest.mark.parametrize("name", ["lru", "s5", "mamba2"])
def test_rounded_parameters_forget_as_fast(name):
  """A rate is rounded, not its exponential: exp(-0.001) would be 1 and never forget."""
  layer = mixer(Entry(name, ENTRIES[name].options), 8, "float32")
  x, state = jax.random.normal(jax.random.key(0), (1, 6, 8)), layer.init_state(1)
  params = meshes.unboxed(jax.jit(layer.init)(jax.random.key(1), x, state))

  @jax.jit
  def decay(params):
    (y, _), sown = layer.apply(params, x, state, mutable=["intermediates"])
    return y, sown["intermediates"]["log_decay"][0]

  want, got = decay(params), decay(_low(params))
  np.testing.assert_allclose(got[1], want[1], rtol=0.05)
  scale = float(jnp.abs(want[0]).max())
  np.testing.assert_allclose(got[0], want[0], atol=0.05 * scale)
