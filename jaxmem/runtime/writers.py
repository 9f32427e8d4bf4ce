"""Where the numbers of a run go: JSON Lines, TensorBoard, Weights & Biases.

Each is a `Writer`. Only the primary process of a run has any.
"""

import contextlib
import json
import math
import secrets
import textwrap
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxmem.core import files
from jaxmem.core.errors import ConfigError, RunError, UserError, reason


class Writer(Protocol):
  """Takes what a run has to show; a subclass defines what it has a place for."""

  def config(self, values: Mapping[str, Any]) -> None:
    """Writes the config of the run, as JSON has it."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes the numbers of a step."""

  def scores(self, step: int, values: Mapping[str, float]) -> None:
    """Writes the scores at the end of the run, after `step` steps."""

  def pictures(self, step: int, paths: Mapping[str, Path]) -> None:
    """Writes the pictures of the report: name -> path of a PNG."""

  def close(self, failed: bool = False) -> None:
    """Writes what is left; `failed` says whether an error ends the run."""


class JsonLines(Writer):
  """Appends the numbers of each step to a file, a line a call.

  The config, the scores and the pictures lie beside it, as files of the work directory.
  """

  def __init__(self, path: str | Path):
    """Opens the file; every attempt at a run appends to it."""
    self._file = open(path, "a", buffering=1, encoding="utf-8")

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes a line, with null for a number that JSON does not have.

    Raises:
      RunError: if the disk refuses it.
    """
    # NaN and infinity are no JSON: other readers would stop at the line
    plain = {k: v if math.isfinite(v) else None for k, v in values.items()}
    self.line({"step": step, **plain})

  def line(self, values: Mapping[str, Any]) -> None:
    """Writes a line of JSON, which is on its way to disk when the call returns.

    Raises:
      RunError: if the disk refuses it.
    """
    try:
      self._file.write(json.dumps(values) + "\n")
    except OSError as error:
      raise RunError(
        f"cannot write {self._file.name}: {error.strerror}; checkpoints are intact: "
        "free space, then run the same command"
      ) from error

  def close(self, failed: bool = False) -> None:
    """Closes the file; a full disk has raised at the write already."""
    with contextlib.suppress(OSError):
      self._file.close()


class TensorBoard(Writer):
  """Writes event files to a directory."""

  def __init__(self, directory: str | Path):
    """Opens the event file of this attempt."""
    from tensorboardX import SummaryWriter

    self._board = SummaryWriter(str(directory), flush_secs=10)

  def config(self, values: Mapping[str, Any]) -> None:
    """Writes the config as text."""
    text = json.dumps(values, indent=2)
    # TensorBoard reads Markdown, in which an indented line is code
    self._board.add_text("config", textwrap.indent(text, "    "))

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes the numbers of a step."""
    for name, value in values.items():
      self._board.add_scalar(name, value, step)

  def scores(self, step: int, values: Mapping[str, float]) -> None:
    """Writes each score as a curve of one point."""
    self.scalars(step, {f"final/{name}": value for name, value in values.items()})

  def pictures(self, step: int, paths: Mapping[str, Path]) -> None:
    """Writes the pictures as images."""
    from matplotlib import image

    for name, path in paths.items():
      pixels = image.imread(path)[..., :3]  # [H, W, RGB]
      self._board.add_image(name, pixels, step, dataformats="HWC")

  def close(self, failed: bool = False) -> None:
    """Closes the event file."""
    self._board.close()


class WeightsAndBiases(Writer):
  """Writes a run of Weights & Biases, whose files lie in `WORKDIR/wandb`.

  The environment variable WANDB_MODE says whether it goes to a server ("online", the
  default) or stays there until `wandb sync` ("offline"). The id of the run is kept in
  `wandb.json`, so that a resumed run continues it.
  """

  def __init__(self, workdir: str | Path, project: str):
    """Starts the run, or continues it.

    Args:
      workdir: the work directory; its name is that of the run.
      project: the project of the run.

    Raises:
      ConfigError: if Weights & Biases does not start.
    """
    import wandb

    workdir = Path(workdir)
    file = workdir / "wandb.json"
    saved = files.read_json(file) if file.exists() else {}
    if saved.get("project") != project:
      saved = {"project": project, "id": secrets.token_hex(4)}
      files.write_json(file, saved)
    self._image = wandb.Image
    try:
      self._run = wandb.init(
        project=project,
        id=saved["id"],
        name=workdir.name,
        dir=str(workdir),
        resume="allow",
        settings=wandb.Settings(console="off"),
      )
    except Exception as error:
      raise ConfigError(
        f"log.wandb_project is {project!r} and Weights & Biases does not start: "
        f"{reason(error)}; run `wandb login`, or set WANDB_MODE=offline"
      ) from error

  def config(self, values: Mapping[str, Any]) -> None:
    """Writes the config; that of a resumed run may differ from before."""
    self._run.config.update(dict(values), allow_val_change=True)

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Writes the numbers of a step.

    A resumed run repeats the steps since its checkpoint, with the same numbers. Those
    that the server has are not sent again: it refuses steps that do not rise.
    """
    if step >= self._run.step:
      self._run.log(dict(values), step=step)

  def scores(self, step: int, values: Mapping[str, float]) -> None:
    """Writes the scores to the summary of the run."""
    self._run.summary.update({f"final/{name}": value for name, value in values.items()})

  def pictures(self, step: int, paths: Mapping[str, Path]) -> None:
    """Writes the pictures, one step after the last."""
    images = {f"report/{name}": self._image(str(path)) for name, path in paths.items()}
    self._run.log(images, step=max(step + 1, self._run.step))

  def close(self, failed: bool = False) -> None:
    """Ends this attempt at the run."""
    self._run.finish(exit_code=int(failed))


class BestEffort(Writer):
  """A writer that is dropped with one warning when it fails; the run continues."""

  def __init__(self, name: str, make: Callable[[], Writer]):
    """Makes the writer.

    Args:
      name: the name of the writer, for the warning.
      make: a function that makes it.
    """
    self._name, self._writer = name, None
    self._writer = self._try(f"no {name} log", make)

  def config(self, values: Mapping[str, Any]) -> None:
    """Passes the config on."""
    self._pass("config", values)

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Passes numbers on."""
    self._pass("scalars", step, values)

  def scores(self, step: int, values: Mapping[str, float]) -> None:
    """Passes scores on."""
    self._pass("scores", step, values)

  def pictures(self, step: int, paths: Mapping[str, Path]) -> None:
    """Passes pictures on."""
    self._pass("pictures", step, paths)

  def close(self, failed: bool = False) -> None:
    """Closes the writer."""
    self._pass("close", failed)

  def _pass(self, method: str, *args: Any) -> None:
    if self._writer is not None:
      end = f"the {self._name} log ends here"
      self._try(end, lambda: getattr(self._writer, method)(*args))

  def _try(self, message: str, call: Callable[[], Any]) -> Any:
    try:
      return call()
    except UserError:
      raise
    except Exception as error:
      self._writer = None
      warnings.warn(f"{message}: {reason(error)}", stacklevel=4)
