"""Runs the guarded experiments and reads their losses, scores, shapes and digests."""

import contextlib
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np

from jaxmem import cli
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.runtime.signals import Stop
from jaxmem.training.trainer import train

from .cases import CASES, SAVED_AT, STEPS

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = GOLDEN / "numbers.json"
SESSION = GOLDEN / "session.npz"  # of `jaxmem generate`, with the run `text`
PROMPT, TOKENS = "state reset memory", 24
# Files that a resumed run does not need, or that belong to one machine.
_LEFT_OUT = ("tensorboard", "*.png", "*.lock", "lock")


def numbers() -> dict[str, Any]:
  """Returns the recorded numbers."""
  return json.loads(NUMBERS.read_text())


def archive(name: str) -> Path:
  """Returns the path of the archived work directory of a run after SAVED_AT steps."""
  return GOLDEN / f"{name}.zip"


def unpacked(name: str, directory: Path) -> Path:
  """Unpacks the recorded work directory below `directory`, and returns its path."""
  shutil.unpack_archive(archive(name), directory / "run")
  return directory / "run"


def digests(state: Any) -> dict[str, str]:
  """Returns field -> digest of the paths, dtypes, shapes and bytes of its arrays."""
  digest_of = {}
  for field, tree in state._asdict().items():
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
      array = np.asarray(leaf)
      sha.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
      sha.update(np.ascontiguousarray(array).tobytes())
    digest_of[field] = sha.hexdigest()[:16]
  return digest_of


def shapes(params: Any) -> dict[str, str]:
  """Returns path -> dtype and shape of each parameter."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(k): f"{a.dtype}{list(a.shape)}" for k, a in leaves}


class Watched:
  """Digests of the states that a run saved and restored.

  Attributes:
    saved: digests of the last state that was saved.
    restored: digests of the state that the run resumed from.
    params: shapes of the restored parameters.
  """

  saved: dict[str, str]
  restored: dict[str, str]
  params: dict[str, str]


@contextlib.contextmanager
def watched(write: bool) -> Iterator[Watched]:
  """Watches the states that are saved and restored; without `write` none is saved."""
  watch, save, restore = Watched(), Checkpoints.save, Checkpoints.restore

  def saving(self, step, state, *args, **kwargs):
    watch.saved = digests(state)
    if write:
      save(self, step, state, *args, **kwargs)

  def restoring(self, *args, **kwargs):
    checkpoint = restore(self, *args, **kwargs)
    if self.directory.name == "checkpoints":  # the best state is in another directory
      watch.restored = digests(checkpoint.state)
      watch.params = shapes(checkpoint.state.params)
    return checkpoint

  with (
    mock.patch.object(Checkpoints, "save", saving),
    mock.patch.object(Checkpoints, "restore", restoring),
  ):
    yield watch


def log(workdir: Path) -> tuple[list[float], dict[str, float]]:
  """Returns the losses of all steps, and step -> held-out score."""
  losses, scores = {}, {}
  for line in map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()):
    for key, value in line.items():
      if key == "loss":
        losses[line["step"]] = value
      elif key.startswith("heldout_"):
        scores[str(line["step"])] = value
  return [losses[step] for step in sorted(losses)], scores


def trained(name: str, directory: Path) -> dict[str, Any]:
  """Trains a run from its first to its last step; returns losses and scores."""
  directory.mkdir(parents=True)
  assert train(CASES[name](directory), directory / "run", "never") == 0
  losses, scores = log(directory / "run")
  assert len(losses) == STEPS
  return as_numbers(losses, scores)


def as_numbers(losses: list[float], scores: dict[str, float]) -> dict[str, Any]:
  """Returns losses, also as exact hexadecimal, and scores, for JSON."""
  return {"losses": losses, "hex": [a.hex() for a in losses], "scores": scores}


def stopped(name: str, directory: Path) -> tuple[Path, dict[str, str]]:
  """Trains SAVED_AT steps of a run; returns its directory and the state's digests."""
  directory.mkdir(parents=True)

  def stops_after(_, step):
    return step == SAVED_AT

  with watched(write=True) as watch, mock.patch.object(Stop, "after", stops_after):
    train(CASES[name](directory), directory / "run", "never")
  return directory / "run", watch.saved


def pack(name: str, workdir: Path, directory: Path) -> None:
  """Writes the archive of a work directory."""
  shutil.copytree(workdir, directory, ignore=shutil.ignore_patterns(*_LEFT_OUT))
  for state in directory.glob("*/*/state"):
    _prune(state)
  target = archive(name)
  shutil.make_archive(str(target.with_suffix("")), "zip", directory)


def _prune(state: Path) -> None:
  """Removes superseded data files of a checkpoint's database: most of its size."""
  import tensorstore

  def content() -> dict[bytes, bytes]:
    """Returns all keys and values of the database."""
    spec = {"driver": "ocdbt", "base": f"file://{state}/"}
    store = tensorstore.KvStore.open(spec).result()
    return {key: store.read(key).result().value for key in store.list().result()}

  # a file is needed if the content changes, or cannot be read, without it
  before = content()
  for file in sorted(state.glob("ocdbt.process_*/d/*")):
    data = file.read_bytes()
    file.unlink()
    try:
      needed = content() != before
    except ValueError:
      needed = True
    if needed:
      file.write_bytes(data)


def resumed(
  name: str, directory: Path
) -> tuple[list[float], dict[str, float], Watched]:
  """Resumes a recorded run to its end; returns losses, scores and digests."""
  config = CASES[name](directory)
  with watched(write=False) as watch:
    assert train(config, unpacked(name, directory), "must") == 0
  return *log(directory / "run"), watch


def generated(*arguments: str) -> str:
  """Returns what `jaxmem generate` writes by greedy decoding with a penalty.

  Without the penalty a model of four steps would repeat one token.
  """
  greedy = "--temperature", "0", "--repetition-penalty", "2"
  out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
  with mock.patch.object(sys, "stdout", out):
    code = cli.run(["generate", *greedy, *arguments])
    out.flush()
  assert code == 0
  return out.buffer.getvalue().decode("latin-1")
