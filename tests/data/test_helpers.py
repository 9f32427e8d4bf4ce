"""What helps training, each by its effect: the number stands in the docstring."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training import optimizer as optim
from jaxmem.training.config import Config, OptimConfig
from jaxmem.training.step import Program

MODEL = EncoderConfig(vocab_size=64, d_model=16, pattern=(entry("gru"),), num_groups=1)
TASK = LabelsConfig(tokenizer="words:300", segment_length=8, batch_size=16, classes=2)


def batch(tokens, label, weights=None):
  rows = len(label)
  return {
    "tokens": np.asarray(tokens, np.int32),
    "types": np.zeros((rows, 8), np.int32),
    "length": np.full(rows, 8, np.int32),
    "label": np.asarray(label, np.int32),
    "choices": np.ones((rows, 2), bool),
    "weights": np.ones(rows, np.float32) if weights is None else weights,
  }


@functools.cache
def compiled(steps, dropout=0.0, label_smoothing=0.0):
  """Returns a program, and a function to its model's probabilities of the classes."""
  config = Config(
    model=dataclasses.replace(MODEL, dropout=dropout),
    task=dataclasses.replace(TASK, label_smoothing=label_smoothing),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=2, weight_decay=0.0),
    steps=steps,
  )
  program = Program(config, meshes.make(config.mesh))

  @jax.jit
  def shares(params, batch):
    logits = program.model.apply({"params": params}, batch, method="logits")
    return jax.nn.softmax(logits)

  return program, shares


def learn(batch, steps=80, **changes):
  """Returns the probabilities of the classes after steps on one batch."""
  program, shares = compiled(steps, **changes)
  state = program.init()
  for _ in range(steps):
    state, _ = program.step(state, program.put(batch))
    jax.block_until_ready(state.step)
  return shares(state.params, batch)


@pytest.fixture(scope="module")
def random_labels():
  """Returns a batch in which nothing can be learned, only memorised."""
  draw = np.random.default_rng(0)
  return batch(draw.integers(2, 60, (16, 8)), draw.integers(0, 2, 16))


def right(shares, batch):
  return np.take_along_axis(np.asarray(shares), batch["label"][:, None], 1)[:, 0]


def test_smoothing_keeps_probabilities_from_the_ends(random_labels):
  """The least probability of a learned label is 0.99 without, and 0.9 with 0.2."""
  plain = right(learn(random_labels), random_labels)
  smooth = right(learn(random_labels, label_smoothing=0.2), random_labels)
  assert plain.min() > 0.98
  np.testing.assert_allclose(smooth, 0.9, atol=0.04)


def test_dropout_memorises_less(random_labels):
  """Random labels that are learned by heart cost more than ten times the nats."""

  def nats(shares):
    return -np.log(right(shares, random_labels)).mean()

  plain = nats(learn(random_labels, 40))
  dropped = nats(learn(random_labels, 40, dropout=0.7))
  assert dropped > 5 * plain, (plain, dropped)


def test_class_weights_make_the_rare_class_as_likely_as_the_frequent():
  """Texts that say nothing, 12 of one class and 4 of the other: the rare one has 0.25
  of the probability, and 0.5 with balanced weights."""
  label = np.arange(16) % 4 == 0
  tokens = np.full((16, 8), 5)
  plain = learn(batch(tokens, label))[:, 1]
  weights = np.where(label, 2.0, 2 / 3).astype(np.float32)
  balanced = learn(batch(tokens, label, weights))[:, 1]
  np.testing.assert_allclose(plain, 0.25, atol=0.03)
  np.testing.assert_allclose(balanced, 0.5, atol=0.03)


def test_weight_decay_is_of_matrices_alone():
  """Without a gradient a matrix shrinks by rate x decay a step, a norm does not."""
  model = Classifier(MODEL, classes=2)
  init = jax.jit(functools.partial(model.init, method="objective"))
  boxed = init(jax.random.key(0), model.example(2, 8), ())
  names, params = meshes.param_names(boxed["params"]), meshes.unboxed(boxed["params"])
  config = OptimConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0.5)
  optimizer = optim.make(config, 1000, names)

  @jax.jit
  def updated(params):
    zeros = jax.tree.map(jnp.zeros_like, params)
    return optimizer.update(zeros, optimizer.init(params), params)[0]

  with jax.numpy_dtype_promotion("standard"):
    updates = jax.device_get(updated(params))
  flat = dict(jax.tree_util.tree_leaves_with_path(updates))
  moved, still = 0, 0
  for path, a in jax.tree_util.tree_leaves_with_path(params):
    layers = 1 if "groups" in str(path) else 0
    if a.ndim - layers > 1:
      np.testing.assert_allclose(
        flat[path], -0.05 * np.asarray(a), rtol=1e-4, atol=1e-7
      )
      moved += 1
    else:
      assert not np.asarray(flat[path]).any()
      still += 1
  assert moved > 3 and still > 2
