"""A bidirectional memory obeys the laws that apply to it, by values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import meta

from jaxmem import mixers
from jaxmem.models.wrappers.bidirectional import Bidirectional
from jaxmem.models.wrappers.learned_init import LearnedInit
from jaxmem.testing import check_laws, check_shards, example_of
from jaxmem.testing.suite import BORDERS
from jaxmem.testing.tolerance import worst

ROWS, LENGTH, DIM = 2, 24, 8
NAMES = ["lstm", "gated_delta", "window", "rglru"]
RESET = np.zeros((ROWS, LENGTH), bool)
RESET[tuple(zip(*BORDERS, strict=True))] = True
SHAPE = 3, ROWS, LENGTH, DIM
X, DY, OTHER = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@functools.cache
def _layer(name, form="auto"):
  mixer = mixers.get(name).Mixer(
    d_model=DIM, **example_of(name), form=form, parent=None
  )
  return Bidirectional(mixer)


@functools.cache
def _params(name):
  params = meta.unbox(jax.jit(_layer(name).init)(jax.random.key(1), X))
  draw = np.random.default_rng(2)

  def noisy(p):
    return p + 0.1 * draw.normal(size=p.shape).astype(p.dtype)

  return jax.tree.map(noisy, params)


@functools.cache
def _run(name, form="auto"):
  """Returns y and the gradients of params and x, compiled once for all tests."""
  params = _params(name)

  def run(x, reset, dy):
    def f(params, x):
      return _layer(name, form).apply(params, x, (), reset)[0]

    y, pull = jax.vjp(f, params, x)
    return y, pull(dy)

  compiled = jax.jit(run)
  return lambda *args: jax.device_get(compiled(*args))


def _at(a, index, value):
  """Returns a NumPy copy with a value set: JAX would compile for every index."""
  a = a.copy()
  a[index] = value
  return a


def _same(got, want, dtype="float32"):
  for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    error, at = worst(g, w, dtype)
    assert error <= 1, f"{g[at]} instead of {w[at]} at {at}"


def test_the_suite_detects_what_reads_both_ways():
  check_laws(_layer("rglru"))


@pytest.mark.parametrize("name", NAMES)
def test_forms_agree_in_values_and_gradients(name):
  """Laws 1 and 2 hold."""
  _same(_run(name)(X, RESET, DY), _run(name, "recurrent")(X, RESET, DY))


@pytest.mark.parametrize("name", NAMES)
def test_packed_is_separate(name):
  """Law 4: the document of tokens 5..15 of row 0, alone at the front of a call."""
  inside = _at(np.zeros((ROWS, LENGTH, 1), np.float32), np.s_[0, 5:16], 1)
  y, (dparams, dx) = _run(name)(X, RESET, inside * DY)

  def front(a):
    return np.roll(a, -5, axis=1)

  alone = _at(np.zeros_like(RESET), np.s_[:, 11], True)
  y1, (dparams1, dx1) = _run(name)(front(X), alone, front(inside * DY))
  _same(y[0, 5:16], y1[0, :11])
  _same(dparams, dparams1)
  _same(dx[0, 5:16], dx1[0, :11])
  _same(dx * (1 - inside), np.zeros_like(dx), "exact")

  # the tokens of other documents do not matter
  y2, _ = _run(name)(np.where(inside == 1, X, OTHER), RESET, DY)
  _same(y2[0, 5:16], y[0, 5:16], "exact")


@pytest.mark.parametrize("name", NAMES)
def test_a_token_sees_its_whole_document(name):
  """In a short document every token changes every other, before and after it."""
  y, _ = _run(name)(X, RESET, DY)
  for changed, read in ((15, 12), (12, 15)):
    moved = _at(X, np.s_[0, changed], X[0, changed] + 1)
    y2, _ = _run(name)(moved, RESET, DY)
    assert np.abs(y2 - y)[0, read].max() > 0
    np.testing.assert_array_equal(y2[1], y[1])


@pytest.mark.parametrize("name", NAMES)
def test_state_is_empty(name):
  """Law 6 holds, and a reset on the first token changes nothing."""
  layer = _layer(name)
  assert layer.init_state(ROWS) == () and layer.state_axes() == ()
  y, state = jax.jit(layer.apply)(_params(name), X, layer.init_state(ROWS))
  assert state == ()
  none = np.zeros_like(RESET)
  _same(_run(name)(X, none, DY)[0], y)
  _same(_run(name)(X, _at(none, np.s_[:, 0], True), DY)[0], y)


@pytest.mark.parametrize("name", NAMES)
def test_transforms_work(name):
  """Law 8 holds."""
  params, reset = _params(name), jnp.asarray(RESET)
  f = jax.checkpoint(lambda x: _layer(name).apply(params, x, (), reset)[0])
  run = jax.jit(jax.vmap(lambda x, dy: jax.vjp(f, x)[1](dy)[0]))

  got = run(np.stack([OTHER, X]), np.stack([DY, DY]))

  _same(got[1], _run(name)(X, RESET, DY)[1][1])


def test_shards_do_not_matter():
  """Law 7 holds."""
  check_shards(_layer("rglru"), shards=(2,))


def test_it_reads_from_a_learned_start_both_ways():
  mixer = mixers.get("gru").Mixer(d_model=DIM, parent=None)
  layer = Bidirectional(LearnedInit(mixer))
  params = jax.jit(layer.init)(jax.random.key(0), X)

  def loss(params, x):
    return (layer.apply(params, x)[0] * DY).sum()

  grads = jax.jit(jax.grad(loss))(params, X)

  for way in ("forward", "backward"):
    assert np.abs(grads["params"][way]["start_h"].unbox()).min() > 0
