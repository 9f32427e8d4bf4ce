"""The errors of checkpoints, one line each."""

from jaxmem.core.errors import RunError


class CheckpointError(RunError):
  """Raised if a checkpoint cannot be written or read; names step and reason."""


class Damaged(Exception):
  """Raised if a checkpoint is not whole."""


class WriteErrors:
  """Turns what Orbax raises while writing into a CheckpointError; a context manager."""

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
  """Returns the first line of an error's message."""
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
