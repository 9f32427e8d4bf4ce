"""Stops from outside: signals, full disks, directories that cannot be used."""

import json
import os
import resource
import signal
import time

import pytest

from jaxmem import cli
from jaxmem.runtime.signals import Stop
from support import runs

QUIET = ("--eval-bytes", "0", "--sample-bytes", "0")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  """A config of which all runs of this module are."""
  root = tmp_path_factory.mktemp("tiny")
  corpus = runs.write_corpus(root / "corpus")
  return runs.write_config(
    root / "tiny.py", f"config = config({str(corpus)!r}, model=SMALL)\n"
  )


def _wait_for_steps(child, run):
  ledger = run / "ledger.jsonl"
  while not ledger.exists() or not ledger.stat().st_size:
    assert child.poll() is None, child.communicate()
    time.sleep(0.01)


def test_first_signal_asks_and_second_does_what_it_always_did():
  signal.signal(signal.SIGINT, signal.default_int_handler)  # a test worker has its own
  with Stop() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested == "SIGINT" and stop.after(1)
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)
      time.sleep(1)
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_sigterm_exits_at_once_and_nothing_is_half_written(
  tiny, tmp_path, capsys
):
  slow = tmp_path / "slow.py"
  slow.write_text(
    tiny.read_text()
    + "import time\nfrom jaxmem.training.step import Program\nstep = Program.step\n"
    "def later(self, *args):\n"
    "  out = step(self, *args)\n"
    "  time.sleep(60 if int(out[0].step) == 6 else 0)\n"
    "  return out\n"
    "Program.step = later\n"
  )
  run = tmp_path / "run"
  child = runs.start("train", slow, "--workdir", run, *QUIET)
  while not (run / "ledger.jsonl").exists() or len(_lines(run)) < 6:
    assert child.poll() is None, child.communicate()
    time.sleep(0.01)
  time.sleep(1)  # into the long step
  begin = time.monotonic()
  child.send_signal(signal.SIGTERM)
  time.sleep(0.2)
  assert child.poll() is None
  child.send_signal(signal.SIGTERM)
  child.wait(timeout=20)

  assert child.returncode == -signal.SIGTERM
  assert time.monotonic() - begin < 20
  assert cli.run(["train", str(tiny), "--workdir", str(run), *QUIET]) == 0
  assert "resumed from step 4" in capsys.readouterr().out


def _lines(run):
  return (run / "ledger.jsonl").read_text().splitlines()


def test_ctrl_c_leaves_nothing_behind(tiny, tmp_path):
  """Iterator and checkpoints are closed, the lock and /dev/shm are as before."""

  def shared():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()

  before = shared()
  run = tmp_path / "run"
  flags = ("--steps", "100000", "--save-every", "100000", "--log-every", "100000")
  child = runs.start("train", tiny, "--workdir", run, *flags)
  _wait_for_steps(child, run)
  child.send_signal(signal.SIGINT)
  out, err = child.communicate(timeout=120)

  assert child.returncode == 75 and "stopped by SIGINT" in out, err
  assert "Traceback" not in err
  saved = [int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdecimal()]
  assert saved == [len(_lines(run))]
  assert not (run / "lock.json").exists()
  assert shared() <= before


def test_full_disk_is_said_and_earlier_checkpoints_are_intact(tiny, tmp_path, capsys):
  """No file may grow beyond some kilobytes: what a full disk does to a write."""
  run = tmp_path / "run"
  command = ["train", str(tiny), "--workdir", str(run), *QUIET]
  assert cli.run([*command, "--steps", "4"]) == 0

  size = 6_000 + max(p.stat().st_size for p in run.glob("*.jsonl"))

  def fill_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

  child = runs.start(*command, before=fill_disk)
  _, err = child.communicate(timeout=200)

  assert child.returncode == 1, err
  assert "failed: " in err and "earlier checkpoints are intact" in err, err
  capsys.readouterr()
  assert cli.run(command) == 0
  assert "resumed from step 4" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["/proc/none/run", "/sys/none"])
def test_directory_that_cannot_be_written_is_refused_before_any_step(
  tiny, capsys, name
):
  assert cli.run(["train", str(tiny), "--workdir", name]) == 2
  assert f"cannot use {name} as the work directory" in capsys.readouterr().err


def test_training_continues_without_tensorboard(tiny, tmp_path):
  run = tmp_path / "run"
  run.mkdir()
  (run / "tensorboard").write_text("a file where a directory should be")

  with pytest.warns(UserWarning) as warnings:
    assert cli.run(["train", str(tiny), "--workdir", str(run), *QUIET]) == 0

  assert sum("no TensorBoard log" in str(warning.message) for warning in warnings) == 1
  assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 12
