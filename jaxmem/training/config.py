"""An experiment as data: frozen dataclasses, saved as JSON, compared on resume."""

import dataclasses
import json
import os
import typing
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxmem import models
from jaxmem.core import ranges
from jaxmem.core.errors import ConfigError, UserError, reason, shown
from jaxmem.core.ranges import INT64, number
from jaxmem.core.registry import nearest
from jaxmem.models import ModelConfig, pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.state_init import OF_ROWS, STARTS, Start
from jaxmem.parallel.mesh import MeshConfig
from jaxmem.training.adversarial import AdversaryConfig
from jaxmem.training.functions import Function, named


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


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """What a language model reads.

  Attributes:
    source: "stdlib" (the Python standard library on this machine), a file, a directory
      or a glob (files are documents), FILE.jsonl#FIELD, tfds:NAME, or a mixture such as
      mix:0.7*stdlib,0.3*path/to/dir; see `jaxmem.data.documents`.
    heldout: where the held-out text is; empty holds out about a tenth of the source.
      Documents that would be on both sides follow the rule of `jaxmem.data.leaks`.
    tokenizer: "byte"; "sp:N" (SentencePiece) or "words:N" (words, and bytes for what is
      not among them), made of the training text and kept in the work directory; or the
      path of a SentencePiece `.model` or of a `.gguf`. No text may be lost.
    segment_length: T, tokens of a row a step.
    batch_size: rows of a step, over all processes; each is a contiguous lane.
    document_length: documents are cut, by resets, into documents of at most so many
      tokens, held-out ones too; 0 leaves them as they are. For memories of declared
      capacity.
    data_dir: where prepared data is kept; empty is $JAXMEM_DATA_DIR or ~/.cache/jaxmem.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "stdlib"
  heldout: str = ""
  tokenizer: str = "byte"
  segment_length: int = number(256, at_least=1)
  batch_size: int = number(16, at_least=1)
  document_length: int = number(0, at_least=0)
  data_dir: str = ""
  bad_records: typing.Literal["stop", "skip"] = "stop"


@dataclasses.dataclass(frozen=True)
class OptimConfig:
  """How parameters move; at first AdamW, a linear warm-up and a cosine.

  Attributes:
    optimizer: the name of an optimizer of Optax or `optax.contrib`, with its options:
      "adamw", "lion:b1=0.9:b2=0.99", "adafactor", "sgd:momentum=0.9", "muon". A Python
      config may give a function that takes `learning_rate`; a run keeps its name, and
      whoever goes on with it gives the function again.
    schedule: of the learning rate behind the warm-up: "cosine", "linear" (to
      `final_fraction`), "constant", "wsd:decay=0.2" (constant, then linear over the
      last fifth), or a schedule of Optax by name; see `training.schedule`. A function
      of a Python config, of the step, is the whole schedule.
    learning_rate: the highest, > 0.
    warmup_steps: of the warm-up, fewer than all; -1 is a fifth of all, at most 50.
    final_fraction: of the learning rate at the last step, in [0, 1].
    weight_decay: of what mixes channels: projections, convolution taps, embeddings and
      other tables of vectors, and what LRU and S5 read by (C). Not of biases, scales of
      norms, decay rates, time constants, skips, shifts and bonuses of RWKV, peepholes,
      biases of attention scores, learned starts; nor of what LRU and S5 write by (B)
      and the low-rank maps of RWKV, which the code of their authors does not decay.
      Every layer declares it for its parameters, see `layers.primitives.named`.
    beta1: of AdamW's first moment.
    beta2: of AdamW's second moment.
    trainable: a regular expression that is searched for in the paths of parameters,
      such as "stack/groups/block_0/mixer/q/kernel"; those without it are frozen, and
      have neither gradient nor optimizer state. "" is all.
    clip_norm: gradients of a larger global norm are scaled down to it; > 0.
    accumulate: parts of the batch that are computed one after the other, with the
      same result as all at once; divides the batch size.
    ema: decay of a moving average of the parameters, in [0, 1); 0 keeps none. It begins
      as (1 + step) / (10 + step). Where there is one, it is what is scored and what
      `generate` and `eval` use.
  """

  learning_rate: float = number(3e-3, above=0, at_most=1000)
  warmup_steps: int = number(-1, at_least=-1)
  final_fraction: float = number(0.1, at_least=0, at_most=1)
  weight_decay: float = number(0.1, at_least=0, at_most=1000)
  beta1: float = number(0.9, at_least=0, below=1)
  beta2: float = number(0.95, at_least=0, below=1)
  clip_norm: float = number(1.0, above=0)
  accumulate: int = number(1, at_least=1)
  ema: float = number(0.0, at_least=0, below=1)
  optimizer: str = "adamw"
  schedule: str = "cosine"
  trainable: str = ""

  def __post_init__(self):
    for name in ("optimizer", "schedule"):
      object.__setattr__(self, name, named(getattr(self, name)))

  def warmup(self, steps: int) -> int:
    """The steps of the warm-up of a run of `steps`."""
    return min(50, steps // 5) if self.warmup_steps < 0 else self.warmup_steps


# A function may be given where its name is kept; `typed` checks all that is kept.
OptimConfig.__init__.__no_type_check__ = True


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
  """Held-out scores while the run goes.

  Attributes:
    every: steps between scores; 0 scores only at the end. The state with the best score
      is kept in `best/`, beside the latest in `checkpoints/`.
    num_bytes: of held-out text, read with the memory carried.
    patience: so many scores in a row without a better one end the run; 0 never does.
  """

  every: int = number(0, at_least=0)
  num_bytes: int = number(65_536, at_least=1, at_most=INT64)
  patience: int = number(0, at_least=0)


@dataclasses.dataclass(frozen=True)
class Config:
  """An experiment.

  Attributes:
    model: `LMConfig`, or the config of another file of `jaxmem.models`; vocab_size 0 is
      the tokenizer's, up to a multiple of 64; dtype "auto" is float32 on CPU, bfloat16
      elsewhere.
    data: what is read: `DataConfig` of text, or the config of another file of
      `jaxmem.tasks`, which decides what is learned.
    optim: how parameters move.
    validation: when held-out text is scored, and what follows.
    adversary: how embeddings are moved to make training harder.
    mesh: where it runs.
    steps: updates of the parameters.
    start_from: whose parameters to begin with where name and shape agree: a work
      directory, or a name that `jaxmem.training.init_from` knows; empty is none.
    segment_start: what memory a segment starts from: "carried" is the lane's own
      (truncated backpropagation through time), "empty" none, "passed" another row's,
      "noise" and "fitted" random numbers; see `jaxmem.models.state_init`.
    noise_scale: standard deviation of the numbers of segment_start "noise", > 0.
    seed: of parameters, document order and dropout. What is drawn for a row depends on
      it, on the step and on the row, not on `optim.accumulate`, processes or mesh.
    log_every: steps between lines of the log.
    save_every: steps between checkpoints; the last step is always saved.
    keep: how many of the latest checkpoints are kept.
    eval_bytes: held-out bytes that are scored at the end; 0 scores none.
    sample_bytes: length of the sample at the end; 0 writes none.
    stop_after_skips: a step with a loss, a gradient or an update that is not finite is
      skipped; this many in a row stop the run. A run whose last step is skipped ends
      without a report, with exit code 1, and keeps the checkpoint before it.
  """

  model: ModelConfig = LMConfig(vocab_size=0, dtype="auto")
  data: Reading = DataConfig()
  optim: OptimConfig = OptimConfig()
  validation: ValidationConfig = ValidationConfig()
  adversary: AdversaryConfig = AdversaryConfig()
  mesh: MeshConfig = MeshConfig()
  steps: int = number(500, at_least=1)
  start_from: str = ""
  segment_start: Start = "carried"
  noise_scale: float = number(1.0, above=0)
  seed: int = number(0, at_least=0, at_most=2**32 - 1)
  log_every: int = number(10, at_least=1)
  save_every: int = number(100, at_least=1)
  keep: int = number(2, at_least=1)
  eval_bytes: int = number(262_144, at_least=0, at_most=INT64)
  sample_bytes: int = number(300, at_least=0)
  stop_after_skips: int = number(10, at_least=1)


# What may differ when a run goes on: how long, how it is shown, where it runs.
MAY_CHANGE = (
  "steps", "log_every", "save_every", "keep", "eval_bytes", "sample_bytes",
  "stop_after_skips", "mesh", "validation.patience", "data.data_dir", "data.language",
  "data.rule", "model.remat", "model.loss_chunk",
)  # fmt: skip

# Where data are, in whatever config has it, and what else is a path.
SOURCES = (
  "data.source", "data.heldout", "data.test", "data.queries", "data.relevant",
  "data.augment.table", "data.augment.wordings",
)  # fmt: skip
PATHS = (*SOURCES, "data.tokenizer", "data.data_dir", "start_from")


def check(config: Config) -> None:
  """Raises ConfigError if a number is out of range; costs nothing."""
  try:
    ranges.check(config)
  except ValueError as error:
    raise ConfigError(str(error)) from error
  if config.optim.warmup_steps >= config.steps:
    raise ConfigError(
      f"optim.warmup_steps is {config.optim.warmup_steps} of steps {config.steps}: "
      "lower it, or train longer"
    )
  if config.data.batch_size % config.optim.accumulate:
    raise ConfigError(
      f"data.batch_size {config.data.batch_size} does not divide into "
      f"optim.accumulate {config.optim.accumulate} parts"
    )
  if config.validation.patience and not config.validation.every:
    raise ConfigError(
      f"validation.patience is {config.validation.patience} and validation.every is 0: "
      "set how many steps lie between scores"
    )
  if config.segment_start not in STARTS:
    raise ConfigError(
      f"segment_start is {config.segment_start!r}: one of {', '.join(STARTS)}"
    )
  if config.segment_start in OF_ROWS and config.data.batch_size < 2:
    raise ConfigError(
      f"segment_start is {config.segment_start!r} and data.batch_size is "
      f"{config.data.batch_size}: it needs at least 2 rows"
    )
  if config.noise_scale != 1 and config.segment_start != "noise":
    raise ConfigError(
      f"noise_scale is {config.noise_scale} and segment_start "
      f"{config.segment_start!r}: only 'noise' has a scale"
    )
  if config.model.dtype not in ("auto", "float32", "bfloat16"):
    raise ConfigError(
      f"model.dtype is {config.model.dtype!r}: auto, float32 or bfloat16"
    )
  if not config.model.pattern:
    raise ConfigError("model.pattern is empty: name at least one memory")
  # what is saved can be read: types, one of the choices, and the options of memories
  from_json(to_json(config))


def typed(config: Config) -> Config:
  """The config with every value of the type that its field has.

  What means the same is converted: a pattern as text or as a list, a path, an integer
  where a number may have a fraction, a number of NumPy's.

  Raises:
    ConfigError: if a value has another type; names the key.
  """
  for name, hint in typing.get_type_hints(Config).items():
    value = getattr(config, name)
    holds_more = dataclasses.is_dataclass(hint) or hint in (ModelConfig, Reading)
    if holds_more and not (
      dataclasses.is_dataclass(type(value)) and isinstance(value, hint)
    ):
      expected = {
        ModelConfig: "LMConfig or another model's",
        Reading: "DataConfig or another job's",
      }.get(hint, hint.__name__)
      raise ConfigError(f"{name} is {shown(value)}: {expected} config expected")
  return _build(type(config), _plain(config), "")


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
  """Dotted key -> value."""
  flat = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      flat |= flatten(value, f"{prefix}{field.name}.")
    else:
      flat[prefix + field.name] = value
  return flat


def sources(config: Config) -> dict[str, str]:
  """What the data of a run are read from: flag -> source, without those left out."""
  flat = flatten(config)
  given = {key: flat[key] for key in SOURCES if flat.get(key)}
  return {f"--{key.replace('_', '-')}": source for key, source in given.items()}


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
  """The config with other values.

  Args:
    config: the experiment.
    values: dotted key -> value.

  Raises:
    ConfigError: if the config has no such key, or a value is of another type.
  """
  plain, known = _plain(config), flatten(config)
  for key, value in values.items():
    if key not in known:
      hint = nearest(key, list(known))
      raise ConfigError(f"{key} is nothing that this run has: {hint}")
    *parents, last = key.split(".")
    place = plain
    for parent in parents:
      place = place[parent]
    place[last] = value
  return _build(type(config), plain, "")


def with_paths(config: Config, change: Callable[[str], str]) -> Config:
  """The config with `change` applied to the text of everything that may be a path."""
  flat = flatten(config)
  given = {key: flat[key] for key in PATHS if flat.get(key)}
  return with_values(config, {key: change(text) for key, text in given.items()})


def changes(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
  """What differs and may not: key -> (old, new)."""
  before, after = flatten(old), flatten(new)
  free = lambda key: key in MAY_CHANGE or key.split(".")[0] in MAY_CHANGE
  return {
    key: (before[key], after[key])
    for key in before
    if before[key] != after[key] and not free(key)
  }


def to_json(config: Config) -> str:
  """Readable JSON; `from_json(to_json(c)) == c`."""
  return json.dumps(_plain(config), indent=2)


def _plain(value: Any) -> Any:
  if isinstance(value, pattern.Entry):
    return str(value)
  if isinstance(value, tuple) or (isinstance(value, list) and value):
    return pattern.show(value)
  if dataclasses.is_dataclass(value):
    fields = dataclasses.fields(value)
    plain = {field.name: _plain(getattr(value, field.name)) for field in fields}
    return plain | _kind(value)
  return value


def _kind(value: Any) -> dict[str, str]:
  """Says of which file a config is, unless it is a language model's or its text's."""
  from jaxmem import tasks

  if isinstance(value, LMConfig | DataConfig):
    return {}
  if isinstance(value, ModelConfig):
    return {"kind": models.kind(value)}
  if isinstance(value, Reading):
    return {"kind": tasks.kind(value)}
  return {}


def from_json(text: str) -> Config:
  """The config of `to_json`.

  Raises:
    ConfigError: for an unknown key (names the nearest) or a value of another type.
  """
  try:
    data = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ConfigError(f"the config is not JSON: {reason(error)}") from error
  return _build(Config, _migrated(data), "")


# Key that is no more -> what to write instead.
RETIRED = {
  "carry_memory": "segment_start: 'carried' for True, 'empty' for False",
}


def _migrated(data: Any) -> Any:
  """What older versions saved, in today's keys."""
  if isinstance(data, dict) and "carry_memory" in data:
    data = dict(data)
    carried = data.pop("carry_memory")
    if type(carried) is not bool:
      raise ConfigError(
        f"carry_memory is {carried!r}: True or False expected, or better "
        f"{RETIRED['carry_memory']}"
      )
    return {"segment_start": "carried" if carried else "empty"} | data
  return data


