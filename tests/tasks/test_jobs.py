"""The trainer trains, resumes and reports a synthetic task in the same way as text."""

import dataclasses
import json

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training import config as configs
from jaxmem.training.config import Config, DataConfig, OptimConfig, ValidationConfig
from jaxmem.training.load import load_config
from jaxmem.training.step import resolve
from jaxmem.training.trainer import EXIT_STOPPED, train
from support import runs

DEVICES = 2  # training, its scores and its report over several
CONFIG = Config(
  model=LMConfig(0, 16, 32, (entry("gru"), entry("attention", capacity=40))),
  task=DataConfig(source="task:copy:vocab_size=8", segment_length=16, batch_size=32),
  optim=OptimConfig(learning_rate=1e-2, warmup_steps=4),
  validation=ValidationConfig(every=20, num_bytes=1024),
  steps=40,
  log_every=10,
  save_every=20,
  eval_bytes=1024,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("task") / "run"
  assert train(CONFIG, workdir) == 0
  return workdir


def test_a_task_trains_scores_and_reports(run, capsys):
  lines = [json.loads(s) for s in (run / "metrics.jsonl").read_text().splitlines()]
  bits = [m["bits_per_answer"] for m in lines if "bits_per_answer" in m]
  scores = [
    m["heldout_bits_per_answer"] for m in lines if "heldout_bits_per_answer" in m
  ]
  assert bits[-1] < bits[0] and len(scores) == 2
  report = json.loads((run / "report.json").read_text())
  by_length = {a["length"]: a for a in report["accuracy"]}
  # the cache holds 40 tokens: longer examples are left out, and the report says so
  assert list(by_length) == [16, 32]
  written = (run / "report.md").read_text(encoding="utf-8")
  assert "Length 64 is left out" in written and report["chose_checkpoint"]
  assert "The best checkpoint was chosen by examples of this split." in written
  for a in by_length.values():
    assert 0 <= a["whole"] <= a["answers"] <= 1 and a["bits"] > 0
  assert by_length[16]["bits"] < np.log2(8) + 1
  assert (run / "loss.png").stat().st_size > 1000


def test_a_stopped_run_continues_with_the_same_examples(run, tmp_path, monkeypatch):
  """A run that stops after twenty steps ends bitwise equal to one that does not."""
  first = dataclasses.replace(CONFIG, validation=ValidationConfig())
  uninterrupted, parts = tmp_path / "uninterrupted", tmp_path / "parts"
  assert train(first, uninterrupted) == 0

  def ledger(workdir):
    return (workdir / "ledger.jsonl").read_text().splitlines()

  def digest(workdir):
    return runs.digest(runs.restored(first, workdir).state)

  assert len(ledger(uninterrupted)) == 40

  runs.stop_at(monkeypatch, 19)
  assert train(first, parts) == EXIT_STOPPED and len(ledger(parts)) == 20
  assert train(first, parts, resume="must") == 0
  assert digest(uninterrupted) == digest(parts) and ledger(uninterrupted) == ledger(
    parts
  )


def test_other_examples_are_another_run(run):
  other = dataclasses.replace(CONFIG, seed=1)
  with pytest.raises(configs.ConfigError, match="seed: 0 -> 1"):
    train(other, run)


def test_a_run_of_a_task_reads_no_text(run):
  with pytest.raises(UserError, match="learned task:copy.*reads no text"):
    load_config(run)


@pytest.mark.parametrize(
  "source, length, says",
  [
    ("task:cpoy", 16, "did you mean 'copy'"),
    ("task:copy:vocab_size=8", 41, "holds 40 tokens"),
    ("task:mqar:pairs=60", 16, "pairs"),
  ],
)
def test_a_task_that_cannot_run_is_refused_before_device_work(source, length, says):
  data = dataclasses.replace(CONFIG.task, source=source, segment_length=length)
  config = dataclasses.replace(CONFIG, task=data)
  with pytest.raises(UserError, match=says):
    runs.task(config)


def test_a_vocabulary_smaller_than_the_task_s_is_refused():
  config = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, vocab_size=4)
  )
  with pytest.raises(configs.ConfigError, match="task:copy.* has 8 ids"):
    resolve(config)
