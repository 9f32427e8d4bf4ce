"""Compiled programs: kept on disk for later processes, and announced while one is made.

A command calls `enable` before it imports JAX. A library changes no settings of the
process that imports it: a program of one's own sets JAX's `jax_compilation_cache_dir`,
or `Config.compilation_cache`.
"""

import contextlib
import hashlib
import os
import platform
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from jaxmem.core.progress import say

# What all folders of kept programs may take, and what is left once they took more.
MOST_BYTES, KEPT_BYTES = 2 << 30, 1 << 30
# A compilation that takes this long is announced.
SECONDS = 0.7

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_FAILED = re.compile(
  r"Error (reading|writing) persistent compilation cache entry for '(.+?)': (.*)", re.S
)


def enable() -> None:
  """Keeps compiled programs in a folder of the user, and announces compilations.

  Settings that the environment has, such as JAX_COMPILATION_CACHE_DIR, stay as they
  are. Nothing is kept if the folder cannot be written to. Child processes inherit what
  is set here.
  """
  _announcer.enabled = True
  _set("jax_persistent_cache_min_compile_time_secs", 0.0)
  if _VARIABLE not in os.environ:
    root = folder()
    path = root / _processor()
    try:
      path.mkdir(parents=True, exist_ok=True)
      if not os.access(path, os.W_OK):
        raise PermissionError
    except OSError:
      _announcer.kept = f"not kept: {path} cannot be written to"
      return
    prune(root)
    _set(_VARIABLE.lower(), str(path))
  path = os.environ[_VARIABLE]
  if path:  # an empty variable keeps nothing
    _announcer.kept = f"kept in {path}"
    _mend_failures(path)


def use(setting: str) -> None:
  """Applies `Config.compilation_cache` to this process.

  Args:
    setting: "auto" changes nothing, "none" keeps no compiled programs, and anything
      else is the folder or the gs:// address that they are kept in.
  """
  if setting == "auto":
    return
  import jax
  from jax.experimental.compilation_cache import compilation_cache

  # JAX opens the folder at the first compilation, and no other one after that
  compilation_cache.reset_cache()
  kept = setting != "none"
  jax.config.update("jax_compilation_cache_dir", setting if kept else None)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  _announcer.kept = f"kept in {setting}" if kept else "not kept"


def folder() -> Path:
  """Returns the user's folder of compiled programs, a folder a kind of processor."""
  cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
  return Path(cache) / "jaxmem" / "compiled"


def prune(root: str | Path, most: int = MOST_BYTES, kept: int = KEPT_BYTES) -> None:
  """Deletes the programs that were not used for longest, if all take too much.

  Args:
    root: the folder of folders of programs.
    most: bytes that the programs may take.
    kept: bytes that are left where they take more.
  """
  # an entry may disappear meanwhile: another process may prune, too
  with contextlib.suppress(OSError):
    files = [(path, path.stat()) for path in Path(root).glob("*/*-cache")]
    total = sum(stat.st_size for _, stat in files)
    if total <= most:
      return
    for path, stat in sorted(files, key=lambda f: max(f[1].st_atime, f[1].st_mtime)):
      if total <= kept:
        return
      path.unlink(missing_ok=True)
      total -= stat.st_size


def _set(name: str, value: str | float) -> None:
  """Sets a setting of JAX for this process and its children, if the user has not."""
  if name.upper() in os.environ:
    return
  os.environ[name.upper()] = str(value)
  if jax := sys.modules.get("jax"):  # it has read the environment already
    jax.config.update(name, value)


def _processor() -> str:
  """Names this kind of processor: another may lack instructions of its programs."""
  features = platform.machine()
  with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
    features += next((x for x in lines if x.startswith(("flags", "Features"))), "")
  return hashlib.sha256(features.encode()).hexdigest()[:12]


def _mend_failures(path: str) -> None:
  """Deletes the programs that JAX fails to read or to write, instead of its warning.

  A process that was killed, or a full disk, leaves a part of a program, which would
  stay there and be compiled by every later process.
  """
  show, reported = warnings.showwarning, []

  def mend(message, category, filename, lineno, file=None, line=None):
    failed = _FAILED.match(str(message))
    if not failed:
      return show(message, category, filename, lineno, file, line)
    action, name, why = failed.groups()
    with contextlib.suppress(OSError):  # an address such as gs:// has no such files
      for entry in Path(path).glob(f"{name}-*-cache"):
        entry.unlink(missing_ok=True)
    if action == "writing" and not reported:
      reported.append(name)
      say(f"jaxmem: a compiled program is not kept: {why}", sys.stderr)

  warnings.showwarning = mend


class _Announcer:
  """Says what is being compiled, from a thread that watches while something is.

  Attributes:
    enabled: whether anything is said: True in commands.
    kept: where programs are kept, for the message.
  """

  def __init__(self):
    self.enabled, self.kept = False, "not kept"
    self._subjects: list[str] = []
    self._began: float | None = None
    self._name, self._said, self._thread = "", False, None

  @contextlib.contextmanager
  def subject(self, text: str) -> Iterator[None]:
    """Names what is compiled inside of the context."""
    if not self.enabled:
      yield
      return
    self._start()
    self._subjects.append(text)
    try:
      yield
    finally:
      self._subjects.pop()

  def _start(self) -> None:
    """Begins to watch, once a process."""
    if self._thread:
      return
    from jax import monitoring

    monitoring.register_scalar_listener(self._begin)
    monitoring.register_event_duration_secs_listener(self._end)
    self._thread = threading.Thread(target=self._watch, daemon=True)
    self._thread.start()

  def _begin(self, event: str, value: float | int, **kwargs) -> None:
    if "backend_compile" in event:
      self._name, self._said = str(kwargs.get("fun_name", "a program")), False
      self._began = time.monotonic()

  def _end(self, event: str, seconds: float | int, **kwargs) -> None:
    if "backend_compile" in event:
      self._began = None

  def _watch(self) -> None:
    while True:
      time.sleep(SECONDS / 4)
      self.check(time.monotonic())

  def check(self, now: float) -> None:
    """Says what is being compiled, if it has taken long; once each."""
    began = self._began
    if began is None or self._said or now - began < SECONDS:
      return
    self._said = True
    import jax

    if jax.process_index():  # of several processes the first one speaks
      return
    what = self._subjects[-1] if self._subjects else self._name
    say(f"jaxmem: compiling {what} ({self.kept})", sys.stderr)


_announcer = _Announcer()


def compiling(subject: str) -> contextlib.AbstractContextManager[None]:
  """Names what is compiled inside of the context, for the message of a command.

  Args:
    subject: what is compiled, such as "the training step".
  """
  return _announcer.subject(subject)
