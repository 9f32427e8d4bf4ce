"""Experiments as data: frozen dataclasses, saved as JSON and compared on resume."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from jaxmem.core import kinds, migrations, ranges
from jaxmem.core.config import Choice, Codec, Text, flatten
from jaxmem.core.errors import ConfigError, raised_as
from jaxmem.core.ranges import INT64, affecting, number
from jaxmem.data.config import DataConfig
from jaxmem.models import ModelConfig, pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.state_init import OF_ROWS, Start
from jaxmem.parallel.mesh import MeshConfig
from jaxmem.tasks.base import TaskConfig
from jaxmem.training.adversarial import AdversaryConfig
from jaxmem.training.optim_config import OptimConfig

_Class = TypeVar("_Class", bound=type)


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
  """When held-out data is scored during a run.

  Attributes:
    every: steps between scores, 0 for one at the end alone. The state with the best
      score is kept in `best/`, beside the latest in `checkpoints/`.
    num_bytes: how much held-out text is scored, read with the memory carried.
    patience: the run ends after this many scores in a row that are no better; 0 never
      ends it.
  """

  every: int = number(0, at_least=0)
  num_bytes: int = number(65_536, at_least=1, at_most=INT64)
  patience: int = number(0, at_least=0, affects="nothing")


@dataclasses.dataclass(frozen=True)
class LogConfig:
  """Where a run is logged, besides `metrics.jsonl` and TensorBoard.

  Attributes:
    wandb_project: a project of Weights & Biases (pip install 'jaxmem[wandb]'); empty
      writes none. WANDB_MODE=offline keeps the run in the work directory.
  """

  wandb_project: str = ""


def _with_former_names(cls: _Class) -> _Class:
  """Lets the constructor of `Config` take the names that arguments had before 0.2."""
  init = cls.__init__  # type: ignore[misc]

  @functools.wraps(init)
  def __init__(self, *args, **fields):
    for old in migrations.RENAMED.keys() & fields.keys():
      new = migrations.RENAMED[old]
      warnings.warn(
        f"Config({old}=) is now Config({new}=): the old name goes in 0.3",
        DeprecationWarning,
        stacklevel=2,
      )
      fields[new] = fields.pop(old)
    init(self, *args, **fields)

  cls.__init__ = __init__  # type: ignore[misc]
  return cls


@_with_former_names
@dataclasses.dataclass(frozen=True)
class Config:
  """An experiment: a model, a task, and how the model is trained on it.

  Attributes:
    model: `LMConfig`, or the config of another file of `jaxmem.models`; vocab_size 0 is
      the tokenizer's, rounded up to a multiple of 64; dtype "auto" is float32 on CPU,
      bfloat16 elsewhere.
    task: what is learned, and from which data: `DataConfig` of text, or the config of
      another folder of `jaxmem.tasks`.
    optim: how parameters are updated.
    validation: when held-out text is scored, and what follows.
    adversary: how embeddings are perturbed to make training harder.
    mesh: the devices that the run uses.
    log: where the run is logged.
    steps: updates of the parameters.
    init_from: source of the initial parameters, which are taken where path and shape
      agree: a work directory, or a pretrained model: "smollm2", "minilm", a folder of
      Hugging Face, a .gguf or hf:ORG/NAME, see `interop.addresses`; empty draws them.
      Of a pretrained model nothing need be restated: where `model.vocab_size` is 0, the
      fields of `model` that have their default, and `task.tokenizer` if it has, are
      those of the pretrained model, and full attention holds `task.document_length`
      tokens, or 8,192. A `model.vocab_size` keeps `model` as it is.
    segment_start: what memory a segment starts from: "carried" is the lane's own
      (truncated backpropagation through time), "empty" none, "passed" another row's,
      "noise" and "fitted" random numbers; see `jaxmem.models.state_init`.
    noise_scale: standard deviation of the numbers of segment_start "noise", > 0.
    seed: the seed of parameters, document order and dropout. What is drawn for a row
      depends on it, on the step and on the row, not on `optim.accumulate`, processes or
      mesh.
    log_every: steps between lines of the log.
    save_every: steps between checkpoints; the last step is always saved.
    keep: how many of the latest checkpoints are kept.
    eval_bytes: bytes of held-out text that are scored at the end; 0 scores none.
    sample_bytes: bytes of the text that is generated at the end; 0 generates none.
    stop_after_skips: a step with a loss, a gradient or an update that is not finite is
      skipped; this many in a row stop the run. A run whose last step is skipped ends
      without a report, with exit code 1, and keeps the checkpoint before it.
    then: a packaged config, or the path of a file, that `jaxmem train` trains after
      this one, for at most as many steps, in the folder of its name in the work
      directory; empty is none.
    compilation_cache: where compiled programs are kept for later runs: a folder or a
      gs:// address, which all hosts of a pod should share, since the first process
      alone writes there; "none" keeps none. "auto" is a folder of the user in commands
      (JAX_COMPILATION_CACHE_DIR names another), and elsewhere what JAX is set to.
  """

  model: ModelConfig = LMConfig(vocab_size=0, dtype="auto")
  task: TaskConfig = DataConfig()
  optim: OptimConfig = OptimConfig()
  validation: ValidationConfig = ValidationConfig()
  adversary: AdversaryConfig = AdversaryConfig()
  mesh: MeshConfig = affecting("nothing", MeshConfig())
  log: LogConfig = affecting("nothing", LogConfig())
  steps: int = number(500, at_least=1, affects="nothing")
  init_from: str = ""
  segment_start: Start = "carried"
  noise_scale: float = number(1.0, above=0)
  seed: int = number(0, at_least=0, at_most=2**32 - 1)
  log_every: int = number(10, at_least=1, affects="nothing")
  save_every: int = number(100, at_least=1, affects="nothing")
  keep: int = number(2, at_least=1, affects="nothing")
  eval_bytes: int = number(262_144, at_least=0, at_most=INT64, affects="nothing")
  sample_bytes: int = number(300, at_least=0, affects="nothing")
  stop_after_skips: int = number(10, at_least=1, affects="nothing")
  then: str = affecting("nothing", "")
  compilation_cache: str = affecting("nothing", "auto")


DTYPES = ("auto", "float32", "bfloat16")

# Keys that name data, in the tasks that have them, and all keys that may hold a path.
SOURCES = (
  "task.source", "task.heldout", "task.test", "task.queries", "task.relevant",
  "task.augment.table", "task.augment.wordings",
)  # fmt: skip
PATHS = (*SOURCES, "task.tokenizer", "task.data_dir", "init_from")


def check(config: Config) -> None:
  """Raises ConfigError if a value is out of range, or values contradict one another."""
  with raised_as(ConfigError):
    ranges.check(config)
    ranges.check_word(config.model.dtype, "model.dtype", DTYPES)
  if config.optim.warmup_steps >= config.steps:
    raise ConfigError(
      f"optim.warmup_steps is {config.optim.warmup_steps} of steps {config.steps}: "
      "lower it, or train longer"
    )
  if config.task.batch_size % config.optim.accumulate:
    raise ConfigError(
      f"task.batch_size {config.task.batch_size} does not divide into "
      f"optim.accumulate {config.optim.accumulate} parts"
    )
  if config.validation.patience and not config.validation.every:
    raise ConfigError(
      f"validation.patience is {config.validation.patience} and validation.every is 0: "
      "set how many steps lie between scores"
    )
  if config.segment_start in OF_ROWS and config.task.batch_size < 2:
    raise ConfigError(
      f"segment_start is {config.segment_start!r} and task.batch_size is "
      f"{config.task.batch_size}: it needs at least 2 rows"
    )
  if config.noise_scale != 1 and config.segment_start != "noise":
    raise ConfigError(
      f"noise_scale is {config.noise_scale} and segment_start "
      f"{config.segment_start!r}: only 'noise' has a scale"
    )
  if not config.model.pattern:
    raise ConfigError("model.pattern is empty: name at least one memory")
  # the round trip checks types, choices and options, and that a saved run can be read
  from_json(to_json(config))


def typed(config: Config) -> Config:
  """Returns the config with every value of the type that its field has.

  Values that mean the same are converted: a pattern as text or as a list, a path, an
  integer where a number may have a fraction, a number of NumPy's.

  Raises:
    ConfigError: if a value has another type; names the key.
  """
  return _CODEC.typed(config)


def sources(config: Config) -> dict[str, str]:
  """Returns the sources that a run reads, by flag; those left empty are omitted."""
  flat = flatten(config)
  texts = {key: flat[key] for key in SOURCES if flat.get(key)}
  return {f"--{key.replace('_', '-')}": source for key, source in texts.items()}


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
  """Returns the config with other values.

  Args:
    config: the experiment.
    values: the new values by dotted key.

  Raises:
    ConfigError: if the config has no such key, or a value is of another type.
  """
  return _CODEC.with_values(config, values)


def with_paths(config: Config, change: Callable[[str], str]) -> Config:
  """Returns the config with a function applied to all values that may be paths.

  Args:
    config: the experiment.
    change: the function, of a text.
  """
  flat = flatten(config)
  texts = {key: flat[key] for key in PATHS if flat.get(key)}
  return with_values(config, {key: change(text) for key, text in texts.items()})


def changes(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
  """Returns the keys that differ and that a run may not change when it continues.

  Args:
    old: the config that a run was started with.
    new: the config that it would continue with.

  Returns:
    key -> (old value, new value).
  """
  # fields that affect "training" or "all" are fixed; see `core.ranges.affecting`
  fixed = ("all", "training")
  before, after = flatten(old, affects=fixed), flatten(new, affects=fixed)
  return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def to_json(config: Config) -> str:
  """Returns readable JSON, which `from_json` reads back to an equal config."""
  return _CODEC.to_json(config)


def from_json(text: str) -> Config:
  """Reads what `to_json` of this or an older version wrote; imports no plugin.

  Raises:
    ConfigError: for an unknown key (names the nearest), a kind or a memory that is
      neither jaxmem's nor a plugin that the user has named, or a value of another type.
  """
  with kinds.saved_file():  # names in a saved run never import a module
    return _CODEC.from_json(text)


def _show_pattern(value: Any) -> Any:
  """Returns the text of a pattern, of a list of entries or of an entry."""
  if isinstance(value, pattern.Entry):
    return str(value)
  if isinstance(value, tuple) or (isinstance(value, list) and value):
    return pattern.show(tuple(value))
  return value


# Annotation of a field -> how its values are written, in JSON and as flags.
TEXTS = {
  pattern.Pattern: Text(pattern.parse, _show_pattern, (), "memories, or their text,")
}
_CODEC = Codec(
  Config,
  kinds={
    ModelConfig: Choice(kinds.MODELS, "LMConfig or another model's"),
    TaskConfig: Choice(kinds.TASKS, "DataConfig or another task's"),
  },
  texts=TEXTS,
  migrate=migrations.current,
)
