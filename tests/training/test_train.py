"""A training step computes what it should, and a kill changes nothing."""

import dataclasses
import json
import random
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmem.core.errors import ConfigError
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.training.config import (
  Config,
  DataConfig,
  OptimConfig,
  ValidationConfig,
  to_json,
)
from jaxmem.training.schedule import schedule
from jaxmem.training.step import Program
from jaxmem.training.trainer import train
from support import runs


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return runs.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def config(corpus):
  """Returns the config whose program most tests share."""
  return runs.config(corpus, steps=60)


def _steps(config, count):
  program, lanes = runs.program(config), runs.lanes(config)
  state, losses = program.init(), []
  for step in range(count):
    state, metrics = program.step(state, program.put(lanes[step]))
    losses.append(float(metrics["loss"]))
  return state, losses


def _full(program):
  """Returns a memory of ones, placed as the program places its memory."""

  def ones(a):
    return np.ones(a.shape, a.dtype)

  return jax.device_put(
    jax.tree.map(ones, program.shapes.memory), program.shardings.memory
  )


def _close(a, b, rtol=2e-4, atol=2e-5):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def test_loss_falls_and_memory_is_carried(config):
  state, losses = _steps(config, 40)

  assert np.mean(losses[-5:]) < losses[0] - 1.0
  assert any(np.asarray(a).any() for a in jax.tree.leaves(state.memory))
  assert int(state.step) == 40


def test_accumulated_parts_equal_the_whole_batch(corpus):
  full_batch = runs.config(corpus, model=runs.SMALL)
  parts = dataclasses.replace(
    full_batch, optim=OptimConfig(warmup_steps=2, accumulate=2)
  )

  _close(_steps(full_batch, 3)[0], _steps(parts, 3)[0], rtol=1e-3, atol=1e-4)


def test_without_carrying_every_segment_starts_empty(corpus):
  config = runs.config(corpus, model=runs.SMALL, segment_start="empty")
  program, lanes = runs.program(config), runs.lanes(config)
  full = _full(program)

  fresh, _ = program.step(program.init(), program.put(lanes[1]))
  other, _ = program.step(program.init()._replace(memory=full), program.put(lanes[1]))

  assert runs.digest(fresh) == runs.digest(other)


def test_carried_memory_changes_the_step(config):
  program, lanes = runs.program(config), runs.lanes(config)
  full = _full(program)
  batch = lanes[1] | {"reset": np.zeros_like(lanes[1]["reset"])}

  _, fresh = program.step(program.init(), program.put(batch))
  _, other = program.step(program.init()._replace(memory=full), program.put(batch))

  assert fresh["loss"] != other["loss"]


def test_step_that_is_not_finite_changes_nothing(config):
  program, lanes = runs.program(config), runs.lanes(config)
  before = program.init()
  digest = runs.digest(before._replace(step=0))
  batch = lanes[0] | {"weights": np.full_like(lanes[0]["weights"], np.nan)}

  after, metrics = program.step(before, program.put(batch))

  assert bool(metrics["skipped"]) and int(after.step) == 1
  assert runs.digest(after._replace(step=0)) == digest


def test_state_larger_than_a_device_is_refused_before_it_is_made():
  config = Config(
    model=LMConfig(64, d_model=2**20, pattern=(entry("gru"),), dtype="float32"),
    task=DataConfig(source="task:copy", segment_length=4, batch_size=2),
  )
  program = Program(config, meshes.make(config.mesh, jax.devices()[:1]))
  with pytest.raises(ConfigError, match=r"take .* GiB a device.*: lower model.d_model"):
    program.check_memory()


@pytest.mark.parametrize("field", ["params", "opt_state", "memory"])
def test_step_whose_state_would_not_be_finite_does_not_count(field):
  """The loss and the gradient are finite, but the update of them is not."""
  config = Config(
    model=LMConfig(64, d_model=8, d_ff=8, pattern=(entry("gru"),), dtype="float32"),
    task=DataConfig(source="task:copy", segment_length=4, batch_size=2),
    optim=OptimConfig(warmup_steps=0, clip_norm=1e30),
  )
  program = Program(config, meshes.make(config.mesh, jax.devices()[:1]))
  batch = program.put(
    {
      "tokens": np.ones((2, 4), np.int32),
      "targets": np.ones((2, 4), np.int32),
      "reset": np.zeros((2, 4), bool),
      "weights": np.ones((2, 4), np.float32),
    }
  )
  if field == "params":  # the step itself overflows
    program.optimizer = optax.chain(optax.scale(1e38), optax.scale(1e38))
  elif field == "opt_state":  # a second moment beyond float32
    program.optimizer = optax.chain(optax.scale(1e30), optax.adam(1e-3))
  else:
    loss = program._loss

    def inf(memory):
      return jax.tree.map(lambda a: a + jnp.inf, memory)

    program._loss = lambda *a: (loss(*a)[0], inf(loss(*a)[1]))
  if field != "memory":
    program.shapes = jax.eval_shape(program._init, jax.random.key(0))
  state = jax.jit(program._init)(jax.random.key(0))
  before = runs.digest(state._replace(step=0))

  after, metrics = jax.jit(program._step)(state, batch)

  assert np.isfinite(metrics["loss"]) and np.isfinite(metrics["grad_norm"])
  assert bool(metrics["skipped"]) and int(after.step) == 1
  assert runs.digest(after._replace(step=0)) == before


