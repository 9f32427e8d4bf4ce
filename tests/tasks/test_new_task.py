"""A new task is one folder, as `jaxmem new` writes it; no other file is edited."""

import importlib
import json

import pytest

from jaxmem.commands import new
from jaxmem.core import kinds
from jaxmem.evaluation import predict
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.base import EvaluableTask, Rows, Task, TaskContext
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.load import load_run
from jaxmem.training.run_task import make
from jaxmem.training.trainer import train


@pytest.fixture(scope="module")
def first_letter(tmp_path_factory):
  """Writes the package and registers it as a plugin while the module's tests run."""
  directory = tmp_path_factory.mktemp("plugins")
  new.write("task", "first_letter", directory / "first_letter")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(kinds, "_PLUGINS", {})
    patch.setattr(kinds, "_LOADED", [])
    patch.syspath_prepend(directory)
    kinds.load("first_letter")
    yield importlib.import_module("first_letter")


@pytest.fixture(scope="module")
def run(first_letter, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("first") / "run"
  config = Config(
    model=LMConfig(0, 8, 16, (entry("gru"),)),
    task=first_letter.Config(),
    optim=OptimConfig(warmup_steps=1),
    validation=ValidationConfig(every=2),
    steps=3,
    log_every=1,
  )
  assert train(config, workdir) == 0
  return workdir


def test_a_new_task_is_trained_and_reported(run):
  report = json.loads((run / "report.json").read_text())

  assert 0 <= report["accuracy"] <= 1 and report["chose_checkpoint"]
  log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
  assert "nats_per_row" in log[0] and any("heldout_nats_per_row" in m for m in log)


def test_a_new_task_answers_records(run, first_letter):
  lines = [b'{"text": "abcdefgh"}', b'{"text": "xyz"}']

  good, bad = predict.answers(lines, predict.predictor(run, "last"), rows=2)
  assert good["first"] in first_letter.task.LETTERS
  assert bad["line"] == 2 and "8 letters of abcdefgh" in bad["error"]
  report = json.loads((run / "report.json").read_text())
  scores = predict.evaluate(run, "best", "heldout").numbers
  assert scores["accuracy"] == report["accuracy"]


def test_a_new_task_satisfies_the_protocols(run, first_letter):
  loaded = load_run(run)
  task = make(loaded.config, loaded.model)

  assert isinstance(task, Task) and isinstance(task, EvaluableTask)
  assert isinstance(task.rows, Rows)
  alone = first_letter.Task(first_letter.Config(), TaskContext(), loaded.model)
  assert alone.rows.fingerprint == task.rows.fingerprint  # without any run
