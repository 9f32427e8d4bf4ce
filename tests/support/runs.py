"""Tiny runs for tests: their corpus, config, child processes and digests."""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from jaxmem import data, tasks
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.runtime.logs import Log
from jaxmem.training import config as configs
from jaxmem.training import run_task
from jaxmem.training.config import Config, DataConfig, MeshConfig, OptimConfig
from jaxmem.training.step import Program, resolve

PATTERN = (
  entry("rglru", num_heads=2),
  entry("gated_delta", num_heads=2, chunk_size=8),
  entry("window", window_size=6, num_heads=2, block_size=8),
  entry("lstm", chunk_size=8),
)
MODEL = LMConfig(vocab_size=0, d_model=16, d_ff=32, pattern=PATTERN, dtype="auto")
# For claims that do not depend on the memory: a cell is the cheapest to compile.
SMALL = dataclasses.replace(MODEL, pattern=(entry("gru"),))


def write_corpus(directory: Path, files: int = 24) -> Path:
  """Writes files of words, of different lengths; returns their directory."""
  directory.mkdir(parents=True, exist_ok=True)
  draw = np.random.default_rng(0)
  words = [b"memory", b"state", b"reset", b"lane", b"token", b"forget", b"\n"]
  for i in range(files):
    text = b" ".join(words[j] for j in draw.integers(0, len(words), 40 + 30 * (i % 5)))
    (directory / f"file{i:02}.txt").write_bytes(text)
  return directory


def config(source: Path, **changes) -> Config:
  """Returns the config of a run of a few seconds."""
  defaults = dict(
    model=MODEL,
    task=DataConfig(source=str(source), segment_length=16, batch_size=8),
    optim=OptimConfig(warmup_steps=2),
    mesh=MeshConfig(),
    steps=12,
    log_every=4,
    save_every=4,
    eval_bytes=512,
    sample_bytes=20,
  )
  return Config(**defaults | changes)


def write_config(path: Path, text: str) -> Path:
  """Writes a config file that can use the names of this module; returns its path."""
  tests = Path(__file__).parents[1]
  head = f"import sys\nsys.path.insert(0, {str(tests)!r})\n"
  path.write_text(head + "from support.runs import *\n" + text)
  return path


def environment(**changes: str) -> dict[str, str]:
  """Returns the environment of a child: this checkout, one CPU, the tests' cache."""
  root = str(Path(__file__).parents[2])
  cache = str(jax.config.jax_compilation_cache_dir)
  return os.environ | {
    "PYTHONPATH": root,
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": cache,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0",
    **changes,
  }


def start(*arguments: str, before=None, **changes: str) -> subprocess.Popen:
  """Starts `jaxmem ARGUMENTS` as a child process, which calls `before` first."""
  return subprocess.Popen(
    [sys.executable, "-m", "jaxmem.cli", *map(str, arguments)],
    env=environment(**changes),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    preexec_fn=before,
  )


def call(*arguments: str, **changes: str) -> subprocess.CompletedProcess:
  """Runs `jaxmem ARGUMENTS` as a child process to its end."""
  child = start(*arguments, **changes)
  out, err = child.communicate(timeout=300)
  return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def program(config: Config) -> Program:
  """Returns the program of a config on the first device, as its runs have it."""
  # conftest replaces `trainer.Program` by one that caches compiled programs
  from jaxmem.training import trainer

  return trainer.Program(resolve(config), meshes.make(MeshConfig(), jax.devices()[:1]))


def task(config: Config) -> tasks.Task:
  """Returns the task of a config, with the model that it trains."""
  config = run_task.complete(resolve(config))
  return run_task.make(config, tasks.make_model(config.model, config.task))


def lanes(config: Config) -> data.Lanes:
  """Returns the batches of a run."""
  corpus = data.prepare(config.task.source)
  stream = data.TokenStream.from_corpus(
    corpus, data.tokenizers.ByteTokenizer(), "train"
  )
  return data.Lanes(stream, config.task.batch_size, config.task.segment_length, 0)


def restored(
  config: Config,
  workdir: Path,
  program_: Program | None = None,
  which: str = "checkpoints",
):
  """Restores the newest state of a run on the first device."""
  target = (program_ or program(config)).target()
  with Checkpoints(workdir / which, keep=config.keep) as checkpoints:
    return checkpoints.restore(target)


def stop_at(monkeypatch, step: int) -> None:
  """Sends SIGTERM to this process in a step of its next run, which ends after it."""
  rows = Log.rows

  def then_a_signal(self, now, numbers):
    rows(self, now, numbers)
    if now == step:
      monkeypatch.setattr(Log, "rows", rows)
      os.kill(os.getpid(), signal.SIGTERM)

  monkeypatch.setattr(Log, "rows", then_a_signal)


def scores(workdir: Path) -> dict[int, float]:
  """Returns step -> held-out bits per byte, from the log of a run."""
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  key = "heldout_bits_per_byte"
  return {line["step"]: line[key] for line in lines if key in line}


def first_checkpoint(directory: Path, **changes) -> Path:
  """Writes a corpus and a run whose checkpoint is its initial state."""
  resolved = resolve(config(write_corpus(directory / "corpus"), **changes))
  program = Program(resolved, meshes.make(MeshConfig(), jax.devices()[:1]))
  meta = {"config": configs.to_json(resolved), "jax": jax.__version__}
  with Checkpoints(directory / "run" / "checkpoints", keep=1) as checkpoints:
    checkpoints.save(1, program.init(), {"step": 1, "fingerprint": ""}, meta)
    checkpoints.wait()
  return directory / "run"


def digest(state) -> str:
  """Returns the SHA-256 of all leaves and their paths."""
  sha = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    sha.update(jax.tree_util.keystr(path).encode())
    sha.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
  return sha.hexdigest()
