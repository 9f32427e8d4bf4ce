"""The forecaster has proper losses and exact normalisation; streams equal windows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from jaxmem.models.forecaster import Forecaster, ForecasterConfig, Scale
from jaxmem.models.pattern import PatternError, entry

PATTERN = (entry("gru"), entry("window", window_size=3, num_heads=2))


def build(**changes):
  fields = {"horizon": 5, "patch": 4, "d_model": 8, "pattern": PATTERN} | changes
  model = Forecaster(ForecasterConfig(**fields))
  init = jax.jit(functools.partial(model.init, method="objective"))
  return model, init(jax.random.key(0), model.example(2, 12), ())


def history(length=12, series=3):
  return jax.random.normal(jax.random.key(1), (2, length, series)) * 2 + 5


@pytest.mark.parametrize("backbone", ["stack", "dlinear"])
def test_a_window_in_other_units_has_its_forecast_in_them(backbone):
  """The normalisation is reversible: f(a x + b) = a f(x) + b."""
  model, params = build(backbone=backbone)
  run = jax.jit(model.apply)
  once, again = run(params, history()), run(params, 3 * history() - 7)
  np.testing.assert_allclose(again, 3 * once - 7, rtol=1e-4, atol=1e-3)


def test_a_stream_with_its_state_is_the_whole_window():
  model, params = build()
  x = history()
  scale = model.scale(x)
  state = model.stream_state(2, 3)
  run = jax.jit(lambda *args: model.apply(params, *args, method="observe"))
  expected, end = run(x, scale, state)
  for at in range(0, 12, 4):
    piece, state = run(x[:, at : at + 4], scale, state)
  np.testing.assert_allclose(piece, expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
    expected, jax.jit(model.apply)(params, x), rtol=1e-5, atol=1e-5
  )

  def close(a, b):
    return np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)

  jax.tree.map(close, state, end)


def test_series_do_not_see_each_other():
  model, params = build()
  x = history()
  other = x.at[..., 1].add(jnp.arange(12.0))
  run = jax.jit(model.apply)
  one, two = run(params, x), run(params, other)
  np.testing.assert_allclose(one[..., [0, 2], :], two[..., [0, 2], :], atol=1e-6)
  assert jnp.abs(one[..., 1, :] - two[..., 1, :]).max() > 1e-2


@pytest.mark.parametrize("head", ["gaussian", "student"])
def test_the_nats_of_a_head_are_of_a_density(head):
  model, params = build(head=head, normalise=False)
  forecast = jax.jit(model.apply)(params, history())[:1, :1, :1]
  grid = np.linspace(-60, 60, 2401)
  y = jnp.asarray(grid, jnp.float32)[:, None, None]
  nats = jax.jit(jax.vmap(lambda y: model._loss(forecast, y[None])))(y)
  mass = integrate.simpson(np.exp(-np.asarray(nats, float).ravel()), x=grid)
  assert abs(mass - 1) < 5e-3


def test_the_pinball_loss_is_least_at_the_quantile():
  model, _ = build(head="quantile", quantiles="0.1,0.9")
  y = jax.random.uniform(jax.random.key(2), (1, 4000, 1))
  losses = [
    float(model._loss(jnp.full((1, 4000, 1, 2), q), y).mean()) for q in (0.1, 0.5, 0.9)
  ]
  exact = jnp.broadcast_to(jnp.array([0.1, 0.9]), (1, 4000, 1, 2))
  at_quantile = float(model._loss(exact, y).mean())
  assert at_quantile < min(losses) and at_quantile == pytest.approx(0.09, rel=0.05)


@pytest.mark.parametrize("backbone", ["stack", "dlinear"])
def test_quantiles_do_not_cross(backbone):
  """It holds for all outputs of the head, also where they lie far apart."""
  model, params = build(head="quantile", quantiles="0.1,0.4,0.9", backbone=backbone)
  forecast = jax.jit(
    lambda scale: model.apply(jax.tree.map(lambda a: a * scale, params), history())
  )
  config = dataclasses.replace(model.config, head="point", horizon=15)
  unordered = jax.jit(Forecaster(config).apply)
  for scale in (1.0, -1.0, 1e3, 1e6):
    quantiles = forecast(scale)
    assert quantiles.shape == (2, 5, 3, 3) and jnp.isfinite(quantiles).all()
    assert (jnp.diff(quantiles, axis=-1) >= 0).all()
  raw = unordered(params, history()).reshape(2, 5, 3, 3)
  assert (jnp.diff(raw, axis=-1) < 0).any()


def test_mae_and_mse_follow_their_definitions():
  for loss, expected in (("mse", 4.0), ("mae", 2.0)):
    model, _ = build(loss=loss)
    losses = model._loss(jnp.full((1, 1, 1, 1), 3.0), jnp.ones((1, 1, 1)))
    assert float(losses[0, 0, 0]) == expected


def test_a_series_that_does_not_move_has_a_finite_forecast_and_gradient():
  model, params = build()
  batch = {
    "history": jnp.ones((2, 12, 1)),
    "future": jnp.ones((2, 5, 1)),
    "weights": jnp.ones(2),
  }

  def loss(p):
    return model.apply(p, batch, (), method="objective")[0].sum()

  leaves = jax.tree.leaves(jax.jit(jax.value_and_grad(loss))(params))
  assert all(bool(jnp.isfinite(a).all()) for a in leaves)


def test_dlinear_is_two_linear_maps():
  """With its weights on one step, the forecast is that step's trend."""
  model, params = build(backbone="dlinear", normalise=False, horizon=1)
  zeros = jax.tree.map(jnp.zeros_like, params)
  at = zeros["params"]["trend"]["kernel"].value.at[6, 0].set(1.0)
  zeros["params"]["trend"]["kernel"] = at
  x = history()
  padded = np.pad(np.asarray(x), ((0, 0), (12, 12), (0, 0)), mode="edge")
  expected = padded[:, 6 : 6 + 25].mean(1)
  forecast = jax.jit(model.apply)(zeros, x)
  np.testing.assert_allclose(forecast[:, 0, :, 0], expected, rtol=1e-5)


def test_impossible_options_are_refused():
  with pytest.raises(ValueError, match="rising numbers"):
    build(head="quantile", quantiles="0.9,0.1")
  with pytest.raises(PatternError, match="reads both ways"):
    build(pattern=(entry("encoder_attention"),))
  assert Scale._fields == ("mean", "std")
