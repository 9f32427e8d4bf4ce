"""Held-out scores while training: best checkpoint, early stop, averaged weights."""

import jax
import numpy as np
import pytest

from jaxmem.training.config import OptimConfig, ValidationConfig
from jaxmem.training.load import load_model
from jaxmem.training.trainer import train
from jaxmem.training.validation import Validation, initial_best
from support import runs


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return runs.write_corpus(tmp_path_factory.mktemp("corpus"))


def _config(corpus, **changes):
  defaults = dict(
    model=runs.SMALL,
    optim=OptimConfig(warmup_steps=2, ema=0.9),
    validation=ValidationConfig(every=5, num_bytes=600, patience=9),
    eval_bytes=0,
    sample_bytes=0,
  )
  return runs.config(corpus, **defaults | changes)


def test_averaged_weights_are_the_recurrence_and_are_what_is_loaded(corpus, tmp_path):
  config = _config(corpus, optim=OptimConfig(warmup_steps=2, ema=0.5), steps=6)
  program = runs.program(config)
  lanes = runs.lanes(config)
  state = program.init()
  want = jax.device_get(state.params)
  for step in range(6):
    state, _ = program.step(state, program.put(lanes[step]))
    decay = min(0.5, (1 + step) / (10 + step))
    new = jax.device_get(state.params)
    want = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, want, new)

  for got, expected in zip(
    jax.tree.leaves(state.ema), jax.tree.leaves(want), strict=True
  ):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
  assert program.weights == ("ema",)


def test_run_ends_early_and_stays_ended(corpus, tmp_path, capsys):
  """The learning rate improves nothing, so the run ends after `patience` scores."""
  config = _config(
    corpus,
    steps=400,
    optim=OptimConfig(learning_rate=1e-30, weight_decay=0.0, warmup_steps=2),
    validation=ValidationConfig(every=5, num_bytes=600, patience=2),
  )
  run = tmp_path / "run"
  assert train(config, run) == 0

  out = capsys.readouterr().out
  assert "stopped early at step 15: the last 2 scores" in out
  assert list(runs.scores(run)) == [5, 10, 15]
  assert "the best held-out score was at step 5" in out
  assert load_model(run).step == 15 and load_model(run, "best").step == 5
  assert train(config, run) == 0
  assert "stopped early at step 15" in capsys.readouterr().out
  assert list(runs.scores(run)) == [5, 10, 15]


def test_scoring_moves_nothing_of_the_run(corpus, tmp_path):
  """Parameters, optimizer, memory and keys are bitwise those without scoring."""
  plain = _config(corpus, validation=ValidationConfig())
  scored = _config(corpus, validation=ValidationConfig(every=1, num_bytes=300))
  states = []
  for name, config in (("plain", plain), ("scored", scored)):
    assert train(config, tmp_path / name) == 0
    states.append(runs.restored(config, tmp_path / name).state._replace(best=()))
  assert runs.digest(states[0]) == runs.digest(states[1])
  assert len(runs.scores(tmp_path / "scored")) == 12


def test_score_that_is_not_finite_is_never_the_best():
  validation = object.__new__(Validation)  # neither a task nor a directory is asked
  validation._config = ValidationConfig(every=1, patience=2)
  best, scores = initial_best(), []
  for step, score in enumerate([np.nan, np.inf, 3.0, np.nan, 4.0], 1):
    best, better = validation.compare(score, step, best)
    scores.append(better)
    if step in (2, 5):
      assert validation.should_stop(best)  # patience counts NaN, too

  assert scores == [False, False, True, False, False]
  assert int(best.step) == 3 and float(best.bits_per_byte) == 3.0


def test_patience_without_scores_is_refused(corpus):
  from jaxmem.core.errors import ConfigError
  from jaxmem.training.config import check

  with pytest.raises(ConfigError, match="patience is 3 and validation.every is 0"):
    check(runs.config(corpus, validation=ValidationConfig(patience=3)))
