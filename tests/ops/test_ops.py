"""Ops, where the laws do not reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import ops
from jaxmem.ops import gated_delta, lstm, window
from jaxmem.ops.attention_core import blockwise, masks, rotary
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.losses import chunked_cross_entropy
from jaxmem.ops.recurrence import learned_init, linear_scan, scan
from jaxmem.ops.recurrence.triangular import unit_lower_inverse
from jaxmem.parallel import apply


def _repeated_keys(noise, beta, size=64):
  draw = np.random.default_rng(0)
  keys = draw.normal(size=(1, size)) + noise * draw.normal(size=(size, size))
  keys /= np.linalg.norm(keys, axis=-1, keepdims=True)
  return np.tril(beta * keys @ keys.T, -1)


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_inverse_holds_on_repeated_keys(noise, beta):
  a = _repeated_keys(noise, beta)

  got = np.asarray(unit_lower_inverse(jnp.asarray(a, jnp.float32)))

  want = np.linalg.inv(np.eye(64) + a)
  assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


@pytest.mark.parametrize("size", [1, 3, 4, 17])
def test_inverse_works_at_any_size(size):
  a = jnp.tril(jax.random.normal(jax.random.key(size), (2, size, size)), -1)

  product = (jnp.eye(size) + a) @ unit_lower_inverse(a)

  np.testing.assert_allclose(product, np.broadcast_to(np.eye(size), a.shape), atol=1e-4)


def test_inverse_derivative_is_that_of_a_solve():
  a = jnp.tril(jax.random.normal(jax.random.key(0), (8, 8)), -1)

  def solve(a):
    return jnp.linalg.inv(jnp.eye(8) + jnp.tril(a, -1))

  def loss(f):
    return lambda a: jnp.sin(f(jnp.tril(a, -1))).sum()

  got, want = (jax.grad(loss(f))(a) for f in (unit_lower_inverse, solve))

  np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-3)


def test_cross_entropy_equals_that_of_whole_logits():
  x, table, target = (jax.random.key(i) for i in range(3))
  x = jax.random.normal(x, (2, 10, 4))
  table = jax.random.normal(table, (7, 4))
  targets = jax.random.randint(target, (2, 10), 0, 7)

  got, pull = jax.vjp(
    lambda x, w: chunked_cross_entropy(x, w, targets, chunk_size=4), x, table
  )

  def unchunked(x, w):
    return -jnp.take_along_axis(
      jax.nn.log_softmax(x @ w.T), targets[..., None], axis=-1
    )[..., 0]

  want, pull_unchunked = jax.vjp(unchunked, x, table)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
  for g, w in zip(pull(got), pull_unchunked(got), strict=True):
    np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-4)


def test_rotation_depends_on_the_distance_alone():
  q, k = jax.random.normal(jax.random.key(0), (2, 8))
  rope = rotary.Rotary(1e4)

  def at(x, p):
    return rotary.rotate(x, rotary.angles(jnp.array(p), 8, rope, q.dtype))

  np.testing.assert_allclose(at(q, 7) @ at(k, 4), at(q, 103) @ at(k, 100), rtol=1e-4)


@pytest.mark.parametrize("scaling", rotary.SCALINGS)
def test_rotation_is_exact_at_any_length(scaling):
  """A float32 product of position and frequency would be wrong by radians."""
  rope = rotary.Rotary(5e5, scaling, 4.0, 4096)
  places = np.array([0, 1, -5, 10**6, 2**30 - 1, -(2**30), 2**31 - 1])

  got = rotary.angles(jnp.asarray(places, jnp.int32), 64, rope, jnp.dtype("float32"))

  turn = 2 * np.longdouble("3.14159265358979323846264338327950288")
  angle = np.fmod(places[:, None] * rope.frequencies(64).astype(np.longdouble), turn)
  for have, want in zip(got, (np.cos(angle), np.sin(angle)), strict=True):
    np.testing.assert_allclose(have, want.astype(float), atol=1e-6)


def test_attention_that_sees_nothing_is_zero_with_finite_gradients():
  q, k, v = jax.random.normal(jax.random.key(0), (3, 1, 6, 2, 4))
  position = scan.indices(6)[None]
  tokens = Tokens(position, jnp.zeros_like(position))
  mask = masks.Beyond(6)

  def f(*qkv):
    return blockwise.attend(*qkv, tokens, tokens, mask, block_size=4)[0]

  y, pull = jax.vjp(f, q, k, v)

  assert not y.any()
  assert all(jnp.isfinite(g).all() for g in pull(jnp.ones_like(y)))


def test_window_never_makes_a_square_of_the_length():
  """A length of 64 times takes 64 times the memory, not 4096 times."""

  def temporary(length):
    draw = jax.ShapeDtypeStruct((1, length, 1, 8), jnp.float32)
    state = jax.eval_shape(lambda: window.init_state(1, 64, 1, 8, 8))

    def run(q, k, v, s):
      return window.parallel((), (q, k, v), s, block_size=64)[0].sum()

    compiled = (
      jax.jit(jax.grad(run, (0, 1, 2))).lower(draw, draw, draw, state).compile()
    )
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary(32_768) < 100 * temporary(512)


def test_cell_keeps_its_pre_activations_and_two_states_a_token_once():
  """It keeps four gates, c, h and x, as torch does; a reversed scan keeps more."""
  batch, length, dim = 2, 64, 16
  p, _, _ = lstm.example(jax.random.key(0), 1, 1)
  shapes = [(dim, 4 * dim), (dim, 4 * dim), (4 * dim,)]
  params = tuple(jnp.ones(s, a.dtype) for s, a in zip(shapes, p, strict=True))
  x, state = jnp.ones((batch, length, dim)), lstm.init_state(batch, dim)

  def num_saved(form):
    _, pull = jax.vjp(lambda x: lstm.FORMS[form](params, (x,), state)[0], x)
    return sum(a.size for a in jax.tree.leaves(pull) if hasattr(a, "size"))

  weights = sum(a.size for a in params)
  assert num_saved("chunk") < 7.5 * x.size + 2 * weights + 10 * batch * length
  assert num_saved("chunk") < num_saved("recurrent")


def test_sequential_scan_refuses_forward_mode_and_says_so_by_reverse_only():
  a = jnp.ones((1, 3, 2))
  with pytest.raises(TypeError):
    jax.jvp(lambda b: linear_scan.sequential(a, b, jnp.ones((1, 2)))[0], (a,), (a,))
  assert "sequential" in ops.get("rglru").REVERSE_ONLY


@pytest.mark.parametrize("size", [0, -3])
def test_chunk_size_below_one_is_refused(size):
  _, inputs, state = gated_delta.example(jax.random.key(0), 1, 4)
  with pytest.raises(ValueError, match=f"chunk_size is {size}"):
    gated_delta.chunk((), inputs, state, chunk_size=size)


def test_unknown_form_names_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'chunk'"):
    apply.choose(gated_delta, "chnk", 8)


@pytest.mark.parametrize("name", ops.names())
def test_a_record_has_what_its_file_defines(name):
  file, record = ops.get(name), ops.record(name)
  assert record == ops.record(file) == ops.record(record) and hash(record)
  assert dict(record.forms) == file.FORMS
  assert (record.step is None) == (not hasattr(file, "step"))
  assert record.transition == file.TRANSITION
  assert record.fast_form() in record.form_names
  if record.starts:
    learned = learned_init.learned(record)
    assert learned is learned_init.learned(ops.record(name)) and hash(learned)
    assert (learned.transition, learned.value, learned.starts) == (None, None, ())


def test_one_token_is_always_a_step():
  assert apply.choose(gated_delta, "chunk", 1) == "recurrent"


def test_chunks_come_back_in_order():
  x = jnp.arange(2 * 7 * 3, dtype=jnp.float32).reshape(2, 7, 3)
  assert (scan.from_chunks(scan.to_chunks(x, 4), 7) == x).all()


def test_swapped_axes_are_caught_at_the_border_of_an_op():
  """The import hook of the tests checks shapes: [B, H, T, K] is not [B, T, H, K]."""
  _, (q, k, v, g, beta), state = gated_delta.example(jax.random.key(0), 1, 5)
  with pytest.raises(Exception, match="(?i)type.?check"):
    gated_delta.chunk((), (q.swapaxes(1, 2), k, v, g, beta), state)
