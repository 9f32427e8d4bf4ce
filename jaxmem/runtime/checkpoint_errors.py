"""What goes wrong with checkpoints, in one line each."""

from jaxmem.core.errors import RunError


class CheckpointError(RunError):
  """A checkpoint cannot be written or read; the message names step and reason."""


class Damaged(Exception):
  """A checkpoint is not whole."""


class WriteErrors:
  """Turns what Orbax raises while writing into a CheckpointError."""

  def __init__(self, directory, step):
    self.where = f"step {step} to {directory}" if step is not None else str(directory)

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if isinstance(error, Exception) and not isinstance(error, CheckpointError):
      raise CheckpointError(
        f"writing {self.where} failed: {first_line(error)}; earlier checkpoints are "
        "intact: free space or choose another --workdir, then run the same command"
      ) from error


def first_line(error: BaseException) -> str:
  """The first line of what an error says."""
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
