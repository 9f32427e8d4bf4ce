"""Verified checkpoints: Orbax, with fingerprints of what was saved.

Orbax commits atomically but has no checksums: a flipped bit loads silently, and a run
of days would continue from it. Every leaf is therefore fingerprinted on the device when
it is saved and again when it is restored, and a checkpoint that does not match is set
aside for the one before it.
"""

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxmem.core import files
from jaxmem.runtime import abandoned
from jaxmem.runtime.checkpoint_args import field_of, present, restore_args
from jaxmem.runtime.checkpoint_errors import (
  CheckpointError,
  Damaged,
  WriteErrors,
  first_line,
)
from jaxmem.runtime.fingerprints import fingerprints, kinds

# The format grows when older code cannot read a checkpoint any more.
FORMAT = 2  # format 1 kept a window's keys before their rotation


@dataclasses.dataclass(frozen=True)
class Restored:
  """A checkpoint that was restored.

  Attributes:
    step: the step of the checkpoint.
    state: its arrays, on the devices of the target.
    data: its position in the data, as it was saved.
    set_aside: newer steps that were damaged, and why.
  """

  step: int
  state: Any
  data: dict[str, Any]
  set_aside: dict[int, str]


class Checkpoints:
  """The checkpoints of a run, in `directory`; a context manager.

  Saving is asynchronous: `save` returns when the arrays are on the host, `wait` when
  they are on disk.
  """

  def __init__(self, directory: str | Path, keep: int, read_only: bool = False):
    """Opens the directory, and makes it if it does not exist.

    Args:
      directory: where the checkpoints are.
      keep: how many of the latest checkpoints are kept.
      read_only: makes, cleans and moves nothing; the run that writes may still run.

    Raises:
      CheckpointError: if it is no directory, or cannot be written to.
    """
    # before Orbax starts its threads
    abandoned.silence()
    directory = Path(directory).absolute()  # Orbax takes no other
    self.directory, self._read_only = directory, read_only
    if not read_only:
      _make(directory)
    policy = ocp.checkpoint_managers.LatestN(keep)
    self._options = ocp.CheckpointManagerOptions(
      preservation_policy=policy,
      cleanup_tmp_directories=jax.process_index() == 0 and not read_only,
      enable_async_checkpointing=True,
      read_only=read_only,
    )
    self._manager = ocp.CheckpointManager(directory, options=self._options)

  def steps(self) -> list[int]:
    """Returns the steps of all checkpoints, oldest first."""
    return sorted(self._manager.all_steps())

  def save(self, step: int, state: Any, data: dict[str, Any], meta: dict[str, Any]):
    """Starts writing a checkpoint.

    Args:
      step: the step of the run, later than those of all checkpoints.
      state: a tree of arrays. They may be donated as soon as this returns.
      data: the position in the data, JSON.
      meta: what the run is, JSON.

    Raises:
      CheckpointError: if Orbax saves nothing, or an earlier write failed.
    """
    integrity = {
      "format": FORMAT,
      "kinds": kinds(state),
      "fingerprints": fingerprints(state),
    }
    args = ocp.args.Composite(
      state=ocp.args.StandardSave(present(state)),
      data=ocp.args.JsonSave(data),
      meta=ocp.args.JsonSave(meta),
      integrity=ocp.args.JsonSave(integrity),
    )
    with self._errors(step):
      self._manager.check_for_errors()
      # force: Orbax would otherwise decide by its own policy whether a step is due
      if not self._manager.save(step, args=args, force=True):
        raise CheckpointError(
          f"step {step} was not saved: Orbax declined, with no reason"
        )

  def check(self) -> None:
    """Raises CheckpointError if a write in the background has failed."""
    with self._errors(None):
      self._manager.check_for_errors()

  def wait(self) -> None:
    """Waits until everything that was saved is on disk.

    Raises:
      CheckpointError: if a write failed, such as on a full disk.
    """
    with self._errors(None):
      self._manager.wait_until_finished()
      self._manager.check_for_errors()

  def restore(self, target: Any, only: tuple[str, ...] = ()) -> Restored:
    """Restores the newest checkpoint that is whole.

    A damaged one is named in the log and moved aside, and the one before is tried.

    Args:
      target: a tree of `jax.ShapeDtypeStruct` with shardings, built from the config.
      only: the fields of the target to read; all others are () in the state that is
        returned. Fields that the target has empty are not compared.

    Raises:
      CheckpointError: if there is none, none is whole, or the newest whole one does not
        fit the target.
    """
    set_aside = {}
    for step in reversed(self.steps()):
      try:
        state, data = self._load(step, target, only)
      except Damaged as error:
        set_aside[step] = str(error)
        continue
      # not before: if none is whole, the next attempt must find and name them all again
      self._move_aside(set_aside)
      return Restored(step, state, data, set_aside)
    tried = (
      "; ".join(f"step {s}: {why}" for s, why in set_aside.items()) or "it is empty"
    )
    raise CheckpointError(f"no usable checkpoint in {self.directory}: {tried}")

  def _load(
    self, step: int, target: Any, only: tuple[str, ...]
  ) -> tuple[Any, dict[str, Any]]:
    """Restores one step; raises Damaged if it is not whole."""
    json_item = ocp.args.JsonRestore
    # the small files first: they say whether the arrays can be read at all
    head = self._restore(step, integrity=json_item(), data=json_item())
    if not {"format", "kinds", "fingerprints"} <= set(head.integrity or ()):
      raise Damaged("its integrity record is incomplete")
    if head.integrity["format"] > FORMAT:
      raise CheckpointError(
        f"step {step} has format {head.integrity['format']}, this jaxmem reads up to "
        f"{FORMAT}: install a newer one"
      )
    rotated = any(k.endswith(".position") for k in head.integrity["kinds"])
    if head.integrity["format"] < 2 and rotated and not only:
      raise CheckpointError(
        f"step {step} has format {head.integrity['format']}, whose windows hold other "
        "keys: continue with the version that wrote it, or begin anew by --resume never"
      )
    saved, expected = head.integrity["kinds"], head.integrity["fingerprints"]
    if only:
      fields = present(target)
      saved = {key: kind for key, kind in saved.items() if field_of(key) in fields}
      expected = {key: sums for key, sums in expected.items() if field_of(key) in only}
    _compare(step, saved, kinds(target))
    state = self._restore(step, state=restore_args(present(target), only)).state
    if only:
      state = target._replace(**{n: state.get(n, ()) for n in target._fields})
    elif isinstance(state, dict):
      state = target._replace(**state)
    actual = fingerprints(state)
    keys = expected.keys() | actual.keys()
    bad = sorted(key for key in keys if expected.get(key) != actual.get(key))
    if bad:
      raise Damaged(f"the content of {', '.join(bad[:3])} is not what was saved")
    return state, head.data

  def _restore(self, step: int, **items: Any) -> Any:
    # On a damaged file Orbax, tensorstore and zarr raise errors of their own.
    try:
      return self._manager.restore(step, args=ocp.args.Composite(**items))
    except Exception as error:
      raise Damaged(f"{type(error).__name__}: {first_line(error)}") from error

  def _move_aside(self, steps: Iterable[int]) -> None:
    """Renames damaged steps: none is used or lost, and none blocks its step's name."""
    if not steps or self._read_only:
      return
    if jax.process_index() == 0:
      for step in steps:
        old = self.directory / str(step)
        old.rename(self.directory / f"{step}.damaged-{int(time.time())}")
    self._manager.close()
    self._manager = ocp.CheckpointManager(self.directory, options=self._options)

  def _errors(self, step):
    return WriteErrors(self.directory, step)

  def close(self) -> None:
    """Ends the background threads once everything that was saved is on disk.

    Raises:
      CheckpointError: if a write has failed; the threads have ended even so.
    """
    with self._errors(None):
      try:
        self._manager.close()
      except Exception:
        # Orbax raises a failed write once, with its threads still running.
        self._manager.close()
        raise

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: object, error: object, trace: object) -> None:
    try:
      self.close()
    except CheckpointError:
      if error is None:  # otherwise the error of the block is the one to raise
        raise


