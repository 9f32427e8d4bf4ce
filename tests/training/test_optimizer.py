"""Optimizers, schedules, warm-up, frozen parameters and listeners."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from jaxmem.core.errors import ConfigError
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.training import optimizer, skips, trainer
from jaxmem.training.callbacks import Callback
from jaxmem.training.config import (
  Config,
  DataConfig,
  OptimConfig,
  ValidationConfig,
  from_json,
  to_json,
)
from jaxmem.training.load import load_run
from jaxmem.training.schedule import schedule
from jaxmem.training.step import Program, resolve
from jaxmem.training.trainer import train

DEVICES = 4
TINY = Config(
  model=LMConfig(0, d_model=8, d_ff=8, pattern=(entry("gru"),), dtype="float32"),
  task=DataConfig(source="task:copy", segment_length=4, batch_size=2),
  steps=20,
)
NAMES = {"kernel": (None, None), "bias": (None,)}
PARAMS = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}


def _moved(config, grads):
  """Returns how far a first step moves the parameters."""
  rule = optimizer.make(config, 100, NAMES)
  optimizer.check(config, rule, PARAMS)
  updates, _ = rule.update(grads, rule.init(PARAMS), PARAMS)
  return updates


@pytest.mark.parametrize(
  "text",
  ["adamw", "lion:b1=0.9:b2=0.99", "sgd", "adafactor", "sgd:momentum=0.9", "novograd"],
)
def test_decay_acts_on_what_declares_it_whatever_the_optimizer(text):
  config = OptimConfig(0.1, warmup_steps=0, weight_decay=0.5, optimizer=text)
  with jax.numpy_dtype_promotion("standard"):
    updates = _moved(config, jax.tree.map(jnp.zeros_like, PARAMS))

  np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * PARAMS["kernel"])
  np.testing.assert_array_equal(updates["bias"], 0)


def test_options_reach_the_optimizer():
  grads = jax.tree.map(jnp.ones_like, PARAMS)
  config = OptimConfig(0.1, warmup_steps=0, weight_decay=0.0, optimizer="sgd")
  plain = _moved(config, grads)
  signs = _moved(dataclasses.replace(config, optimizer="lion:b1=0.5"), grads)

  scale = 1 / np.sqrt(6)  # six ones are clipped to norm 1
  np.testing.assert_allclose(plain["bias"], -0.1 * scale, rtol=1e-6)
  np.testing.assert_allclose(signs["bias"], -0.1, rtol=1e-6)


def _second(second, **fields):
  """Returns the second update of a bias, after gradients of 1 and `second`."""
  fields = dict(weight_decay=0.0, clip_norm=1e9) | fields
  rule = optimizer.make(OptimConfig(0.1, warmup_steps=0, **fields), 1000, NAMES)
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  with jax.numpy_dtype_promotion("standard"):
    _, state = rule.update(ones, rule.init(PARAMS), PARAMS)
    grads = jax.tree.map(lambda a: second * a, ones)
    return rule.update(grads, state, PARAMS)[0]["bias"][0]


def test_betas_are_how_much_of_the_past_each_moment_keeps():
  assert _second(-1.0, beta1=0.0, beta2=0.0) == pytest.approx(0.1, rel=1e-3)
  assert _second(-1.0, beta1=0.5, beta2=0.0) == pytest.approx(0.1 / 3, rel=1e-3)
  assert _second(0.1, beta1=0.0, beta2=0.0) == pytest.approx(-0.1, rel=1e-3)
  root = np.sqrt((0.9 + 0.01) / 1.9)  # of the mean square, without its bias
  assert _second(0.1, beta1=0.0, beta2=0.9) == pytest.approx(-0.01 / root, rel=1e-3)


def test_gradients_are_clipped_to_the_norm_of_the_config():
  grads = jax.tree.map(jnp.ones_like, PARAMS)  # six ones
  config = OptimConfig(0.1, warmup_steps=0, weight_decay=0.0, optimizer="sgd")
  moved = {n: _moved(dataclasses.replace(config, clip_norm=n), grads) for n in (0.5, 9)}
  np.testing.assert_allclose(moved[0.5]["bias"], -0.1 * 0.5 / np.sqrt(6), rtol=1e-6)
  np.testing.assert_allclose(moved[9]["bias"], -0.1, rtol=1e-6)


def test_so_many_skipped_steps_in_a_row_stop_a_run():
  config = dataclasses.replace(TINY, stop_after_skips=3)
  bad, good = {"skipped": True}, {"skipped": False}
  assert skips.count_skips([bad, good, bad, bad], 0, 9, config) == 2
  with pytest.raises(skips.TrainingError, match="3 steps in a row .* last one step 8"):
    skips.count_skips([bad], 2, 9, config)


def test_state_of_the_default_is_that_of_adamw():
  state = optimizer.make(OptimConfig(), 100, NAMES).init(PARAMS)
  adamw = optax.adamw(lambda _: 0.1, mask={"kernel": True, "bias": False})
  reference = optax.chain(optax.clip_by_global_norm(1.0), adamw).init(PARAMS)
  assert jax.tree.structure(state) == jax.tree.structure(reference)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"optimizer": "lino"}, "optim.optimizer is 'lino': did you mean 'lion'?"),
    (
      {"optimizer": "lion:b3=1"},
      "'lion' has no option 'b3': did you mean 'b1' or",
    ),
    ({"optimizer": "lion:b1"}, "'b1' in 'lion:b1' is not of the form option=value"),
    ({"optimizer": "lion:mask=1"}, "gives 'mask': set optim.weight_decay instead"),
    ({"optimizer": "adamw:b1=0.5"}, "gives 'b1': set optim.beta1 instead"),
    ({"optimizer": "lion", "beta1": 0.5}, "optim.beta1 is 0.5 and optim.optimizer"),
    ({"optimizer": "lbfgs"}, "'lbfgs' cannot be used: TypeError"),
    ({"optimizer": "dpsgd"}, "'dpsgd' cannot be used: TypeError"),
    ({"optimizer": "my.rule"}, "the function 'my.rule' of a Python config"),
    ({"schedule": "cosin"}, "optim.schedule is 'cosin': did you mean 'cosine'?"),
    ({"schedule": "wsd:decay=2.0"}, "wsd: decay is 2.0: it must be in (0, 1]"),
    ({"schedule": "polynomial_schedule"}, "'polynomial_schedule' cannot be used"),
    ({"trainable": "("}, "optim.trainable is '(', which is not a regular expression"),
    ({"trainable": "lora"}, "optim.trainable is 'lora' and no parameter has such"),
  ],
)
def test_impossible_options_are_named_before_any_device_work(change, message):
  config = dataclasses.replace(TINY, optim=OptimConfig(**change))
  with pytest.raises(ConfigError) as error:
    Program(resolve(config), meshes.make(config.mesh, jax.devices()[:1]))
  assert message in str(error.value)


@pytest.mark.parametrize(
  "text, last",
  [
    ("linear", 0.1),
    ("constant", 1.0),
    ("wsd", 0.1),
    ("cosine_decay_schedule", 0.1),
    ("cosine_decay_schedule:alpha=0.5", 0.5),
    ("warmup_cosine_decay_schedule:init_value=0.25", 0.1),
  ],
)
def test_schedules_rise_to_the_peak_and_end_where_configured(text, last):
  rate = schedule(OptimConfig(1.0, schedule=text), 20)
  with jax.numpy_dtype_promotion("standard"):  # as in a step
    rates = np.array([float(rate(jnp.int32(i))) for i in range(20)])

  assert rates[0] == 0.25 and rates.max() == pytest.approx(1.0)
  assert rates[-1] == pytest.approx(last, abs=1e-6)
  if text == "wsd":
    assert (rates[3:16] == 1).all() and (np.diff(rates[16:]) < 0).all()


@pytest.mark.parametrize("steps, warmup", [(1, 0), (20, 4), (250, 50), (500, 50)])
def test_warmup_is_a_fraction_unless_it_is_stated(steps, warmup):
  assert OptimConfig().warmup(steps) == warmup
  config = resolve(dataclasses.replace(TINY, steps=steps))
  assert config.optim.warmup_steps == warmup
  assert OptimConfig(warmup_steps=7).warmup(steps) == 7


def halves(learning_rate):
  """Returns an optimizer that a user has written."""
  return optax.sgd(lambda count: learning_rate(count) / 2)


def test_function_is_saved_by_its_name_and_never_found_by_it():
  config = dataclasses.replace(TINY, optim=OptimConfig(optimizer=halves))
  updates = _moved(
    OptimConfig(0.1, warmup_steps=0, weight_decay=0.0, optimizer=halves),
    {"kernel": jnp.zeros((2, 2)), "bias": jnp.array([1.0, 0])},
  )
  np.testing.assert_allclose(updates["bias"], [-0.05, 0])

  saved = from_json(to_json(resolve(config)))
  assert saved.optim.optimizer == f"{__name__}.halves"
  with pytest.raises(ConfigError, match="nothing is imported by the name"):
    Program(saved, meshes.make(config.mesh, jax.devices()[:1]))
  with pytest.raises(ConfigError, match="has no name to save a run by"):
    OptimConfig(optimizer=lambda learning_rate: optax.sgd(learning_rate))


class _Listener(Callback):
  def __init__(self):
    self.steps, self.rates, self.scores, self.end = [], [], [], None

  def on_step(self, step, metrics):
    self.steps.append(step)
    self.rates.append(metrics["learning_rate"])

  def on_validation(self, step, score, best):
    self.scores.append((step, score, best))

  def on_end(self, step, complete):
    self.end = step, complete


def test_a_run_of_a_function_continues_only_with_it_and_is_read_without_it(tmp_path):
  """The listener gets every step, and every line of the log has the learning rate."""
  config = dataclasses.replace(
    TINY,
    optim=OptimConfig(optimizer=halves, trainable="mixer"),
    **dict(steps=10, log_every=4, save_every=5, eval_bytes=0, sample_bytes=0),
    mesh=meshes.MeshConfig(data=2, fsdp=-1),
    validation=ValidationConfig(every=5, num_bytes=8),
  )
  config = dataclasses.replace(
    config, task=dataclasses.replace(config.task, batch_size=8)
  )
  listener = _Listener()
  assert train(config, tmp_path, callbacks=[listener]) == 0

  assert listener.steps == list(range(1, 11)) and listener.end == (10, True)
  (_, first, none), (_, _, best) = listener.scores
  assert [step for step, _, _ in listener.scores] == [5, 10]
  assert none is None and best == np.float32(first)
  rate = schedule(config.optim, 10)
  np.testing.assert_allclose(listener.rates, [rate(i) for i in range(10)], rtol=1e-6)
  lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
  rates = {line["step"]: line["learning_rate"] for line in lines if "loss" in line}
  assert rates == {i: listener.rates[i - 1] for i in (4, 8, 10)}

  assert load_run(tmp_path).step == 10  # nothing of an optimizer is needed
  longer = dataclasses.replace(config, steps=12)
  assert train(longer, tmp_path, callbacks=[_Raises(11)]) == 0
  trainer.Program.cache_clear()  # a saved name equals the function that it names
  with pytest.raises(ConfigError, match="nothing is imported by the name"):
    train(from_json((tmp_path / "config.json").read_text()), tmp_path)
  other = dataclasses.replace(config.optim, optimizer="adamw")
  with pytest.raises(ConfigError, match=r"optim.optimizer: .*halves.* -> 'adamw'"):
    train(dataclasses.replace(longer, optim=other), tmp_path)
  with pytest.raises(ZeroDivisionError):
    train(config, tmp_path / "raises", callbacks=[_Raises(3)])


class _Raises(Callback):
  """Raises at any step before `first`; a run that continues begins at 11."""

  def __init__(self, first):
    self.first = first

  def on_step(self, step, metrics):
    if step < self.first:
      raise ZeroDivisionError


@pytest.mark.parametrize(
  "text", ["adamw", "muon", "adafactor:min_dim_size_to_factor=4"]
)
def test_frozen_parameters_stay_and_cost_nothing(text):
  config = dataclasses.replace(
    TINY, optim=OptimConfig(warmup_steps=0, optimizer=text, trainable="mixer/", ema=0.5)
  )
  config = resolve(config)
  program = Program(config, meshes.make(config.mesh, jax.devices()[:1]))
  state = program.init()
  before = jax.device_get(state.params)
  flat = traverse_util.flatten_dict(before, sep="/")
  moving = {path for path in flat if "mixer/" in path}
  assert 0 < len(moving) < len(flat)
  zeros = program.model.example(2, 4)
  batch = {**zeros, "weights": np.ones((2, 4), np.float32), "rows": None}
  batch = jax.tree.map(np.asarray, batch | {"tokens": np.arange(8).reshape(2, 4) % 8})
  batch["tokens"] = batch["tokens"].astype(np.int32)

  after, metrics = program.step(state, program.put(batch))

  assert float(metrics["grad_norm"]) > 0
  for path, a in traverse_util.flatten_dict(
    jax.device_get(after.params), sep="/"
  ).items():
    assert (a != flat[path]).any() == (path in moving), path
  assert set(traverse_util.flatten_dict(after.ema, sep="/")) == moving
  shapes = [flat[path].shape for path in moving]
  sizes = sum(flat[path].size for path in moving)
  num_moments = sum(a.size for a in jax.tree.leaves(after.opt_state) if a.ndim)
  assert 0 < num_moments <= 2 * sizes
  if text == "adamw":
    moments = [a.shape for a in jax.tree.leaves(after.opt_state) if a.ndim]
    assert sorted(moments) == sorted(2 * shapes) and num_moments == 2 * sizes
  weights = program.weights_of(after)
  assert jax.tree.structure(weights) == jax.tree.structure(before)
