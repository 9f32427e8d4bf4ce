"""Failed reads and writes of checkpoints are told once, and leave no traceback."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from jaxmem.runtime import abandoned
from support import runs

CHILD = """
import collections, resource, sys
from pathlib import Path
import jax, jax.numpy as jnp
from jaxmem.runtime.checkpoint import CheckpointError, Checkpoints
how, root = sys.argv[1], Path(sys.argv[2])
State = collections.namedtuple("State", "a b c")
state = State(*[{f"{i}": jnp.arange(5000.0) + i for i in range(8)} for _ in "abc"])
if how == "read":
  with Checkpoints(root, keep=2) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, state, {}, {})
  for path in sorted((root / "2" / "state").rglob("*")):
    if path.is_file() and path.stat().st_size > 300:
      path.write_bytes(path.read_bytes()[:-200])
  target = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
  )
  with Checkpoints(root, keep=2) as checkpoints:
    restored = checkpoints.restore(target)
  assert restored.step == 1 and 2 in restored.set_aside
else:
  resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
  try:
    with Checkpoints(root, keep=2) as checkpoints:
      checkpoints.save(1, state, {}, {})
      if how == "write, then an error":
        raise KeyError("the first error is the news")
  except CheckpointError as error:
    assert how == "write" and "failed: " in str(error)
  except KeyError:
    assert how == "write, then an error"
print("done")
"""


@pytest.mark.parametrize("how", ["read", "write", "write, then an error"])
def test_reads_and_writes_that_fail_leave_no_traceback_at_exit(tmp_path, how):
  """Orbax's own threads and coroutines end after their error was told."""
  command = [sys.executable, "-c", CHILD, how, str(tmp_path / "run")]
  done = subprocess.run(command, env=runs.environment(), capture_output=True, text=True)

  assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
  assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_only_what_was_given_up_is_silent(monkeypatch):
  """An error of our own in a thread or in a destructor is still printed."""
  errors = []

  def keep(args):
    errors.append(args.exc_value)

  monkeypatch.setattr(sys, "unraisablehook", keep)
  monkeypatch.setattr(threading, "excepthook", keep)
  abandoned.silence.__wrapped__()
  hooks = sys.unraisablehook, threading.excepthook
  for error in (RuntimeError("Event loop is closed"), ValueError("ours")):
    for hook in hooks:
      hook(SimpleNamespace(exc_value=error, exc_traceback=None, object=None))

  assert [str(error) for error in errors] == ["ours", "ours"]
