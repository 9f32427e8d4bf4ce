"""The protocols of a task: what training, evaluation and prediction call on it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class TaskConfig(Protocol):
  """The fields that the config of every task has; its type decides the task.

  Attributes:
    source: where the data are.
    segment_length: T, tokens of a row, or time steps of a series.
    batch_size: B, rows of a training step, over all processes.
  """

  @property
  def source(self) -> str: ...

  @property
  def segment_length(self) -> int: ...

  @property
  def batch_size(self) -> int: ...


class TaskContext(NamedTuple):
  """The settings of a run that its task needs, besides the task's own config.

  Sizes are in the unit of the task: bytes of text, or tokens.

  Attributes:
    seed: seed of the data's order and of random draws.
    process: index and count of the processes that share the rows.
    steps: steps of the run.
    validate_every: steps between held-out scores; 0 scores only at the end.
    validation_size: amount of held-out data that such a score reads.
    eval_size: amount of data that the report at the end scores; 0 scores nothing.
    sample_size: bytes of the sample in the report; 0 writes none.
    segment_start: the memory that a segment starts from, see `models.state_init`.
    init_from: source of the initial parameters; empty is none.
    initial_params: function that loads these parameters; None if `init_from` is empty.
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
  def selects_checkpoint(self) -> bool:
    """Whether held-out scores choose the checkpoint that is reported."""
    return 0 < self.validate_every <= self.steps


@runtime_checkable
class Rows(Protocol):
  """The batches of a task, by step; `data.Lanes` is one.

  A batch is a dictionary of arrays whose first axis is the row. "weights" are the
  weights of the losses, and "rows" are int64 ids, which the data log keeps.

  Attributes:
    fingerprint: digest of all that decides what a step reads.
    tokenizer: fingerprint of the tokenizer, which gives tokens their meaning.
  """

  fingerprint: str
  tokenizer: str

  def __len__(self) -> int: ...
  def __getitem__(self, step: int) -> dict[str, Any]: ...


@runtime_checkable
class Task(Protocol):
  """The methods that the trainer calls on a `Task(config, context, model)`.

  Attributes:
    rows: the batches.
    metric_name: unit of `to_metric` and `validation_metric`, such as "bits/byte"; lower
      is better.
  """

  rows: Rows
  metric_name: str

  def describe(self) -> str:
    """Returns a line that describes the data."""
    ...

  def to_metric(self, loss: float) -> float:
    """Converts a training loss, in nats per unit of weight, to the metric."""
    ...

  def validation_metric(self, params: Any) -> float:
    """Returns the metric on held-out data; changes no state of the run."""
    ...

  def save_assets(self, workdir: Path) -> None:
    """Writes the files that predictions need in addition to the checkpoint."""
    ...

  def report(self, params: Any, workdir: Path) -> "Report | None":
    """Prints and writes the report at the end of a run.

    Returns:
      What the logs of the run show of it; None is nothing.
    """
    ...


class Report(NamedTuple):
  """What the logs of a run show of its report.

  Attributes:
    scores: name -> final score.
    pictures: name -> path of a PNG.
  """

  scores: dict[str, float]
  pictures: dict[str, Path]

  @classmethod
  def of(cls, numbers: Mapping[str, Any], pictures: Iterable[Path]) -> "Report":
    """Returns the numbers of a report as scores; those in lists are left out.

    Args:
      numbers: the numbers, as JSON has them; keys of nested ones are joined by "/".
      pictures: the paths of the pictures, which are named after their files.
    """
    return cls(dict(_scalars(numbers, "")), {path.stem: path for path in pictures})


def _scalars(numbers: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
  for key, value in numbers.items():
    if isinstance(value, Mapping):
      yield from _scalars(value, f"{prefix}{key}/")
    elif isinstance(value, int | float) and not isinstance(value, bool):
      yield f"{prefix}{key}", float(value)


class EvalResult(NamedTuple):
  """The results of a model on a split.

  Attributes:
    numbers: the numbers, for JSON.
    lines: the report, in Markdown.
    pictures: file name -> function that draws the picture to a path.
  """

  numbers: dict[str, Any]
  lines: list[str]
  pictures: dict[str, Callable[[Path], Any]]


@runtime_checkable
class EvaluableTask(Task, Protocol):
  """A task that scores splits by a metric of its own, for `jaxmem eval --split`."""

  def evaluate(self, params: Any, split: str) -> EvalResult:
    """Returns the metric on a split.

    Args:
      params: the model's parameters.
      split: "train", "heldout" or "test".

    Raises:
      UserError: if there is no such split.
    """
    ...


@runtime_checkable
class Predictor(Protocol):
  """Answers records, for `jaxmem predict`; needs the run, but not its data.

  It is made by `Predictor(config, model, params, workdir)` with the task's config.
  """

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError if a record cannot be answered."""
    ...

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the answers to records that were checked, in their order."""
    ...
