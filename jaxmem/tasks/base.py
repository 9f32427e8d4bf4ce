"""What a task is, to those who train, score and ask it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class Reading(Protocol):
  """What every kind of data has, whatever else it has; its type decides the job.

  Attributes:
    source: where it is.
    segment_length: tokens, or steps, of a row.
    batch_size: rows of a step, over all processes.
  """

  source: str
  segment_length: int
  batch_size: int


class TaskContext(NamedTuple):
  """What a task knows of the run that it is part of, besides its own config.

  Sizes are in the unit of the task: bytes of text, or tokens.

  Attributes:
    seed: of the order of the data and of what is drawn.
    process: which of how many processes reads its part of the rows.
    steps: of the run.
    validate_every: steps between held-out scores; 0 scores only at the end.
    validation_size: how much held-out data such a score reads.
    eval_size: how much the report at the end reads; 0 scores nothing there.
    sample_size: bytes of the sample in the report; 0 writes none.
    segment_start: what memory a segment starts from, see `models.state_init`.
    init_from: whose parameters the run begins with; empty is none.
    initial_params: loads these parameters; None where `init_from` is empty.
  """

  seed: int = 0
  process: tuple[int, int] = (0, 1)
  steps: int = 1
  validate_every: int = 0
  validation_size: int = 65_536
  eval_size: int = 0
  sample_size: int = 0
  segment_start: str = "carried"
  init_from: str = ""
  initial_params: Callable[[], Any] | None = None

  @property
  def chooses(self) -> bool:
    """Whether held-out scores choose the checkpoint that is reported."""
    return 0 < self.validate_every <= self.steps


@runtime_checkable
class Rows(Protocol):
  """The batches of a job, by step: see `data.Lanes`.

  A batch is a dictionary of arrays whose first axis is the row. "weights" says how much
  each loss counts, and "rows" has int64 ids, which the data log keeps.

  Attributes:
    fingerprint: of all that decides what a step reads.
    tokenizer: of what gives tokens their meaning.
  """

  fingerprint: str
  tokenizer: str

  def __len__(self) -> int: ...
  def __getitem__(self, step: int) -> dict[str, Any]: ...


@runtime_checkable
class Job(Protocol):
  """What the trainer asks of a job, which is made by `Job(config, context, model)`.

  Attributes:
    rows: the batches.
    measure: what `value` and `score` are, such as "bits/byte"; lower is better.
  """

  rows: Rows
  measure: str

  def introduction(self) -> str:
    """A line on what is read."""
    ...

  def value(self, loss: float) -> float:
    """The measure, from the nats a counted weight."""
    ...

  def score(self, params: Any) -> float:
    """The measure on what is held out. Moves nothing of the run."""
    ...

  def keep(self, workdir: Path) -> None:
    """Writes what predictions need beside the checkpoint."""
    ...

  def report(self, params: Any, workdir: Path) -> None:
    """The end of a run: prints and writes what was learned."""
    ...


class Findings(NamedTuple):
  """How good a model is on a split.

  Attributes:
    numbers: for JSON.
    lines: for people, in Markdown.
    pictures: file name -> what draws it to a path.
  """

  numbers: dict[str, Any]
  lines: list[str]
  pictures: dict[str, Callable[[Path], Any]]


@runtime_checkable
class Application(Job, Protocol):
  """A job whose metric is its field's own: `jaxmem eval --split`."""

  def evaluate(self, params: Any, split: str) -> Findings:
    """The metric on "train", "heldout" or "test".

    Raises:
      UserError: if there is no such split.
    """
    ...


@runtime_checkable
class Predictor(Protocol):
  """What answers records, for `jaxmem predict`; made of a run alone, without its data.

  It is built by `Predictor(config, model, params, workdir)`, `config` being the task's.
  """

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError if a record cannot be answered."""
    ...

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to records that were checked, in their order."""
    ...
