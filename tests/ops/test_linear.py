"""Linear attention and its gates, where the laws do not reach."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.ops import gated_linear, mlstm
from jaxmem.ops.recurrence import decay, features
from jaxmem.testing import cases, check_laws, check_shards

PER_HEAD = {"per_channel": False}
SHARED = {"groups": 1}
BONUS = {"bonus": True}


def _variant(**options):
  """Returns the case of the op with other shapes; its example has channel decays."""

  def draw(f):
    return functools.partial(f, **options)

  case = cases.of(gated_linear)
  example, stress = draw(gated_linear.example), draw(gated_linear.stress)
  return dataclasses.replace(case, example=example, stress=stress)


def test_shared_keys_and_a_decay_a_head_obey_the_laws():
  check_laws(_variant(**PER_HEAD, **SHARED))


def test_bonus_obeys_the_laws():
  check_laws(_variant(**BONUS))


@pytest.mark.full
@pytest.mark.parametrize("rate", [{}, PER_HEAD], ids=["channel", "head"])
@pytest.mark.parametrize("keys", [{}, SHARED], ids=["own", "shared"])
@pytest.mark.parametrize("bonus", [{}, BONUS], ids=["plain", "bonus"])
def test_every_variant_obeys_the_full_laws(rate, keys, bonus):
  check_laws(_variant(**rate, **keys, **bonus), full=True)


def test_shards_do_not_matter_to_a_gated_sum():
  check_shards(gated_linear)


def test_shards_do_not_matter_to_exponential_gates():
  check_shards(mlstm)


@pytest.mark.parametrize("size", [1, 5, 16, 21])
@pytest.mark.parametrize("strict", [False, True])
def test_decays_a_channel_are_those_of_the_definition(key, size, strict):
  """The reference sums over the tokens between, in float64."""
  rows, channels = 2, 6
  g, q, k, borders = jax.random.split(key, 4)
  shape = (rows, 1, size, channels)
  g = -10 * jax.nn.softplus(3 * jax.random.normal(g, shape))
  q, k = jax.random.normal(q, shape), jax.random.normal(k, shape)
  reset = jax.random.bernoulli(borders, 0.1, (rows, size))

  @jax.jit
  def scores(q, k, g):
    d = decay.within(g, reset)
    return decay.scores(decay.before(d) if strict else d, q, k, jnp.einsum)

  got = scores(q, k, g)

  number = np.cumsum(reset, axis=1)
  want = np.zeros((rows, size, size))
  wide = [np.asarray(a, np.float64)[:, 0] for a in (q, k, g)]
  for row in range(rows):
    q, k, g = (a[row] for a in wide)
    for i in range(size):
      for j in range(i if strict else i + 1):
        if number[row, i] == number[row, j]:
          decayed = np.exp(g[j + 1 : i + (not strict)].sum(0))
          want[row, i, j] = (q[i] * k[j] * decayed).sum()
  np.testing.assert_allclose(got[:, 0], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strict", [False, True])
def test_second_derivatives_of_decays_a_channel_are_those_of_the_definition(strict):
  """The derivatives do not pass through the exponentials of the values."""
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    q, k, g = (jnp.asarray(rng.standard_normal((1, 1, 5, 2))) for _ in range(3))
    reset = jnp.asarray([[False, False, False, True, False]])

    def summed(scores, q, k, g):
      d = decay.within(-jnp.exp(g), reset)
      d = decay.before(d) if strict else d
      return jnp.sin(scores(d, q, k, jnp.einsum)).sum()

    def defined(d, q, k, product):
      log = d.read[..., :, None, :] - d.write[..., None, :, :]
      visible = decay.seen(d.document, d.strict)[..., None]
      decayed = jnp.where(visible, jnp.exp(log), 0)
      return product("...ik,...jk,...ijk->...ij", q, k, decayed)

    def curvature(scores):
      f = functools.partial(summed, scores)
      return jax.tree.leaves(jax.jit(jax.hessian(f, (0, 1, 2)))(q, k, g))

    for got, want in zip(curvature(decay.scores), curvature(defined), strict=True):
      np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_taylor_features_are_exp_to_second_order(key):
  q, k = jax.random.normal(key, (2, 7, 5))
  s = (q * k).sum(-1) * 5**-0.5
  got = features.taylor(q)

  np.testing.assert_allclose(
    (got * features.taylor(k)).sum(-1), 1 + s + s**2 / 2, rtol=1e-5
  )
  assert got.shape[-1] == features.count("taylor", 5) == 21


def _both(inputs, state):
  return [form((), inputs, state) for form in mlstm.FORMS.values()]


@pytest.mark.parametrize("log_gate", [-1000.0, -50.0, 0.0, 50.0])
def test_mlstm_is_a_weighted_mean_or_a_small_sum(log_gate):
  """After one token both forms give v where |n q| > 1, else e^i (k . q) v."""
  k = jnp.ones((1, 1, 1, 4))
  v = jnp.arange(3.0)[None, None, None]
  i = jnp.full((1, 1, 1), log_gate)
  inputs, state = (k, k, v, i, jnp.zeros_like(i)), mlstm.init_state(1, 1, 4, 3)
  want = v * min(1.0, 4 * np.exp(log_gate))
  for y, new in jax.jit(_both)(inputs, state):
    np.testing.assert_allclose(y, want, rtol=1e-5)
    assert new.m == max(log_gate, 0)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("feature_map", ["relu", "taylor", "identity"])
def test_linear_attention_takes_every_feature_map(key, feature_map, normalize):
  cls = mixers.get("linear_attention").Mixer
  options = dict(num_heads=2, feature_map=feature_map, normalize=normalize)
  if feature_map == "identity" and normalize:
    with pytest.raises(ValueError, match="identity"):
      cls(8, **options)
    return
  mixer = cls(8, chunk_size=4, **options)
  x, state = jax.random.normal(key, (2, 9, 8)), mixer.init_state(2)

  @jax.jit
  def run(x, state):
    params = mixer.init(key, x, state)
    recurrent = mixer.clone(form="recurrent")
    return mixer.apply(params, x, state), recurrent.apply(params, x, state)

  (y, new), (y0, new0) = run(x, state)

  np.testing.assert_allclose(y, y0, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(new.s, new0.s, rtol=1e-4, atol=1e-5)
  assert new.s.shape == state.s.shape


def test_unknown_feature_map_names_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'taylor'"):
    mixers.get("linear_attention").Mixer(8, feature_map="tailor")


def test_empty_memory_may_be_made_inside_jit():
  """XLA on CPU gave NaN here, since it folded products of the constant state."""
  model = LM(LMConfig(64, 64, 128, (entry("mamba2"),), num_groups=2))
  tokens = jax.random.randint(jax.random.key(1), (256, 64), 0, 64)
  params = jax.jit(model.init)(jax.random.key(0), tokens[:2], model.init_state(2))
  inside = jax.jit(lambda p, t: model.apply(p, t, model.init_state(len(t)))[0])

  assert jnp.isfinite(inside(params, tokens)).all()