def _build(cls: type, data: Any, prefix: str) -> Any:
  if not isinstance(data, dict):
    what = prefix.rstrip(".") or "the config"
    raise ConfigError(f"{what} is {shown(data)}: keys and values expected")
  hints = typing.get_type_hints(cls)
  given = {}
  for key, value in data.items():
    if key == "kind" and "kind" not in hints:
      continue  # `_type` has read it
    if key not in hints:
      hint = nearest(key, list(hints))
      raise ConfigError(f"no key {prefix + key!r} in the config: {hint}")
    given[key] = _convert(_type(hints[key], value), value, prefix + key)
  try:
    return cls(**given)
  except TypeError as error:  # a field without a default is missing
    raise ConfigError(f"{prefix.rstrip('.') or 'the config'}: {error}") from error


def _type(hint: Any, value: Any) -> Any:
  """The dataclass of a model or of data, by the kind that is saved with it."""
  from jaxmem import tasks

  rooms = {ModelConfig: (models, LMConfig), Reading: (tasks, DataConfig)}
  if hint not in rooms:
    return hint
  room, default = rooms[hint]
  kind = value.get("kind") if isinstance(value, dict) else None
  try:
    return room.get(str(kind)).Config if kind else default
  except KeyError as error:
    raise ConfigError(f"the config is of another jaxmem: {error.args[0]}") from error


def _convert(kind: Any, value: Any, key: str) -> Any:
  if dataclasses.is_dataclass(kind):
    return _build(kind, value, key + ".")
  if kind == pattern.Pattern:
    if not isinstance(value, str):
      raise ConfigError(f"{key} is {shown(value)}: memories, or their text, expected")
    try:
      return pattern.parse(value) if value else ()
    except UserError as error:
      raise ConfigError(f"{key}: {error}") from error
  if typing.get_origin(kind) is typing.Literal:
    if not isinstance(value, str) or value not in typing.get_args(kind):
      choices = ", ".join(typing.get_args(kind))
      raise ConfigError(f"{key} is {shown(value)}: one of {choices}")
    return value
  if isinstance(value, np.generic):
    value = value.item()
  if kind is str and isinstance(value, os.PathLike):
    value = os.fsdecode(value)
  if kind is float and type(value) is int:
    try:
      return float(value)
    except OverflowError as error:
      raise ConfigError(f"{key} is {shown(value)}: it is too large") from error
  if type(value) is not kind and not (kind is str and isinstance(value, Function)):
    raise ConfigError(
      f"{key} is {shown(value)}: a value of type {kind.__name__} expected"
    )
  return value
