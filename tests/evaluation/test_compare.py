"""Memories side by side: one size, one table, runs that failed included."""

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
from jaxmem.evaluation.compare.ledger import RESULTS, ended, open_ledger, place
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
  found = {(str(r.memory), r.length): r.state_bytes() for r in plan.runs()}
  assert found["gru", 64] == found["gru", 256] == 4 * 64
  assert found["attention", 256] == pytest.approx(4 * found["attention", 64], rel=0.01)


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
  """They wrote a file to their own folder; a folder that is deleted is tried again."""
  plan = Plan(memories="gru,mingru,lstm", lengths="8", seeds=1, task="copy")
  good, bad, left = plan.runs()
  for run in (good, bad):
    place(tmp_path, run).mkdir(parents=True)
  (place(tmp_path, good) / "result.json").write_text('{"steps": 7}')
  (place(tmp_path, bad) / "failed.txt").write_text("exit code 1: why\n")

  for _ in range(2):
    ledger = open_ledger(plan, tmp_path)
    found = [ended(ledger, run, tmp_path) for run in (good, bad, left)]
    assert [line and len(line) for line in found] == [4, 4, None]
    assert found[0]["steps"] == 7 and found[1]["failed"] == "exit code 1: why"
  assert (tmp_path / RESULTS).read_text().count("\n") == 2
  shutil.rmtree(place(tmp_path, bad))
  assert ended(open_ledger(plan, tmp_path), bad, tmp_path) is None


def test_a_comparison_stops_goes_on_and_shows_what_failed(tmp_path):
  """A signal in the first run, a second run whose folder another trainer holds."""
  out = tmp_path / "out"
  child = runs.start("compare", *ARGUMENTS, "--out", out)
  log = out / "runs" / "gru-8" / "seed0" / "metrics.jsonl"
  while child.poll() is None and not (log.exists() and log.stat().st_size):
    time.sleep(0.05)
  child.send_signal(signal.SIGINT)
  said, error = child.communicate(timeout=120)
  if child.returncode == 0:  # it was over sooner than the signal
    assert "done" in said
  else:
    assert child.returncode == EXIT_STOPPED, error
    assert "the same command continues" in said
    assert not (out / RESULTS).exists()

  with Lock(out / "runs" / "mingru-8" / "seed0"):
    done = runs.call("compare", *ARGUMENTS, "--out", out)
  assert done.returncode == 0, done.stderr
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
