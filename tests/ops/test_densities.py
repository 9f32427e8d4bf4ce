"""Log densities in float32 equal SciPy's in float64, over their whole range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxmem.models.forecaster import Forecaster, ForecasterConfig
from jaxmem.ops import densities

SCALES = np.array([1e-9, 1e-5, 0.3, 1.0, 7.0, 1e4, 1e9])
FREEDOMS = np.array(
  [2.001, 2.1, 2.7, 4, 9, 11.9, 12.1, 30, 1e2, 1e3, 1e4, 1e6, 1e7, 1e8]
)
# scales from the location
DISTANCES = np.array([0, 1e-9, 1e-3, 0.5, 1, 1.7, 3, 30, 1e3, 1e6, 1e9, 1e18])


def points(*axes):
  grid = np.meshgrid(*axes, indexing="ij")
  return [np.float32(a.ravel()) for a in grid]


def grid():
  """Returns y, location 0, log scale and log(v - 2), rounded to float32."""
  distance, scale, freedom = points(DISTANCES, SCALES, FREEDOMS)
  sign = np.where(np.arange(len(distance)) % 2, -1, 1).astype(np.float32)
  w = np.log(FREEDOMS - 2).astype(np.float32)
  w = np.tile(w, len(distance) // len(w))
  return sign * distance * scale, 0 * scale, np.log(scale), w


def close(actual, exact, tolerance, floor):
  actual, exact = np.asarray(actual, np.float64), np.asarray(exact, np.float64)
  assert np.isfinite(actual).all()
  bad = np.abs(actual - exact) > np.maximum(tolerance * np.abs(exact), floor)
  assert not bad.any(), list(zip(actual[bad], exact[bad], strict=True))[:5]


def student_slopes(y, s, w):
  """Returns the exact derivatives by y, log scale and log(v - 2), in float64."""
  y, s, w = (np.asarray(a, np.float64) for a in (y, s, w))
  v, z = 2 + np.exp(w), y * np.exp(-s)
  u = z**2 / v
  x = v / 2
  direct = special.digamma(x + 0.5) - special.digamma(x) - 0.5 / x
  gammas = np.where(x < 100, direct, 1 / (8 * x**2) - 1 / (64 * x**4))
  direct = np.log1p(u) - u / (1 + u)
  logs = np.where(u > 1e-4, direct, u**2 / 2 - 2 * u**3 / 3 + 3 * u**4 / 4)
  by_v = 0.5 * gammas - 0.5 * logs + 0.5 * u / (1 + u) / v
  by_y = -(v + 1) / v * z / (1 + u) * np.exp(-s)
  return by_y, (v + 1) * u / (1 + u) - 1, by_v * np.exp(w)


def test_students_density_is_that_of_scipy():
  y, location, s, w = grid()
  actual = densities.student_log_density(y, location, s, w)
  assert actual.dtype == jnp.float32
  wide = [a.astype(np.float64) for a in (y, s, w)]
  exact = stats.t.logpdf(wide[0], 2 + np.exp(wide[2]), 0, np.exp(wide[1]))
  close(actual, exact, 1e-5, 1e-6)


def test_the_gradients_of_students_density_are_exact():
  y, location, s, w = grid()

  def total(*args):
    return densities.student_log_density(*args).sum()

  by_y, by_location, by_s, by_w = jax.grad(total, (0, 1, 2, 3))(y, location, s, w)
  exact = student_slopes(y, s, w)
  np.testing.assert_array_equal(by_location, -by_y)
  close(by_y, exact[0], 1e-4, 1e-30)
  close(by_s, exact[1], 1e-4, 1e-5)
  # relative, but where terms that are not small cancel to 0
  close(by_w, exact[2], 1e-4, 1e-7)
  many = np.float64(2 + np.exp(w.astype(np.float64))) > 1e4
  near = many & (np.abs(y) * np.exp(-s) == 0)
  close(by_w[near], exact[2][near], 1e-4, 0)


def test_the_reference_slopes_are_those_of_scipy():
  """The formulas above equal differences of SciPy's densities."""
  y, s, w = np.meshgrid([0.1, 1.3, 20.0], [-1.0, 2.0], [-2.0, 1.0, 5.0])

  def density(y, s, w):
    return stats.t.logpdf(y, 2 + np.exp(w), 0, np.exp(s))

  exact = student_slopes(y, s, w)
  for i, slope in enumerate(exact):
    step = [1e-5 * (i == k) for k in range(3)]
    up = density(y + step[0], s + step[1], w + step[2])
    down = density(y - step[0], s - step[1], w - step[2])
    np.testing.assert_allclose(slope, (up - down) / 2e-5, rtol=1e-4, atol=1e-6)


def test_the_normal_density_is_that_of_scipy_with_its_gradients():
  y, s = points(np.concatenate([-DISTANCES, DISTANCES]), SCALES)
  y, s = y * s, np.log(s)
  zeros = np.zeros_like(y)
  wide_y, wide_s = y.astype(np.float64), s.astype(np.float64)
  actual = densities.normal_log_density(y, zeros, s)
  close(actual, stats.norm.logpdf(wide_y, 0, np.exp(wide_s)), 1e-5, 1e-6)

  def total(*args):
    return densities.normal_log_density(*args).sum()

  by_y, by_mean, by_s = jax.grad(total, (0, 1, 2))(y, zeros, s)
  z = wide_y * np.exp(-wide_s)
  close(by_y, -z * np.exp(-wide_s), 1e-4, 1e-30)
  close(by_s, z**2 - 1, 1e-4, 1e-5)
  np.testing.assert_array_equal(by_mean, -by_y)


@pytest.mark.parametrize("head, width", [("gaussian", 2), ("student", 3)])
def test_beyond_its_range_a_density_is_that_of_its_end(head, width):
  model = Forecaster(ForecasterConfig(horizon=1, patch=1, head=head))
  y = jnp.ones((1, 1, 1))

  def loss(numbers):
    return model._loss(numbers.reshape(1, 1, 1, width), y).sum()

  both = jax.value_and_grad(loss)
  at_the_mean = loss(jnp.array([1.0, -50.0, 18.0][:width]))
  assert float(at_the_mean) == pytest.approx(-50 + 0.5 * np.log(2 * np.pi), rel=1e-6)
  for raw in (-1e30, -90.0, 90.0, 1e30):
    value, slope = both(jnp.array([0.5, 1.0, raw][:width]))
    assert jnp.isfinite(value) and jnp.isfinite(slope).all()
    value, slope = both(jnp.array([1e30, raw, raw][:width]))
    assert (
      jnp.isfinite(value)
      and jnp.isfinite(slope).all()
      and slope[1] == 0
      or (head == "gaussian")
    )
  if head == "student":
    far, end = (loss(jnp.array([0.5, 1.0, w])) for w in (89.0, 18.5))
    exact = -stats.t.logpdf(1.0, 2 + np.exp(89.0), 0.5, np.e)
    assert float(far) == float(end) == pytest.approx(exact, rel=1e-6)


def test_clamped_parameters_are_given_to_intervals():
  raw = jnp.array([-1e9, 0.0, 1e9])
  assert np.isfinite(densities.scale(raw)).all() and float(densities.scale(raw)[1]) == 1
  v = np.asarray(densities.degrees_of_freedom(raw))
  assert 2 < v[0] < 2.001 and v[1] == 3 and 1e8 < v[2] < 1.1e8
