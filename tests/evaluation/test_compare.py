"""Memories side by side: models of one size in one table, failed runs included."""

import csv
import dataclasses
import json
import shutil
import signal
import time

import pytest

from jaxmem.core.errors import UserError
from jaxmem.evaluation.compare import plan as plans
from jaxmem.evaluation.compare import table
from jaxmem.evaluation.compare.ledger import RESULTS, ended, folder_of, open_ledger
from jaxmem.evaluation.compare.plan import Plan
from jaxmem.runtime.lock import Lock
from jaxmem.training.trainer import EXIT_STOPPED
from support import runs

ALL = "attention,mamba2,gru"
ARGUMENTS = (
  "--task", "copy:vocab_size=8", "--memories", "gru,mingru", "--lengths", "8",
  "--seeds", "1", "--d-model", "16", "--layers", "1", "--ask", "256",
  "--steps", "60",
)  # fmt: skip


def test_models_are_of_one_size():
  plan = Plan(memories=ALL, d_model=32, layers=1)
  sizes = [plans.count(run.model()) for run in plan.runs()[:3]]
  assert max(sizes) - min(sizes) <= 3 * plans.WIDTH * 32 * plan.layers
  assert max(sizes) <= 1.02 * plan.largest()


def test_attention_counts_the_state_that_the_length_needs():
  plan = Plan(memories="attention,gru", lengths="64,256")
  state_bytes = {(str(r.memory), r.length): r.state_bytes() for r in plan.runs()}
  assert state_bytes["gru", 64] == state_bytes["gru", 256] == 4 * 64
  assert state_bytes["attention", 256] == pytest.approx(
    4 * state_bytes["attention", 64], rel=0.01
  )


@pytest.mark.parametrize(
  "changes, says",
  [
    (dict(task="mqr"), "did you mean 'mqar'"),
    (dict(memories="grru"), "did you mean 'gru'"),
    (dict(memories="encoder_attention"), "reads both ways"),
    (dict(lengths="2"), "pairs|length"),
    (dict(lengths="64,x"), "whole numbers"),
    (dict(seeds=0), "seeds is 0"),
    (dict(steps=3), "at least 20"),
    (dict(minutes_per_run=0.0), "minutes_per_run is 0.0"),
  ],
)
def test_a_plan_that_cannot_be_run_says_why(changes, says):
  with pytest.raises(UserError, match=says):
    dataclasses.replace(Plan(), **changes).check()


def test_a_size_that_a_memory_exceeds_is_refused():
  plan = Plan(memories="mamba2", params=1000)
  with pytest.raises(UserError, match="give --params"):
    plan.runs()[0].model()


def test_another_plan_in_the_directory_is_refused(tmp_path):
  open_ledger(Plan(), tmp_path)
  open_ledger(Plan(), tmp_path)
  assert plans.read(tmp_path) == Plan()
  with pytest.raises(UserError, match="begun with seeds 3, this command has 2"):
    open_ledger(Plan(seeds=2), tmp_path)


def test_runs_that_an_older_version_ended_are_not_run_again(tmp_path):
  """Those versions wrote a file to the run's folder; a deleted folder is retried."""
  plan = Plan(memories="gru,mingru,lstm", lengths="8", seeds=1, task="copy")
  good, bad, pending = plan.runs()
  for run in (good, bad):
    folder_of(tmp_path, run).mkdir(parents=True)
  (folder_of(tmp_path, good) / "result.json").write_text('{"steps": 7}')
  (folder_of(tmp_path, bad) / "failed.txt").write_text("exit code 1: why\n")

  for _ in range(2):
    ledger = open_ledger(plan, tmp_path)
    lines = [ended(ledger, run, tmp_path) for run in (good, bad, pending)]
    assert [line and len(line) for line in lines] == [4, 4, None]
    assert lines[0]["steps"] == 7 and lines[1]["failed"] == "exit code 1: why"
  assert (tmp_path / RESULTS).read_text().count("\n") == 2
  shutil.rmtree(folder_of(tmp_path, bad))
  assert ended(open_ledger(plan, tmp_path), bad, tmp_path) is None


def test_the_devices_are_left_to_the_runs(tmp_path):
  """Where no platform can be used the runs fail, and the comparison does not."""
  arguments = [*ARGUMENTS, "--memories", "gru", "--out", tmp_path]
  result = runs.call("compare", *arguments, JAX_PLATFORMS="nosuch")
  assert result.returncode == 0, result.stderr
  assert "FAILED with exit code 1" in result.stdout


def test_a_comparison_stops_continues_and_shows_failed_runs(tmp_path):
  """A signal stops the first run; another trainer holds the folder of the second."""
  out = tmp_path / "out"
  child = runs.start("compare", *ARGUMENTS, "--out", out)
  log = out / "runs" / "gru-8" / "seed0" / "metrics.jsonl"
  while child.poll() is None and not (log.exists() and log.stat().st_size):
    time.sleep(0.05)
  child.send_signal(signal.SIGINT)
  stdout, error = child.communicate(timeout=120)
  if child.returncode == 0:  # it ended before the signal arrived
    assert "done" in stdout
  else:
    assert child.returncode == EXIT_STOPPED, error
    assert "the same command continues" in stdout
    assert not (out / RESULTS).exists()

  with Lock(out / "runs" / "mingru-8" / "seed0"):
    resumed = runs.call("compare", *ARGUMENTS, "--out", out)
  assert resumed.returncode == 0, resumed.stderr
  (good, bad) = table.rows(plans.read(out), out)
  assert good["steps"] == 60 and good["state_bytes_per_layer"] == 64
  assert [a["length"] for a in good["accuracy"]] == [8, 16, 32, 64, 128]
  assert good["tokens_per_second"] > 0 and good["peak_memory_bytes"] > 2**20
  assert bad["memory"] == "mingru" and "exit code" in bad["failed"]
  assert "failed: exit code" in (out / "table.md").read_text()
  lines = list(csv.DictReader(open(out / "table.csv")))
  assert len(lines) == 6 and lines[-1]["failed"].startswith("exit code")
  assert json.loads((out / "table.json").read_text())[1]["failed"] == bad["failed"]
  for name in ("frontier.png", "by_length.png", "depth.png"):
    assert (out / name).stat().st_size > 1000
