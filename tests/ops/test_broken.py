"""Mixers that are broken on purpose are caught, by law, form and position."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from jaxmem.core.errors import UserError
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.ops import rglru, short_conv
from jaxmem.testing import LawError, check_laws


class Sound(nn.Module):
  """A correct mixer, of a convolution and a recurrence; broken ones change one part."""

  d_model: int = 4

  @nn.compact
  def __call__(self, x, state, reset=None):
    taps = self.param("taps", nn.initializers.normal(), (3, self.d_model))
    conv, h = state
    u, conv = self.conv((taps,), (x,), short_conv.State(conv), reset)
    gates = (jax.nn.sigmoid(x), jnp.ones_like(x))
    lam = jnp.full((self.d_model,), 3.0)
    y, h = rglru.FORMS["parallel"]((lam,), (u, *gates), rglru.State(h), reset)
    return y, (conv.past, h.h)

  def conv(self, params, inputs, state, reset):
    return short_conv.parallel(params, inputs, state, reset)

  def init_state(self, batch_size):
    past = jnp.zeros((batch_size, 2, self.d_model))
    return past, jnp.zeros((batch_size, self.d_model))


class LeaksThroughTheConv(Sound):
  def conv(self, params, inputs, state, reset):
    return short_conv.parallel(params, inputs, state, None)


class LooksAhead(Sound):
  @nn.compact
  def __call__(self, x, state, reset=None):
    y, state = super().__call__(x, state, reset)
    return y + 1e-3 * jnp.roll(x, -1, axis=1), state


class GrowsItsState(Sound):
  @nn.compact
  def __call__(self, x, state, reset=None):
    y, (past, h) = super().__call__(x, (state[0][:, -2:], state[1]), reset)
    return y, (jnp.concatenate([state[0], past], axis=1), h)


class StartsAtMinusInfinity(nn.Module):
  """A running maximum whose empty memory is -inf."""

  d_model: int = 4

  @nn.compact
  def __call__(self, x, state, reset=None):
    reset = jnp.zeros(x.shape[:2], bool) if reset is None else reset

    def step(top, xs):
      x, reset = xs
      top = jnp.maximum(jnp.where(reset[:, None], -jnp.inf, top), x)
      return top, top

    top, y = jax.lax.scan(step, state, (x.swapaxes(0, 1), reset.T))
    return y.swapaxes(0, 1), top

  def init_state(self, batch_size):
    return jnp.full((batch_size, self.d_model), -jnp.inf)


class FollowsBfloat16(Sound):
  """Sums in the dtype of what it reads."""

  @nn.compact
  def __call__(self, x, state, reset=None):
    y, (past, h) = super().__call__(x, state, reset)
    return y, (past, h.astype(x.dtype))


class ReadsFloat32Alone(Sound):
  @nn.compact
  def __call__(self, x, state, reset=None):
    def body(total, x):
      return ((total + x).astype(x.dtype), None)

    jax.lax.scan(body, jnp.zeros_like(state[1]), x.swapaxes(0, 1))
    return super().__call__(x, state, reset)


class MixesRows(Sound):
  @nn.compact
  def __call__(self, x, state, reset=None):
    y, state = super().__call__(x, state, reset)
    return y - 1e-3 * y.mean(0, keepdims=True), state


class MixesRowsOfTheState(Sound):
  @nn.compact
  def __call__(self, x, state, reset=None):
    y, (past, h) = super().__call__(x, state, reset)
    return y, (past, h - 1e-3 * h.mean(0, keepdims=True))


class HasNoState(nn.Module):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    return x, state


class HasNoWidth(nn.Module):
  def __call__(self, x, state, reset=None):
    return x, state

  def init_state(self, batch_size):
    return jnp.zeros((batch_size, 2))


class TakesNoReset(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state):
    return x, state


class BeginsWithNone(HasNoWidth):
  d_model: int = 4

  def init_state(self, batch_size):
    return None


class ForgetsItsRows(HasNoWidth):
  d_model: int = 4

  def init_state(self, batch_size):
    return jnp.zeros(7)


class ReturnsY(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    return x


class ReturnsTheLastToken(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    return x[:, -1], state


class ReturnsNoState(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    return x, None


class AsksParametersForItsState(HasNoWidth):
  d_model: int = 4

  def init_state(self, batch_size):
    return self.variables["params"]["start"]


class TakesNoBatchSize(HasNoWidth):
  d_model: int = 4

  def init_state(self):
    return jnp.zeros((2, 4))


class ReturnsAnotherTree(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    return x, {"state": state}


class HasABug(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    raise RuntimeError("a bug of its own")


class WritesInPlace(HasNoWidth):
  d_model: int = 4

  def __call__(self, x, state, reset=None):
    x[:, 0] = 0
    return x, state


class IsRandom(HasNoWidth):
  d_model: int = 4

  @nn.compact
  def __call__(self, x, state, reset=None):
    return nn.Dropout(0.5, deterministic=False)(x), state


class NormsOverRows(HasNoWidth):
  d_model: int = 4

  @nn.compact
  def __call__(self, x, state, reset=None):
    return nn.BatchNorm(use_running_average=False)(x), state


@pytest.mark.parametrize(
  ("layer", "message"),
  [
    (NormsOverRows(), "a call of NormsOverRows raises .*batch_stats"),
    (AsksParametersForItsState(), "`init_state` of AsksPara.* raises ValueError: "),
    (TakesNoBatchSize(), "`init_state` of TakesNoBatchSize raises TypeError: "),
    (ReturnsAnotherTree(), r"a state of PyTreeDef\(\{'state': \*\}\), and begins"),
    (HasABug(), "a call of HasABug raises RuntimeError: a bug of its own; a layer"),
    (WritesInPlace(), "a call of WritesInPlace raises TypeError: .*immutable"),
    (IsRandom(), "IsRandom draws random numbers, and the laws are about one without"),
    (HasNoState(), "HasNoState has no method `init_state`; a layer is a Flax module"),
    (HasNoWidth(), "HasNoWidth has no `d_model`"),
    (TakesNoReset(), r"cannot be called as \(x, state, reset\)"),
    (BeginsWithNone(), r"`init_state` gives None: give \(\)"),
    (ForgetsItsRows(), r"`init_state` gives shape \(7,\), whose first axis"),
    (ReturnsY(), r"returns shape \(2, 24, 4\) instead of the pair \(y, state\)"),
    (ReturnsTheLastToken(), r"returns y of shape \(2, 4\) for x of \[2, 24"),
    (ReturnsNoState(), "returns None as its state"),
    (Sound, "Sound is a class: give an instance"),
    (jax.nn.relu, "is no Flax module"),
    (jax.nn, "jax.nn is no op file: it lacks FORMS"),
  ],
  ids=lambda a: "" if isinstance(a, str) else getattr(a, "__name__", type(a).__name__),
)
def test_an_object_that_is_no_layer_gets_a_message_with_what_a_layer_needs(
  layer, message
):
  with pytest.raises(LawError, match=message) as caught:
    check_laws(layer)
  assert isinstance(caught.value, UserError)


def test_sound_mixer_passes():
  assert check_laws(Sound())


@pytest.mark.parametrize(
  ("mixer", "message"),
  [
    (
      LeaksThroughTheConv(),
      r"law 4 \(packed = separate\).*form 'call': y.*row 0, token 16",
    ),
    (LooksAhead(), r"law 5 \(causality\).*form 'call': y.*row 0, token 0"),
    (GrowsItsState(), r"law 6 \(state is stable\).*form 'call'.*after 1 tokens"),
    (FollowsBfloat16(), r"law 6 .*after bfloat16 inputs the state is .*bfloat16"),
    (ReadsFloat32Alone(), r"law 6 .*bfloat16 inputs cannot be read: "),
    (MixesRows(), r"law 5 .*row 1 sees row 0: its y changes"),
    (MixesRowsOfTheState(), r"law 5 .*row 1 sees row 0: its state changes"),
    (
      StartsAtMinusInfinity(),
      r"law 6 .*form 'call': state is -inf instead of 0.*row 0",
    ),
  ],
  ids=lambda a: type(a).__name__ if isinstance(a, nn.Module) else "",
)
def test_broken_mixer_is_caught(mixer, message):
  with pytest.raises(LawError, match=message):
    check_laws(mixer)


def _forgets_the_past(params, inputs, state, reset=None, **options):
  y, new = short_conv.parallel(params, inputs, state, reset, **options)
  empty = jax.tree.map(jnp.zeros_like, state)
  alone, _ = short_conv.parallel(params, inputs, empty, reset, **options)
  return y + 1e-2 * (alone - y), new


def _leaks_a_little(params, inputs, state, reset=None, **options):
  y, new = short_conv.parallel(params, inputs, state, reset, **options)
  leak, _ = short_conv.parallel(params, inputs, state, None, **options)
  return y + 1e-2 * (leak - y), new


@pytest.mark.parametrize(
  ("conv", "message"),
  [(_forgets_the_past, "law 3 "), (_leaks_a_little, "law 4 ")],
  ids=["law 3", "law 4"],
)
def test_a_fault_of_a_hundredth_is_caught_in_a_deep_model(monkeypatch, conv, message):
  """What rounding moves in an ill-conditioned model is far less than what is broken."""
  monkeypatch.setitem(short_conv.FORMS, "parallel", conv)
  pattern = (entry("hgrn"), entry("delta_net", num_heads=2, chunk_size=8))
  config = LMConfig(11, d_model=16, d_ff=32, pattern=pattern, num_groups=2)

  def draw(key, rows, length):
    return jax.random.randint(key, (rows, length), 0, 11)

  with pytest.raises(LawError, match=message):
    check_laws(LM(config), inputs=draw, deep=True)
