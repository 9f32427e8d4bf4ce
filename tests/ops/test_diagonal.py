"""Diagonal recurrences, where the laws do not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.mixers.hgrn import HGRN
from jaxmem.mixers.s5 import S5
from jaxmem.ops import complex_diagonal, gated_average, mamba
from jaxmem.ops.recurrence import hippo, linear_scan
from jaxmem.testing import check_laws, check_shards


@pytest.mark.parametrize("options", [{"mimo": False}, {"discretisation": "bilinear"}])
def test_s5_obeys_the_laws_as_s4d_and_by_the_trapezoid_rule(options):
  check_laws(S5(d_model=8, state_size=4, **options))


@pytest.mark.full
def test_s4d_obeys_law_7():
  check_shards(S5(d_model=8, state_size=4, mimo=False), (2, 4, 8))


def test_eigenvalues_are_those_of_the_normal_part_of_hippo():
  size = 8
  root = np.sqrt(2 * np.arange(size) + 1)
  legs = -np.tril(np.outer(root, root), -1) - np.diag(np.arange(size) + 1.0)
  normal = legs + np.outer(root, root) / 2

  values, vectors = hippo.eigen(size)

  both = np.concatenate([vectors, vectors.conj()], axis=1)
  all_values = np.concatenate([values, values.conj()])
  np.testing.assert_allclose(
    both @ np.diag(all_values) @ both.conj().T, normal, atol=1e-12
  )


@pytest.mark.parametrize("size", [0, 7])
def test_states_that_are_no_pairs_are_refused(size):
  with pytest.raises(ValueError, match=f"state_size is {size}"):
    hippo.eigen(size)


def test_unknown_discretisation_names_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'bilinear'"):
    S5(d_model=4, state_size=4, discretisation="bilinaer")


def test_lower_bound_outside_its_range_is_refused():
  with pytest.raises(ValueError, match="lower_bound is 1.0: it must be in \\(0, 1\\)"):
    HGRN(d_model=4, lower_bound=1.0)


@pytest.mark.parametrize("rule", ["zero_order_hold", "bilinear"])
def test_discretisations_agree_with_the_solution_at_small_steps(rule):
  """The op sums a series: (e^z - 1) / z is right only to 1e-4 in float32 at 1e-3."""
  rate, dt = jnp.array([-0.5 + 3j], jnp.complex64), jnp.array([1e-4])

  decay, factor = getattr(complex_diagonal, rule)(rate, dt)

  dt = float(dt[0])
  z = complex(rate[0]) * dt
  np.testing.assert_allclose(decay[0], np.exp(z), rtol=1e-6)
  np.testing.assert_allclose(factor[0], dt * np.expm1(z) / z, rtol=1e-6)


def test_gate_that_is_all_but_open_still_lets_in_its_part():
  """1 - e^g is exact where e^g is 1 in float32."""
  h0 = gated_average.init_state(1, 1)
  inputs = (jnp.ones((1, 1)), jnp.full((1, 1), -1e-9))

  y, _ = gated_average.step((), inputs, h0)

  np.testing.assert_allclose(y, 1e-9, rtol=1e-6)


def test_mamba_keeps_one_state_a_chunk():
  """With B1 T4096 D1024 N16 the peak is less than 4 times inputs and outputs."""
  size, dim = 16, 1024

  def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)

  inputs = (
    shaped(1, 4096, dim),
    shaped(1, 4096, dim),
    shaped(1, 4096, size),
    shaped(1, 4096, size),
  )

  def run(rate, inputs, dy):
    def f(*a):
      return mamba.chunk((a[0],), a[1], mamba.init_state(1, size, dim))[0]

    y, pull = jax.vjp(f, rate, inputs)
    return y, pull(dy)

  compiled = (
    jax.jit(run).lower(shaped(size, dim), inputs, shaped(1, 4096, dim)).compile()
  )

  memory = compiled.memory_analysis()
  io_bytes = memory.argument_size_in_bytes + memory.output_size_in_bytes
  assert io_bytes + memory.temp_size_in_bytes < 4 * io_bytes


def test_derivatives_of_the_loop_are_those_of_the_scan_at_first_and_second_order():
  a, b, w = np.random.default_rng(0).standard_normal((3, 2, 5, 3)).astype(np.float32)
  args = (jax.nn.sigmoid(a), jnp.asarray(b), jnp.asarray(w[:, 0]))

  def slope(scan, *args):
    def bent(*args):
      h, last = scan(*args)
      return jnp.sin(h * w).sum() + (last**2).sum()

    return sum(jnp.sin(d).sum() for d in jax.grad(bent, (0, 1, 2))(*args))

  def both(scan):
    f = jax.value_and_grad(lambda *args: slope(scan, *args), (0, 1, 2))
    return jax.tree.leaves(jax.jit(f)(*args))

  for x, y in zip(
    both(linear_scan.sequential), both(linear_scan.associative), strict=True
  ):
    np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
