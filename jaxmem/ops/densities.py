"""Log densities of a real number, stable in float32 from tiny scales to far tails.

    normal   -log s - log(2 pi) / 2 - z^2 / 2
    student  -log s - log(2 pi) / 2 + B(v / 2) - (v + 1) / 2 log1p(z^2 / v)

with z = (y - location) / s and B(x) = log Gamma(x + 1/2) - log Gamma(x) - log(x) / 2.
The two log Gammas are never subtracted: where v is large all their digits agree.

Both take the logarithm of the scale; `student_log_density` takes log(v - 2), so that
the variance is finite. What is outside the ranges below is clamped to their ends, where
the gradient to what was clamped is 0:

    scale                 exp(-60) .. exp(60), 9e-27 .. 1e26
    degrees of freedom    2 + exp(-7) .. 2 + exp(18.5), 2.0009 .. 1.08e8
    |y - location|        up to 1e19 scales, whose square float32 still holds

They agree with SciPy in float64 to 1e-5 relative or 1e-6 absolute, and their gradients
to y, location, log scale and log(v - 2) to 1e-4 (tests/ops/test_densities.py). Where
terms of 20 cancel, at extreme scales and a log density near 0, float32 leaves 4e-6
absolute.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Float32 arrays of shapes that broadcast.
Numbers = Float[Array | np.ndarray, "..."]
LOG_SCALE = (-60.0, 60.0)
LOG_FREEDOM = (-7.0, 18.5)
# Of |z|: its square and the sum of a few are finite in float32.
FARTHEST = 1e19
_HALF_LOG_2_PI = 0.9189385332046727
# B(x) = -1/(8 x) + 1/(192 x^3) - 1/(640 x^5) + 17/(14336 x^7) - ..., for large x.
_SERIES = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336)
# From here on the series has float32's precision; smaller x are raised by as much.
_LARGE = 6


def normal_log_density(y: Numbers, mean: Numbers, log_scale: Numbers) -> Numbers:
  """Returns the log density of a normal distribution at y, in nats.

  Args:
    y: where the density is evaluated.
    mean: of the distribution.
    log_scale: log of the standard deviation.

  Returns:
    log N(y; mean, exp(log_scale)^2).
  """
  log_scale = jnp.clip(log_scale, *LOG_SCALE)
  z = _standardised(y - mean, log_scale)
  return -log_scale - _HALF_LOG_2_PI - 0.5 * z**2


def student_log_density(
  y: Numbers,
  location: Numbers,
  log_scale: Numbers,
  log_freedom: Numbers,
) -> Numbers:
  """Returns the log of Student's t density at y, in nats.

  Args:
    y: where the density is evaluated.
    location: of the distribution.
    log_scale: log of its scale, which is not its standard deviation.
    log_freedom: log(v - 2) for v degrees of freedom.

  Returns:
    The log density, of the shape that the arguments broadcast to.
  """
  log_scale = jnp.clip(log_scale, *LOG_SCALE)
  z = _standardised(y - location, log_scale)
  return _student(z, jnp.clip(log_freedom, *LOG_FREEDOM)) - log_scale


def degrees_of_freedom(log_freedom: Numbers) -> Numbers:
  """Returns the v that a density uses, clamped: 2 + exp(log_freedom)."""
  return 2 + jnp.exp(jnp.clip(log_freedom, *LOG_FREEDOM))


def scale(log_scale: Numbers) -> Numbers:
  """Returns the scale that a density uses, clamped: exp(log_scale)."""
  return jnp.exp(jnp.clip(log_scale, *LOG_SCALE))


@jax.custom_jvp
def _standardised(residual: Numbers, log_scale: Numbers) -> Numbers:
  """z = residual / scale, clamped to where its square is finite."""
  return jnp.clip(residual * jnp.exp(-log_scale), -FARTHEST, FARTHEST)


@_standardised.defjvp
def _standardised_jvp(primals, tangents):
  residual, log_scale = primals
  dresidual, dlog_scale = tangents
  z = _standardised(residual, log_scale)
  # the derivative to the log scale is -z, and no product with the bare residual, which
  # overflows where scale and residual are both large
  dz = jnp.exp(-log_scale) * dresidual - z * dlog_scale
  return z, jnp.where(jnp.abs(z) < FARTHEST, dz, 0)


@jax.custom_jvp
def _student(z: Numbers, log_freedom: Numbers) -> Numbers:
  """The log density of scale 1.

  Its gradient is written out: automatic differentiation would subtract terms that agree
  in all their digits at many degrees of freedom.
  """
  v = 2 + jnp.exp(log_freedom)
  tail = 0.5 * (v + 1) * jnp.log1p(z**2 / v)
  return _gamma_ratio(0.5 * v) - _HALF_LOG_2_PI - tail


@_student.defjvp
def _student_jvp(primals, tangents):
  z, log_freedom = primals
  dz, dlog_freedom = tangents
  above = jnp.exp(log_freedom)  # v - 2, which is also dv / dlog_freedom
  v = 2 + above
  u = z**2 / v
  share = u / (1 + u)
  by_z = -(v + 1) / v * z / (1 + u)
  # (v + 1) / 2 log1p(u) to v: log1p(u) - share cancels for small u, so it is a series
  by_v = 0.5 * _gamma_ratio_slope(0.5 * v) - 0.5 * _log1p_excess(u, share)
  by_v = by_v + 0.5 * share / v
  return _student(z, log_freedom), by_z * dz + above * by_v * dlog_freedom


def _log1p_excess(u: Numbers, share: Numbers) -> Numbers:
  """log(1 + u) - u / (1 + u), which is sum over k >= 2 of share^k / k."""
  small = jnp.minimum(share, 0.1)  # both branches are computed: neither may overflow
  series = sum(small ** (k - 2) / k for k in range(2, 9)) * small**2
  return jnp.where(share < 0.1, series, jnp.log1p(u) - share)


def _gamma_ratio(x: Numbers) -> Numbers:
  """B(x) = log Gamma(x + 1/2) - log Gamma(x) - log(x) / 2, for x >= 1.

  Source: B(x) = B(x + n) + log(1 + n / x) / 2 - sum_k log(1 + 1 / (2 (x + k))) by the
  recurrence of Gamma, and the asymptotic series of Tricomi and Erdelyi 1951.
  """
  low = jnp.minimum(x, _LARGE)  # what `where` does not take stays finite, too
  steps = sum(jnp.log1p(0.5 / (low + k)) for k in range(_LARGE))
  raised = _asymptotic(low + _LARGE) + 0.5 * jnp.log1p(_LARGE / low) - steps
  return jnp.where(x < _LARGE, raised, _asymptotic(jnp.maximum(x, _LARGE)))


def _gamma_ratio_slope(x: Numbers) -> Numbers:
  """The derivative of `_gamma_ratio`."""
  low = jnp.minimum(x, _LARGE)
  steps = sum(0.5 / ((low + k) * (low + k + 0.5)) for k in range(_LARGE))
  raised = _asymptotic_slope(low + _LARGE) + steps
  raised = raised - 0.5 * _LARGE / (low * (low + _LARGE))
  return jnp.where(x < _LARGE, raised, _asymptotic_slope(jnp.maximum(x, _LARGE)))


def _asymptotic(x: Numbers) -> Numbers:
  """B(x) by its series in 1/x, for large x."""
  terms = [c * (1 / x) ** (2 * i + 1) for i, c in enumerate(_SERIES)]
  return sum(terms)  # type: ignore[return-value] # 0 only of no terms


def _asymptotic_slope(x: Numbers) -> Numbers:
  """The derivative of `_asymptotic`, term by term."""
  terms = [(2 * i + 1) * c * (1 / x) ** (2 * i + 2) for i, c in enumerate(_SERIES)]
  return -sum(terms)  # type: ignore[return-value] # 0 only of no terms
