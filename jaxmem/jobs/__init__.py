"""What a run learns: its batches, its score, its end. A kind of job is one file.

`text` is language modelling: the source of the config is text. `task` is a question to
a memory: the source is `task:NAME:OPTION=VALUE`, a file of `jaxmem.evals.tasks`. The
trainer knows only what stands here.
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxmem.config import Config, DataConfig

TASK = "task:"


@runtime_checkable
class Rows(Protocol):
  """The batches of a job, by step: see `data.Lanes`.

  Attributes:
    fingerprint: of all that decides which tokens a step reads.
    tokenizer: of what gives tokens their meaning.
  """

  fingerprint: str
  tokenizer: str

  def __len__(self) -> int: ...
  def __getitem__(self, step: int) -> dict[str, Any]: ...


@runtime_checkable
class Job(Protocol):
  """What the trainer asks of a job.

  Attributes:
    rows: the batches.
    unit: what bits are counted by, "byte" or "answer".
  """

  rows: Rows
  unit: str

  def introduction(self) -> str:
    """A line on what is read."""
    ...

  def bits(self, loss: float) -> float:
    """Bits a unit, from the nats a counted token."""
    ...

  def score(self, params: Any) -> float:
    """Bits a unit of what is held out; lower is better. Moves nothing of the run."""
    ...

  def report(self, params: Any, workdir: Path) -> None:
    """The end of a run: prints and writes what was learned."""
    ...


def vocabulary(config: DataConfig) -> str:
  """What gives the tokens of a source their meaning, in words."""
  if config.source.startswith(TASK):
    return config.source
  return f"tokenizer {config.tokenizer!r}"


def vocab_size(config: DataConfig) -> int:
  """The ids of a source; costs nothing.

  Raises:
    UserError: if there is no such task or tokenizer.
  """
  if config.source.startswith(TASK):
    from jaxmem.jobs import task

    return task.of(config).vocab_size
  from jaxmem.data import tokenizers

  return tokenizers.get(config.tokenizer).vocab_size


def make(config: Config, model: Any) -> Job:
  """The job of a resolved config; reads and prepares its data.

  Raises:
    ConfigError, DataError, CapacityError: before any device work.
  """
  if config.data.source.startswith(TASK):
    from jaxmem.jobs.task import TaskJob

    return TaskJob(config, model)
  from jaxmem.jobs.text import TextJob

  return TextJob(config, model)
