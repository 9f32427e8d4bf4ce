"""Adversarial training follows the papers' equations and makes a model robust."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core.errors import ConfigError
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training import adversarial
from jaxmem.training.adversarial import AdversaryConfig
from jaxmem.training.config import Config, OptimConfig, check
from jaxmem.training.step import Program, resolve

SHAPE = (2, 3, 4)


def loss(params, memory, batch, rng):
  """A loss without symmetry, so that it differs in every direction."""
  x = batch["x"] + batch.get("noise", 0.0)
  nats = jnp.sum(jnp.tanh(x @ params) ** 2, axis=(1, 2))
  return nats.sum(), memory


def example():
  """Parameters and a batch."""
  keys = jax.random.split(jax.random.key(0), 2)
  return jax.random.normal(keys[0], (4, 5)), {"x": jax.random.normal(keys[1], SHAPE)}


def test_fgm_is_the_mean_of_the_text_and_its_worst_neighbour():
  params, batch = example()
  config = AdversaryConfig("fgm", radius=0.3)
  step = adversarial.gradient(loss, config, lambda batch: SHAPE)
  (nats, _), grads = step(params, (), batch, jax.random.key(1))

  def value(params, x):
    return loss(params, (), {"x": x}, None)[0]

  up = jax.grad(value, argnums=1)(params, batch["x"])
  r = 0.3 * up / np.linalg.norm(up.reshape(2, -1), axis=1)[:, None, None]
  plain, worse = (jax.grad(value)(params, x) for x in (batch["x"], batch["x"] + r))
  np.testing.assert_allclose(grads, (plain + worse) / 2, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(nats, value(params, batch["x"]), rtol=1e-6)
  assert value(params, batch["x"] + r) > value(params, batch["x"])


def test_freelb_climbs_inside_its_ball():
  params, batch = example()
  noises = []

  def recorded(params, memory, batch, rng):
    jax.debug.callback(lambda n: noises.append(np.array(n)), batch["noise"])
    return loss(params, memory, batch, rng)

  config = AdversaryConfig("freelb", radius=0.5, steps=4, step_size=0.4)
  step = adversarial.gradient(recorded, config, lambda batch: SHAPE)
  (nats, _), _ = step(params, (), batch, jax.random.key(1))
  jax.effects_barrier()
  values = [loss(params, (), batch | {"noise": n}, None)[0] for n in noises]
  norms = [np.linalg.norm(n.reshape(2, -1), axis=1) for n in noises]
  assert len(noises) == 4 and max(n.max() for n in norms) <= 0.5 + 1e-6
  assert values == sorted(values) and values[-1] > 1.05 * values[0]
  np.testing.assert_allclose(nats, np.mean(values), rtol=1e-5)


@pytest.fixture(scope="module")
def programs():
  """Runs with and without an adversary, on texts whose first word is the class."""
  base = Config(
    model=EncoderConfig(
      vocab_size=64, d_model=16, pattern=(entry("gru"),), num_groups=1
    ),
    task=LabelsConfig(
      tokenizer="words:300", segment_length=8, batch_size=16, classes=2
    ),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=2, weight_decay=0.0),
    steps=60,
  )
  trained = {}
  for kind in ("none", "fgm", "freelb"):
    adversary = AdversaryConfig(kind, radius=8.0, step_size=6.0)
    config = dataclasses.replace(base, adversary=adversary)
    program = Program(config, meshes.make(config.mesh))
    state = program.init()
    for step in range(60):
      state, _ = program.step(state, program.put(batch(step)))
    trained[kind] = program, state
  return trained


def batch(step):
  draw = np.random.default_rng(step)
  tokens = draw.integers(2, 60, (16, 8)).astype(np.int32)
  label = draw.integers(0, 2, 16).astype(np.int32)
  tokens[:, 1] = label
  return {
    "tokens": tokens,
    "types": np.zeros_like(tokens),
    "length": np.full(16, 8, np.int32),
    "label": label,
    "choices": np.ones((16, 2), bool),
    "weights": np.ones(16, np.float32),
  }


def test_adversaries_make_a_model_that_bears_moved_embeddings(programs):
  """Embeddings of new texts are moved by radius 8.

  They cost 2.9 nats without an adversary, 0.6 and 0.7 with one, whose price is 0.4 and
  0.5 nats of texts that are not moved.
  """

  model = programs["none"][0].model

  def moved(params):
    inputs = jax.tree.map(jnp.asarray, batch(1000))

    def nats(noise):
      rows, _ = model.apply(
        {"params": params}, inputs | {"noise": noise}, (), method="objective"
      )
      return rows.mean()

    zeros = jnp.zeros((16, 8, 16))
    return nats(8.0 * adversarial._unit(jax.grad(nats)(zeros))), nats(zeros)

  # all three runs have one model, so it is compiled once
  moved = jax.jit(moved)
  losses = {kind: moved(state.params) for kind, (_, state) in programs.items()}
  worst = {kind: float(pair[0]) for kind, pair in losses.items()}
  assert all(pair[1] < 0.6 for pair in losses.values()), losses
  assert worst["fgm"] < 0.5 * worst["none"], worst
  assert worst["freelb"] < 0.5 * worst["none"], worst


def test_an_adversary_of_a_model_without_noise_is_refused():
  model = LMConfig(0, d_model=8, d_ff=8, pattern=(entry("gru"),), dtype="auto")
  config = Config(adversary=AdversaryConfig("fgm"), model=model)
  with pytest.raises(ConfigError, match="no embeddings that can be moved"):
    config = resolve(config)
    Program(config, meshes.make(config.mesh))
  with pytest.raises(ConfigError, match="adversary.radius is 0.0"):
    check(Config(adversary=AdversaryConfig("fgm", radius=0.0)))
