"""What a run does, as numbers that can be kept: losses, scores, shapes, digests."""

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
# Nothing continues from these, or they are of another machine.
_LEFT_OUT = ("tensorboard", "*.png", "*.lock", "lock")


def numbers() -> dict[str, Any]:
  """What was recorded."""
  return json.loads(NUMBERS.read_text())


def archive(name: str) -> Path:
  """The work directory of a run after SAVED_AT steps."""
  return GOLDEN / f"{name}.zip"


def unpacked(name: str, place: Path) -> Path:
  """The recorded work directory, below `place`."""
  shutil.unpack_archive(archive(name), place / "run")
  return place / "run"


def digests(state: Any) -> dict[str, str]:
  """Field of the state -> a digest of the paths, kinds and bytes of its arrays."""
  found = {}
  for field, tree in state._asdict().items():
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
      array = np.asarray(leaf)
      sha.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
      sha.update(np.ascontiguousarray(array).tobytes())
    found[field] = sha.hexdigest()[:16]
  return found


def shapes(params: Any) -> dict[str, str]:
  """Path of a parameter -> its dtype and shape."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(k): f"{a.dtype}{list(a.shape)}" for k, a in leaves}


class Watched:
  """What went through the checkpoints of a run.

  Attributes:
    saved: the digests of the last state that was saved.
    restored: those of the state that the run went on from.
    params: the shapes of its parameters.
  """

  saved: dict[str, str]
  restored: dict[str, str]
  params: dict[str, str]


@contextlib.contextmanager
def watched(write: bool) -> Iterator[Watched]:
  """Looks at every state that is saved or restored; without `write` saves none."""
  seen, save, restore = Watched(), Checkpoints.save, Checkpoints.restore

  def saving(self, step, state, *args, **kwargs):
    seen.saved = digests(state)
    if write:
      save(self, step, state, *args, **kwargs)

  def restoring(self, *args, **kwargs):
    found = restore(self, *args, **kwargs)
    if self.directory.name == "checkpoints":  # not that of the best state
      seen.restored, seen.params = digests(found.state), shapes(found.state.params)
    return found

  with (
    mock.patch.object(Checkpoints, "save", saving),
    mock.patch.object(Checkpoints, "restore", restoring),
  ):
    yield seen


def log(workdir: Path) -> tuple[list[float], dict[str, float]]:
  """The losses of all steps, and the held-out scores by step."""
  losses, scores = {}, {}
  for line in map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines()):
    for key, value in line.items():
      if key == "loss":
        losses[line["step"]] = value
      elif key.startswith("heldout_"):
        scores[str(line["step"])] = value
  return [losses[step] for step in sorted(losses)], scores


def whole(name: str, place: Path) -> dict[str, Any]:
  """All the steps of a run from its beginning: losses and scores."""
  place.mkdir(parents=True)
  assert train(CASES[name](place), place / "run", "never") == 0
  losses, scores = log(place / "run")
  assert len(losses) == STEPS
  return as_numbers(losses, scores)


def as_numbers(losses: list[float], scores: dict[str, float]) -> dict[str, Any]:
  """Losses, also to the last bit, and scores."""
  return {"losses": losses, "hex": [a.hex() for a in losses], "scores": scores}


def cut(name: str, place: Path) -> tuple[Path, dict[str, str]]:
  """A run that is stopped after SAVED_AT steps: its directory, digests of its state."""
  place.mkdir(parents=True)
  at = lambda _, step: step == SAVED_AT
  with watched(write=True) as seen, mock.patch.object(Stop, "after", at):
    train(CASES[name](place), place / "run", "never")
  return place / "run", seen.saved


def pack(name: str, workdir: Path, place: Path) -> None:
  """Writes the archive of a work directory."""
  shutil.copytree(workdir, place, ignore=shutil.ignore_patterns(*_LEFT_OUT))
  for state in place.glob("*/*/state"):
    _prune(state)
  target = archive(name)
  shutil.make_archive(str(target.with_suffix("")), "zip", place)


def _prune(state: Path) -> None:
  """Removes versions of the database of a checkpoint that were superseded while it was
  written, and that nothing in it points to any more: most of its size."""
  import tensorstore

  def content() -> dict[bytes, bytes]:
    spec = {"driver": "ocdbt", "base": f"file://{state}/"}
    store = tensorstore.KvStore.open(spec).result()
    return {key: store.read(key).result().value for key in store.list().result()}

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


def resumed(name: str, place: Path) -> tuple[list[float], dict[str, float], Watched]:
  """The recorded work directory continues to the end: losses, scores, what was seen."""
  config = CASES[name](place)
  with watched(write=False) as seen:
    assert train(config, unpacked(name, place), "must") == 0
  return *log(place / "run"), seen


def generated(*arguments: str) -> str:
  """What `jaxmem generate` writes: the likeliest token each time, and, since a model of
  four steps would say one without end, rather one that was not seen before."""
  greedy = "--temperature", "0", "--repetition-penalty", "2"
  out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
  with mock.patch.object(sys, "stdout", out):
    code = cli.run(["generate", *greedy, *arguments])
    out.flush()
  assert code == 0
  return out.buffer.getvalue().decode("latin-1")
