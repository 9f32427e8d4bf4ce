"""A lock that lets one trainer at a time use a directory."""

import datetime
import json
import os
import socket
from pathlib import Path

from jaxmem.core import files
from jaxmem.core.errors import UserError


class LockError(UserError):
  """Raised if another process uses the directory, which it names, or nobody can."""


class Lock:
  """Holds `workdir/lock.json` while a trainer runs; a context manager.

  The file names host, process and start. A lock whose process is dead on this host is
  taken over; one of another host is respected, since nobody here can tell whether its
  process is alive.
  """

  def __init__(self, workdir: str | Path, flag: str = "--workdir"):
    """Makes the directory.

    Args:
      workdir: the directory.
      flag: the option that names it on the command line, for messages.

    Raises:
      LockError: if it is a file, or cannot be made or written to.
    """
    workdir = Path(workdir)
    self.path, self._flag = workdir / "lock.json", flag
    try:
      workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise LockError(
        f"cannot use {workdir} as the work directory: {error.strerror or error}; "
        f"choose another {flag}"
      ) from error

  def __enter__(self) -> "Lock":
    try:
      self._take()
    except FileExistsError:
      self._refuse_if_alive()
      self.path.unlink(missing_ok=True)
      self._take()
    except OSError as error:
      raise LockError(
        f"cannot write to {self.path.parent}: {error.strerror or error}; free or mend "
        f"it, or choose another {self._flag}"
      ) from error
    return self

  def _take(self) -> None:
    """Writes the file; raises FileExistsError if there is one."""
    now = datetime.datetime.now().isoformat(timespec="seconds")
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "start": now}
    # "x": of two processes one wins
    with open(self.path, "x", encoding="utf-8") as file:
      json.dump(owner, file)

  def _refuse_if_alive(self) -> None:
    try:
      owner = files.read_json(self.path)
      is_local, pid = owner["host"] == socket.gethostname(), int(owner["pid"])
    except (OSError, ValueError, KeyError, TypeError):
      return  # the file is torn: its process was killed while it wrote
    if is_local and not _alive(pid):
      return
    raise LockError(
      f"{self.path.parent} is in use by process {pid} on {owner['host']} since "
      f"{owner.get('start')}: wait for it, choose another {self._flag}, or "
      f"delete {self.path} if that process is gone"
    )

  def __exit__(self, *exception: object) -> None:
    self.path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
  """Returns whether a process of this host is alive; signal 0 only asks."""
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:  # it is another user's
    return True
  return True
