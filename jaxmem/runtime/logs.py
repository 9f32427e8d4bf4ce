"""The logs of a run: a progress bar or lines, JSONL, TensorBoard."""

import contextlib
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from jaxmem.core.errors import RunError


class Log:
  """Writes scalars to `metrics.jsonl` and TensorBoard, row ids to the data log.

  The data log is `ledger.jsonl`: it shows which rows every step read. Every attempt at
  the run appends to both files; a line is on its way to disk when the call returns. A
  TensorBoard that fails is dropped with one warning, and training continues.
  """

  def __init__(self, workdir: str | Path, primary: bool = True):
    """Opens the files; only the primary process writes."""
    workdir = Path(workdir)
    self._primary = primary
    self._board = None
    if not primary:
      return
    self._metrics = open(workdir / "metrics.jsonl", "a", buffering=1, encoding="utf-8")
    self._data_log = open(workdir / "ledger.jsonl", "a", buffering=1, encoding="utf-8")
    try:
      from tensorboardX import SummaryWriter

      self._board = SummaryWriter(str(workdir / "tensorboard"), flush_secs=10)
    except Exception as error:
      warnings.warn(f"no TensorBoard log: {error}", stacklevel=2)

  def scalars(self, step: int, values: dict[str, float]) -> None:
    """Logs the numbers of a step; null replaces a number that JSON does not have."""
    if not self._primary:
      return
    # NaN and infinity are no JSON: other readers would stop at the line
    plain = {k: v if math.isfinite(v) else None for k, v in values.items()}
    _write(self._metrics, {"step": step, **plain})
    if self._board is None:
      return
    try:
      for name, value in values.items():
        self._board.add_scalar(name, value, step)
    except Exception as error:
      warnings.warn(f"the TensorBoard log ends here: {error}", stacklevel=2)
      self._board = None

  def rows(self, step: int, rows: Any) -> None:
    """Logs the ids of the rows that a step read."""
    if self._primary:
      first, last = int(rows[0]), int(rows[-1])
      _write(self._data_log, {"step": step, "rows": [first, last]})

  def close(self) -> None:
    """Closes the files; a full disk has raised at the write already."""
    if self._primary:
      for file in (self._metrics, self._data_log):
        with contextlib.suppress(OSError):
          file.close()
    if self._board is not None:
      with contextlib.suppress(Exception):  # nothing but a picture of the log
        self._board.close()


def _write(file: Any, line: dict[str, Any]) -> None:
  """Writes a line of JSON; raises RunError if the disk refuses it."""
  try:
    file.write(json.dumps(line) + "\n")
  except OSError as error:
    raise RunError(
      f"cannot write {file.name}: {error.strerror}; checkpoints are intact: free "
      "space, then run the same command"
    ) from error


def key_of(measure: str) -> str:
  """Returns the name of a measure in a log: "bits_per_byte" of "bits/byte"."""
  return measure.replace("/", "_per_").replace(" ", "_")


class Progress:
  """A tqdm bar on a terminal, plain lines otherwise; times by the monotonic clock."""

  def __init__(
    self, first_step: int, steps: int, tokens_per_step: int, measure: str, show: bool
  ):
    """Starts the bar and the clock.

    Args:
      first_step: the step that the run starts from.
      steps: the step at which it ends.
      tokens_per_step: tokens of a step over all processes.
      measure: the name of the measure that is printed beside the loss.
      show: whether to print; False on all processes but one.
    """
    self._measure = measure
    self._first = self._last_step = first_step
    self._steps, self._tokens, self._show = steps, tokens_per_step, show
    self._last_time = time.monotonic()
    self._bar = None
    if show and sys.stderr.isatty():
      import tqdm

      self._bar = tqdm.tqdm(total=steps, initial=first_step, unit="step")

  def update(self, step: int, loss: float, value: float, learning_rate: float) -> float:
    """Shows where the run is; call it when numbers come from the device anyway.

    Args:
      step: how many steps are done.
      loss: the mean loss since the last call.
      value: the value of the measure.
      learning_rate: that of the last step.

    Returns:
      Tokens a second since the last call.
    """
    now = time.monotonic()
    # two calls may fall into one tick of the clock
    seconds = max(now - self._last_time, 1e-9)
    rate = (step - self._last_step) * self._tokens / seconds
    left = (self._steps - step) * seconds / max(step - self._last_step, 1)
    if self._bar is not None:
      self._bar.set_postfix_str(
        f"loss {loss:.3f}, {value:.3f} {self._measure}, rate {learning_rate:.2e}, "
        f"{rate:,.0f} tokens/s"
      )
      self._bar.update(step - self._last_step)
    elif self._show:
      print(
        f"step {step:>6}/{self._steps}  loss {loss:.3f}  {value:.3f} {self._measure}"
        f"  rate {learning_rate:.2e}  {rate:,.0f} tokens/s  {left / 60:.1f} min left",
        flush=True,
      )
    self._last_time, self._last_step = now, step
    return rate

  def close(self) -> None:
    """Leaves the bar as it stands."""
    if self._bar is not None:
      self._bar.close()
