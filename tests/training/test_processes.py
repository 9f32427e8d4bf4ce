"""Two processes over gloo share a run and a checkpoint, and stop together."""

import signal
import socket
import time

import jax
import numpy as np

from jaxmem import cli
from jaxmem.parallel import mesh as meshes
from jaxmem.training import trainer
from jaxmem.training.config import MeshConfig, ValidationConfig
from jaxmem.training.step import resolve
from support import runs

FLAGS = ("--steps", "24", "--eval-bytes", "0", "--sample-bytes", "0")


def _pair(path, run, *flags):
  """Starts the two processes of a run, with a device each."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  environment = {
    "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
    "JAX_NUM_PROCESSES": "2",
  }
  return [
    runs.start(
      "train",
      path,
      "--workdir",
      run,
      "--distributed",
      *flags,
      JAX_PROCESS_ID=str(i),
      **environment,
    )  # fmt: skip
    for i in range(2)
  ]


def _end(pair):
  return [(*child.communicate(timeout=240), child.returncode) for child in pair]


def test_two_processes_stop_together_and_one_continues(tmp_path, capsys):
  """Only the second process gets SIGTERM; the resumed loss is that of one process."""
  corpus = runs.write_corpus(tmp_path / "corpus")
  text = "from jaxmem.training.config import ValidationConfig\n"
  text += (
    f"config = config({str(corpus)!r}, model=SMALL, mesh=MeshConfig(fsdp=-1, data=1),"
  )
  text += " validation=ValidationConfig(every=6, num_bytes=300))\n"
  text += (
    "import time\nfrom jaxmem.training.step import Program\nstep = Program.step\n"
    "def slow(self, *args):\n  time.sleep(0.05)\n  return step(self, *args)\n"
    "Program.step = slow\n"
  )
  path = runs.write_config(tmp_path / "pair.py", text)
  run, alone = tmp_path / "run", tmp_path / "alone"

  pair = _pair(path, run, *FLAGS)
  ledger = run / "ledger.jsonl"
  while not ledger.exists() or ledger.read_text().count("\n") < 8:
    assert all(child.poll() is None for child in pair), _end(pair)
    time.sleep(0.01)
  pair[1].send_signal(signal.SIGTERM)
  (out, err, code), (silent, err2, code2) = _end(pair)

  assert (code, code2) == (75, 75), err + err2
  assert "stopped by SIGTERM at step" in out and "step" not in silent
  saved = max(int(p.name) for p in (run / "checkpoints").glob("[0-9]*"))
  assert f"at step {saved};" in out and 8 <= saved < 24

  config = runs.config(
    corpus,
    model=runs.SMALL,
    mesh=MeshConfig(fsdp=-1, data=1),
    validation=ValidationConfig(every=6, num_bytes=300),
    steps=24,
    eval_bytes=0,
    sample_bytes=0,
  )
  assert trainer.train(config, run) == 0
  assert f"resumed from step {saved}" in capsys.readouterr().out
  assert trainer.train(config, alone) == 0
  program = trainer.Program(resolve(config), meshes.make(config.mesh))
  got, want = (runs.restored(config, w, program).state for w in (run, alone))
  for a, b in zip(_leaves(got.params), _leaves(want.params), strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
  assert runs.scores(run).keys() == runs.scores(alone).keys() == {6, 12, 18, 24}


def _leaves(tree):
  return [np.asarray(a) for a in jax.tree.leaves(tree)]


def test_half_an_environment_is_refused_by_name(tmp_path, monkeypatch, capsys):
  path = runs.write_config(tmp_path / "tiny.py", "config = config('nowhere')\n")
  monkeypatch.setenv("JAX_NUM_PROCESSES", "2")

  assert cli.run(["train", str(path), "--distributed"]) == 2
  err = capsys.readouterr().err
  assert "JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID missing" in err