def _make(directory: Path) -> None:
  """Makes the directory; raises CheckpointError if it cannot be written to."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
    probe = directory / f".probe-{jax.process_index()}"
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise CheckpointError(
      f"cannot write checkpoints to {directory}: {error}; choose another --workdir"
    ) from error


def _compare(step: int, saved: dict[str, str], target: dict[str, str]) -> None:
  """Raises if shapes or dtypes differ: Orbax itself would cast silently."""
  keys = sorted(target.keys() | saved.keys())
  bad = [key for key in keys if target.get(key) != saved.get(key)]
  if bad:
    lines = [
      f"{key} is {saved.get(key, 'nothing')} in the checkpoint and "
      f"{target.get(key, 'nothing')} in the config"
      for key in bad
    ]
    remainder = f"; and {len(bad) - 20} more" if len(bad) > 20 else ""
    raise CheckpointError(
      f"step {step} does not fit the config: {'; '.join(lines[:20])}{remainder}"
    )


def read_meta(directory: str | Path) -> dict[str, Any]:
  """Reads what the run in `directory` is, from its newest readable checkpoint.

  Raises:
    CheckpointError: if there is none.
  """
  directory = Path(directory)
  steps = [int(p.name) for p in directory.glob("*") if p.name.isdecimal()]
  for step in sorted(steps, reverse=True):
    try:
      meta = files.read_json(directory / str(step) / "meta" / "metadata")
    except (OSError, ValueError):
      continue
    if isinstance(meta, dict) and isinstance(meta.get("config"), str):
      return meta
  raise CheckpointError(f"no readable checkpoint in {directory}")
