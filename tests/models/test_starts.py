"""Each way to start a training segment does what it says, and runs resume with it."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core.errors import ConfigError
from jaxmem.models import state_init
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.training import config as configs
from jaxmem.training.config import Config
from support import runs

PATTERN = (
  entry("mamba2", num_heads=2, state_dim=4, chunk_size=8),
  entry("window", window_size=6, num_heads=2, block_size=8),
)
MODEL = LMConfig(vocab_size=0, d_model=8, d_ff=16, pattern=PATTERN, dtype="auto")
# What trains here: a sum, the cheapest to compile.
TRAINED = dataclasses.replace(MODEL, pattern=(entry("gru"),))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return runs.write_corpus(tmp_path_factory.mktemp("corpus"))


def _config(corpus, how, **changes):
  return runs.config(corpus, model=TRAINED, segment_start=how, **changes)


def _read(program):
  """Returns a memory that is not empty, placed as the program places its memory."""
  return jax.device_put(_random(program.shapes.memory), program.shardings.memory)


def _random(shapes, rows=None):
  """Returns a memory that is not empty: positive counts, and random numbers."""
  draw = np.random.default_rng(0)

  def one(a):
    shape = (rows or a.shape[0], *a.shape[1:])
    if jnp.issubdtype(a.dtype, jnp.integer):
      return jnp.full(shape, 7, a.dtype)
    return jnp.asarray(draw.normal(1, 2, shape), a.dtype)

  return jax.tree.map(one, shapes)


@functools.cache
def _losses(model):
  """Compiles the losses of the model once for all starts."""
  return jax.jit(functools.partial(model.apply, method="losses"))


@pytest.mark.parametrize("how", state_init.STARTS)
def test_loss_is_that_of_the_memory_it_says(corpus, how):
  """The loss of a step is that of the model from the memory `state_init` makes."""
  program = runs.program(_config(corpus, how))
  lanes = runs.lanes(program.config)
  state = program.init()._replace(memory=_read(program))
  key = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
  memory = state_init.begin(how, TRAINED.pattern, state.memory, key)
  batch = lanes[1] | {"reset": np.zeros_like(lanes[1]["reset"])}
  losses = _losses(program.model)
  read = {"params": state.params}, batch["tokens"], batch["targets"]

  def cost(memory):
    return float(losses(*read, memory, batch["reset"])[0].mean())

  want, empty = cost(memory), cost(jax.tree.map(jnp.zeros_like, memory))

  _, metrics = program.step(state, program.put(batch))

  assert float(metrics["loss"]) == pytest.approx(want, rel=1e-5)
  assert (how == "empty") == (want == pytest.approx(empty, rel=1e-6))


@pytest.mark.parametrize("how", state_init.STARTS)
def test_document_that_begins_in_the_segment_begins_empty(corpus, how):
  program = runs.program(_config(corpus, how))
  lanes = runs.lanes(program.config)
  batch = lanes[1]
  batch["reset"][:, 0] = True
  fresh = program.init()
  full = jax.tree.map(jnp.copy, fresh)  # a step takes the buffers of its state
  full = full._replace(memory=_read(program))

  _, a = program.step(fresh, program.put(batch))
  _, b = program.step(full, program.put(batch))

  assert float(a["loss"]) == float(b["loss"])


def _memory(rows):

  model = LM(dataclasses.replace(MODEL, vocab_size=64, dtype="float32"))
  return _random(jax.eval_shape(lambda: model.init_state(rows)))


def _leaves(memory):
  return [np.asarray(a) for a in jax.tree.leaves(memory)]


def test_noise_has_the_standard_deviation_of_the_config():
  begin = functools.partial(state_init.begin, "noise", PATTERN, _memory(8))
  small, large = (begin(jax.random.key(0), scale) for scale in (0.5, 2.0))
  for a, b in zip(_leaves(small), _leaves(large), strict=True):
    np.testing.assert_allclose(4 * a, b, rtol=1e-6)
  drawn = np.concatenate([a.ravel() for a in _leaves(small) if a.any()])
  assert drawn.std() == pytest.approx(0.5, rel=0.1)


def test_passed_gives_every_row_the_whole_memory_of_another_one():
  last, sources = _memory(8), set()
  for step in range(6):
    key = jax.random.fold_in(jax.random.key(0), step)
    passed = state_init.begin("passed", PATTERN, last, key)
    matrices, passed_matrices = np.asarray(last[0].ssm.s), np.asarray(passed[0].ssm.s)
    equal = (passed_matrices[:, None] == matrices[None]).all(
      tuple(range(2, passed_matrices.ndim + 1))
    )
    source = equal.argmax(1)
    assert sorted(source) == list(range(8)) and not (source == np.arange(8)).any()
    for a, b in zip(_leaves(last), _leaves(passed), strict=True):
      np.testing.assert_array_equal(a[source], b)
    sources.add(tuple(source))
  assert len(sources) == 6


@pytest.mark.parametrize("how", ["noise", "fitted"])
def test_noise_is_for_sums_and_a_window_starts_empty(how):
  last = _memory(512)
  memory = state_init.begin(how, PATTERN, last, jax.random.key(1), 3.0)

  assert not any(a.any() for a in _leaves((memory[0].conv, memory[1])))
  drawn, old = np.asarray(memory[0].ssm.s), np.asarray(last[0].ssm.s)
  mean, deviation = (0, 3) if how == "noise" else (old.mean(0), old.std(0))
  spread = np.broadcast_to(deviation, drawn.shape[1:]) / 512**0.5
  assert (np.abs(drawn.mean(0) - mean) < 5 * spread).all()
  np.testing.assert_allclose(drawn.std(0), deviation + 0 * spread, rtol=0.2)
  again = state_init.begin(how, PATTERN, last, jax.random.key(2), 3.0)
  assert not (np.asarray(again[0].ssm.s) == drawn).any()


@pytest.mark.parametrize("how", ["passed", "fitted"])
def test_resumed_run_is_bitwise_the_same(corpus, tmp_path, how):
  """Three steps, a checkpoint and three more equal six steps at once."""
  config = _config(corpus, how)
  lanes = runs.lanes(config)

  def steps(program, state, numbers):
    for step in numbers:
      state, _ = program.step(state, program.put(lanes[step]))
    return state

  program = runs.program(config)
  uninterrupted = runs.digest(steps(program, program.init(), range(6)))
  half = steps(program, program.init(), range(3))
  with Checkpoints(tmp_path / "checkpoints", keep=1) as checkpoints:
    checkpoints.save(3, half, {"step": 3}, {})
    checkpoints.wait()
  resumed = runs.restored(config, tmp_path, program).state

  assert runs.digest(steps(program, resumed, range(3, 6))) == uninterrupted


@pytest.mark.parametrize(("old", "new"), [(True, "carried"), (False, "empty")])
def test_a_config_with_carry_memory_keeps_its_meaning(old, new):
  text = json.dumps({"steps": 7, "carry_memory": old})

  assert configs.from_json(text) == Config(steps=7, segment_start=new)


def test_an_unknown_start_is_refused():
  with pytest.raises(ConfigError, match="segment_start is 'pased': one of carried"):
    configs.from_json('{"segment_start": "pased"}')
  with pytest.raises(ConfigError, match="carry_memory is 1: True or False"):
    configs.from_json('{"carry_memory": 1}')


def test_noise_reaches_the_memory_beside_a_window():
  """In a sum the window starts empty and the recurrent memory does not."""
  pattern = (entry("window", window_size=6, num_heads=2, beside="gru+minlstm"),)
  config = dataclasses.replace(MODEL, vocab_size=64, pattern=pattern, dtype="float32")
  model = LM(config)
  last = model.init_state(3)
  noisy = state_init.begin("noise", pattern, last, jax.random.key(0))
  assert jax.tree.structure(noisy) == jax.tree.structure(last)
  window, recurrent = noisy[0]
  assert all(not a.any() for a in jax.tree.leaves(window))
  gru, minlstm = (jax.tree.leaves(state) for state in recurrent)
  assert gru[0].std() > 0.5 and minlstm[0].std() > 0.5
  assert not np.allclose(gru[0], minlstm[0])
