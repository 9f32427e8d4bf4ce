"""A run may begin from the parameters of another."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training import init_from
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.training.trainer import train
from support import runs

CONFIG = Config(
  model=LMConfig(0, 16, 32, (entry("gru"),)),
  task=DataConfig(source="task:copy:vocab_size=8", segment_length=16, batch_size=8),
  optim=OptimConfig(warmup_steps=1),
  steps=2,
  eval_bytes=0,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("first") / "run"
  assert train(CONFIG, workdir) == 0
  return workdir


def begin(config, workdir):
  program = runs.program(dataclasses.replace(config, init_from=str(workdir)))
  return program, init_from.warm_start(program, program.init())


def test_matching_parameters_are_copied_and_others_drawn(run):
  learned = runs.restored(CONFIG, run).state.params
  # another vocabulary: the embedding is another, the stack is the same
  model = dataclasses.replace(CONFIG.model, vocab_size=128)
  program, state = begin(dataclasses.replace(CONFIG, model=model), run)

  def same(a, b):
    return np.testing.assert_array_equal(a, b)

  jax.tree.map(same, state.params["stack"], learned["stack"])
  same(state.params["embedding"], program.init().params["embedding"])


def test_the_average_begins_where_the_parameters_do(run):
  optim = dataclasses.replace(CONFIG.optim, ema=0.9)
  _, state = begin(dataclasses.replace(CONFIG, optim=optim), run)
  jax.tree.map(np.testing.assert_array_equal, state.ema, state.params)


def test_a_run_of_which_nothing_fits_is_refused(run):
  model = dataclasses.replace(CONFIG.model, d_model=24)
  with pytest.raises(UserError, match="no parameter has the name and shape"):
    begin(dataclasses.replace(CONFIG, model=model), run)


def test_a_missing_run_is_refused(tmp_path):
  with pytest.raises(UserError, match="no checkpoint of a run"):
    begin(CONFIG, tmp_path)
