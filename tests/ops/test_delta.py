"""Delta rules, where the examples and stress inputs of their ops do not reach."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.ops import dplr, gated_delta, gated_delta_product
from jaxmem.testing import cases, check_laws


def _by_channel(draw):
  """Returns an example of the gated delta rule with one decay for each channel."""

  def by_channel(key, batch_size, length):
    params, (q, k, v, g, beta), state = draw(key, batch_size, length)
    share = jax.random.uniform(key, (k.shape[-1],)).round(1).at[0].set(0.0)
    g = jnp.where(share > 0, g[..., None] * share, 0)
    return params, (q, k, v, g, beta), state

  return by_channel


CHANNELS = dataclasses.replace(
  cases.of(gated_delta),
  name="gated_delta by channel",
  example=_by_channel(gated_delta.example),
  stress=_by_channel(gated_delta.stress),
)


def test_decay_by_channel_obeys_the_laws():
  check_laws(CHANNELS)


@pytest.mark.full
def test_decay_by_channel_obeys_the_full_laws():
  check_laws(CHANNELS, full=True)


@pytest.mark.parametrize("form", gated_delta.FORMS)
def test_equal_decays_of_all_channels_are_one_decay_a_head(key, form):

  @jax.jit
  def both(key):
    _, (q, k, v, g, beta), state = gated_delta.example(key, 2, 24)
    wide = jnp.broadcast_to(g[..., None], k.shape)
    run = gated_delta.FORMS[form]
    return run((), (q, k, v, g, beta), state), run((), (q, k, v, wide, beta), state)

  want, got = both(key)

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, want)


@pytest.mark.parametrize("form", dplr.FORMS)
def test_gated_delta_is_a_setting_of_diagonal_plus_low_rank(key, form):

  @jax.jit
  def both(key):
    params, inputs, state = _by_channel(gated_delta.example)(key, 2, 24)
    q, k, v, g, beta = inputs
    b = beta[..., None]
    # a reads the memory before it decays: k^T Diag(alpha) S
    setting = (q, b * k, v, jnp.exp(g) * k, -b * k, g)
    got = dplr.FORMS[form](params, setting, dplr.State(*state))
    return got, gated_delta.FORMS["recurrent"](params, inputs, state)

  got, want = both(key)

  np.testing.assert_allclose(got[0], want[0], atol=2e-5)
  np.testing.assert_allclose(got[1].s, want[1].s, atol=2e-5)


def test_one_write_a_token_is_the_gated_delta_rule(key):
  params, (q, k, v, g, beta), state = jax.jit(lambda: gated_delta.example(key, 2, 24))()
  one = (q, k[:, :, None], v[:, :, None], g, beta[:, :, None])

  def run(op):
    return jax.jit(functools.partial(op.chunk, chunk_size=8))

  got = run(gated_delta_product)(params, one, state)
  want = run(gated_delta)(params, (q, k, v, g, beta), state)

  jax.tree.map(np.testing.assert_array_equal, got, want)