@pytest.mark.parametrize("steps, warmup", [(10, 0), (10, 1), (10, 4), (10, 9), (2, 1)])
@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_schedule_is_at_its_ends_at_the_first_and_the_last_step(steps, warmup, final):
  config = OptimConfig(2.0, warmup_steps=warmup, final_fraction=final)
  rate = np.array([schedule(config, steps)(i) for i in range(steps)])

  assert rate[0] == pytest.approx(2.0 / max(warmup, 1))
  assert rate[max(warmup - 1, 0)] == rate.max() == pytest.approx(2.0)
  assert rate[-1] == np.float32(2.0 * final)
  falling = rate[max(warmup - 1, 0) :]
  assert (np.diff(rate[:warmup]) > 0).all() and (np.diff(falling) <= 1e-6).all()


def test_schedule_of_one_step_is_at_the_peak():
  assert schedule(OptimConfig(2.0, warmup_steps=0), 1)(0) == 2.0


def test_parameters_and_states_are_float32_under_bfloat16(corpus):
  model = dataclasses.replace(runs.MODEL, dtype="bfloat16")
  with jax.numpy_dtype_promotion("standard"):  # flax's norm needs it
    program = runs.program(runs.config(corpus, model=model))
    batch = jax.tree.map(jnp.asarray, program.model.example(8, 16))
    state, _ = jax.eval_shape(program._step, program.shapes, batch)
    low = dataclasses.replace(runs.SMALL, dtype="bfloat16")
    _, losses = _steps(runs.config(corpus, model=low), 2)

  assert np.isfinite(losses).all()
  assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(state.params))
  groups = state.memory  # rglru, gated_delta, window, lstm
  for recurrent in (groups[0].rglru, groups[1].delta, groups[3]):
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(recurrent))
  assert groups[2].k.dtype == jnp.bfloat16


def _ledger(workdir):
  path = workdir / "ledger.jsonl"
  if not path.exists():
    return []
  lines = path.read_text().split("\n")[:-1]  # without a line cut off by the kill
  return [json.loads(line) for line in lines]


def _written(workdir):
  """Counts the lines of the ledger without parsing, since it is called often."""
  path = workdir / "ledger.jsonl"
  return path.read_bytes().count(b"\n") if path.exists() else 0


def test_kills_change_nothing(corpus, tmp_path):
  """Bitwise the same latest and best state, rows and scores after seeded SIGKILLs.

  With dropout, averaged weights and held-out scores on the way.
  """
  changes = dict(
    model=dataclasses.replace(runs.SMALL, dropout=0.1),
    optim=OptimConfig(warmup_steps=2, ema=0.9),
    validation=ValidationConfig(every=10, num_bytes=600, patience=9),
    steps=60,
    eval_bytes=0,
    sample_bytes=0,
  )
  config = runs.config(corpus, **changes)
  text = (
    "from jaxmem.training.config import from_json\n"
    f"config = from_json({to_json(config)!r})\n"
  )
  path = runs.write_config(tmp_path / "tiny.py", text)
  complete, killed = tmp_path / "whole", tmp_path / "killed"
  assert train(config, complete) == 0

  moments = random.Random(7)
  for _ in range(3):
    child = runs.start("train", path, "--workdir", killed)
    # the next line of the ledger, or a few later, or while it starts, saves, restores
    lines = len(_ledger(killed)) + moments.randrange(1, 18)
    pause = moments.random() * 0.1
    while child.poll() is None and _written(killed) < lines:
      time.sleep(0.005)
    time.sleep(pause)
    child.send_signal(signal.SIGKILL)
    child.wait()
  assert train(config, killed) == 0

  program = runs.program(config)
  for which in ("checkpoints", "best"):
    a, b = (runs.restored(config, w, program, which) for w in (complete, killed))
    assert a.step == b.step
    assert runs.digest(a.state) == runs.digest(b.state)
  scores = runs.scores(complete)
  assert scores == runs.scores(killed) and len(scores) == 6
  assert a.step == min(scores, key=scores.get)
  rows = {line["step"]: line["rows"] for line in _ledger(complete)}
  again = _ledger(killed)
  assert all(rows[line["step"]] == line["rows"] for line in again)
  assert {line["step"] for line in again} == set(rows) == set(range(60))
