"""One trainer a directory."""

import datetime
import json
import os
import socket
from pathlib import Path

from jaxmem.core import files
from jaxmem.core.errors import UserError


class LockError(UserError):
  """The directory is another trainer's, or cannot be used; names who has it."""


class Lock:
  """Holds `workdir/lock.json` while a trainer runs; a context manager.

  The file says host, process and start. A lock whose process is dead on this host is
  taken over; one of another host is respected, since it cannot be asked.
  """

  def __init__(self, workdir: str | Path, flag: str = "--workdir"):
    """Makes the directory.

    Args:
      workdir: the directory.
      flag: that names it on the command line, for messages.

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
    now = datetime.datetime.now().isoformat(timespec="seconds")
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "start": now}
    with open(self.path, "x", encoding="utf-8") as file:
      json.dump(owner, file)

  def _refuse_if_alive(self) -> None:
    try:
      owner = files.read_json(self.path)
      here, pid = owner["host"] == socket.gethostname(), int(owner["pid"])
    except (OSError, ValueError, KeyError, TypeError):
      return  # cut off while it was written: nobody holds it
    if here and not _alive(pid):
      return
    raise LockError(
      f"{self.path.parent} is in use by process {pid} on {owner['host']} since "
      f"{owner.get('start')}: wait for it, choose another {self._flag}, or "
      f"delete {self.path} if that process is gone"
    )

  def __exit__(self, *exception: object) -> None:
    self.path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except PermissionError:
    return True
  return True
