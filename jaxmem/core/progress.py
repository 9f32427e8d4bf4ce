"""Shows how far long work is: a bar on a terminal, a line now and then otherwise.

    with Progress(len(files), "files", resume="nothing was written") as progress:
      for file in files:
        ...
        progress.advance()

`say` prints a message that leaves an open bar whole. Work that Ctrl-C ends says how far
it came and how to go on: a note of the `KeyboardInterrupt`, which `jaxmem.cli` prints.
"""

import contextlib
import importlib.util
import os
import sys
import time
import warnings
from typing import Any

# Seconds before the first line; the least and the most between two lines.
FIRST, LEAST, MOST = 10.0, 5.0, 60.0
# A line is printed after this share of the time so far.
SHARE = 0.05
# Seconds before the bar of work that is usually short, and part of other work.
DELAY = 2.0


def say(text: str, file: Any = None) -> None:
  """Prints a line; an open bar is cleared before it and drawn again below it.

  Args:
    text: the line, or several.
    file: where to print; None is standard output.
  """
  file = file or sys.stdout
  tqdm = sys.modules.get("tqdm")
  if tqdm is None:  # no bar can be open
    print(text, file=file, flush=True)
  else:
    tqdm.tqdm.write(text, file=file)
    file.flush()


@contextlib.contextmanager
def on_interrupt(resume: str) -> Any:
  """Adds to a `KeyboardInterrupt` how the work goes on; see `interrupted`.

  Args:
    resume: how the work goes on, or what was lost.
  """
  try:
    yield
  except KeyboardInterrupt as error:
    error.add_note(resume)
    raise


def interrupted(error: KeyboardInterrupt) -> str:
  """Returns the message about work that Ctrl-C has ended.

  Args:
    error: has the notes of the work, the innermost first.
  """
  notes = getattr(error, "__notes__", [])
  return f"interrupted: {notes[0] if notes else 'give the same command again'}"


class Progress(contextlib.AbstractContextManager):
  """A tqdm bar on a terminal, lines otherwise; times by the monotonic clock.

  The bar is drawn on standard error. It is left out where tqdm is not installed.

  Attributes:
    done: how much is done.
  """

  def __init__(
    self,
    total: int | None,
    unit: str,
    *,
    done: int = 0,
    resume: str = "",
    delay: float = 0.0,
    every_update: bool = False,
    file: Any = None,
    show: bool = True,
  ):
    """Starts the clock.

    Args:
      total: how much there is to do; None if it is not known.
      unit: what is counted, such as "step" or "documents".
      done: how much an earlier process has done.
      resume: how the work goes on after Ctrl-C; empty says nothing about it.
      delay: seconds before the bar is drawn; a delayed bar is erased at its end.
      every_update: whether a line is printed at every update.
      file: where lines are printed; None is standard error.
      show: whether to show anything.
    """
    self.done, self._total, self._unit, self._resume = done, total, unit, resume
    self._delay, self._every_update, self._file = delay, every_update, file
    self._show, self._bar, self._text = show, None, ""
    self._start = self._last_time = time.monotonic()
    self._last_done = done
    self._on_terminal = show and _draws_bars()

  @property
  def seconds(self) -> float:
    """The seconds since the start."""
    return time.monotonic() - self._start

  def advance(self, count: int = 1, text: str = "") -> None:
    """Shows that more is done; see `update`."""
    self.update(self.done + count, text)

  def update(self, done: int, text: str = "") -> None:
    """Shows how much is done, if it is time to.

    Args:
      done: how much is done.
      text: what else is shown, parted by ", ".
    """
    self.done, self._text = done, text
    if self._on_terminal:
      self._draw()
    elif self._show and (self._every_update or self._is_due()):
      say(self._line(), self._file or sys.stderr)
      self._last_time, self._last_done = time.monotonic(), done

  def close(self) -> None:
    """Leaves the bar as it stands; a delayed one is erased."""
    if self._bar is not None:
      self._bar.close()
      warnings.showwarning = self._show_warning
    self._bar, self._on_terminal = None, False

  def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
    self.close()
    if isinstance(error, KeyboardInterrupt) and self._resume:
      of = "" if self._total is None else f" of {self._total:,}"
      error.add_note(f"{self.done:,}{of} {self._unit} done; {self._resume}")

  def _draw(self) -> None:
    if self._bar is None:
      if self.seconds < self._delay:
        return
      self._bar = _bar(self._total, self.done, self._unit, leave=not self._delay)
      self._bar.start_t -= self.seconds
      # a warning would be written into the line of the bar
      self._show_warning, warnings.showwarning = warnings.showwarning, _say_warning
    self._bar.set_postfix_str(self._text, refresh=False)
    # `update` draws only a few times a second, and the end is always drawn
    self._bar.update(self.done - self._bar.n)
    if self.done == self._total:
      self._bar.refresh()

  def _is_due(self) -> bool:
    if self._last_time == self._start:
      return self.seconds >= FIRST
    wait = min(max(SHARE * self.seconds, LEAST), MOST)
    return time.monotonic() - self._last_time >= wait

  def _line(self) -> str:
    """Returns where the work is, and the time left at the rate since the last line."""
    parts = [f"{self._unit} {self.done:>6}"]
    if self._total is not None:
      parts[0] += f"/{self._total}"
    parts += self._text.split(", ") if self._text else []
    made = self.done - self._last_done
    if self._total is not None and made > 0:
      seconds = (time.monotonic() - self._last_time) / made * (self._total - self.done)
      parts.append(f"{seconds / 60:.1f} min left")
    return "  ".join(parts)


def _say_warning(
  message: Any,
  category: Any,
  file_name: str,
  line: int,
  file: Any = None,
  text: Any = None,
) -> None:
  """Does what `warnings.showwarning` does, by `say`."""
  shown = warnings.formatwarning(message, category, file_name, line, text)
  say(shown.rstrip("\n"), file or sys.stderr)


def _draws_bars() -> bool:
  """Returns whether standard error is a terminal, and tqdm installed."""
  on_terminal = sys.stderr is not None and sys.stderr.isatty()
  return on_terminal and importlib.util.find_spec("tqdm") is not None


def _bar(total: int | None, done: int, unit: str, leave: bool) -> Any:
  import tqdm

  # 0 on a terminal that does not say how wide it is
  columns = os.get_terminal_size(sys.stderr.fileno()).columns
  # without the rate, so that the text has room in 80 columns
  layout = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}"
  return tqdm.tqdm(
    total=total,
    initial=done,
    unit=f" {unit}",
    bar_format=None if total is None else layout + "{postfix}",
    unit_scale=unit == "bytes",
    dynamic_ncols=bool(columns),
    **({} if columns else {"ncols": 80, "nrows": 24}),
    leave=leave,
    file=sys.stderr,
  )
