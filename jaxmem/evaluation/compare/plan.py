"""The runs of a comparison: models of one size, one a memory, length and seed."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem.core import files, ranges
from jaxmem.core.errors import ConfigError, UserError, raised_as, reason
from jaxmem.core.ranges import INT64, number, number_list
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig, num_params
from jaxmem.models.pattern import Entry
from jaxmem.tasks import TASK
from jaxmem.tasks.synthetic import episodes
from jaxmem.tasks.synthetic.task import MULTIPLES, SyntheticConfig
from jaxmem.training.config import Config, OptimConfig

# Widths of MLPs are multiples of this, so models have the same size up to one multiple.
WIDTH = 8
# The learning rate has to warm up and decay, which fewer steps do not allow.
LEAST_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Plan:
  """A comparison as data.

  Attributes:
    task: a file of `tasks.synthetic.problems` with options: mqar, mqar:size=paper.
    memories: as in a pattern: attention,window:window_size=32,gated_delta.
    lengths: of the examples, such as 64,256; a model is trained at each, and tested at
      1, 2, 4, 8 and 16 times its own.
    minutes_per_run: the training time; compilation and tests are not counted.
    steps: the number of training steps, 0 for as many as the minutes allow.
    seeds: models of each memory and length, which differ in parameters and examples.
    d_model: features.
    layers: blocks.
    params: parameters of a model; 0 is the number of the largest memory with MLPs of
      width d_model. Models of smaller memories get wider MLPs.
    batch_size: examples of a step.
    learning_rate: the highest of the schedule.
    ask: tokens of test examples at each length.
  """

  task: str = "mqar"
  memories: str = "attention,window,gated_delta,retention,mamba2,lstm"
  lengths: str = number_list("64,256", at_least=1)
  minutes_per_run: float = number(2.0, above=0)
  steps: int = number(0, at_least=0)
  seeds: int = number(3, at_least=1, at_most=1000)
  d_model: int = number(64, at_least=1, at_most=2**20)
  layers: int = number(2, at_least=1, at_most=2**16)
  params: int = number(0, at_least=0, at_most=INT64)
  batch_size: int = number(32, at_least=1)
  learning_rate: float = number(3e-3, above=0, at_most=1000)
  ask: int = number(32_768, at_least=1)

  def check(self) -> None:
    """Raises UserError for what cannot be run; no device work."""
    with raised_as(UserError):
      ranges.check(self)
    if 0 < self.steps < LEAST_STEPS:
      raise UserError(f"steps is {self.steps}: 0, or at least {LEAST_STEPS}")
    task = episodes.parse(self.task)
    for length in self.trained():  # draws a block, which fails if the task does not fit
      episodes.Episodes(task, length, 0, "train")
    for item in pattern.parse(self.memories):
      pattern.check_language((item,))

  def trained(self) -> tuple[int, ...]:
    """Returns the lengths as numbers."""
    return tuple(ranges.listed(self.lengths))

  def base(self, item: Entry) -> LMConfig:
    """Returns the config of a model of one memory, with MLPs of width d_model."""
    task = episodes.parse(self.task)
    return LMConfig(
      vocab_size=-(-task.vocab_size // 64) * 64,  # tiles of 64 suit the hardware
      d_model=self.d_model,
      d_ff=self.d_model,
      pattern=(item,),
      num_groups=self.layers,
    )

  def largest(self) -> int:
    """Returns the number of parameters of the largest `base` model."""
    return max(count(self.base(item)) for item in pattern.parse(self.memories))

  def runs(self) -> list["Run"]:
    """Returns all runs, seeds outermost: a comparison cut short has all memories."""
    return [
      Run(self, item, length, seed)
      for seed in range(self.seeds)
      for length in self.trained()
      for item in pattern.parse(self.memories)
    ]


@dataclasses.dataclass(frozen=True)
class Run:
  """One model of a plan: a memory, a trained length and a seed."""

  plan: Plan
  memory: Entry
  length: int
  seed: int

  @property
  def pair(self) -> str:
    """The name of the folder of the memory and the length."""
    # options have ":" and "=", which not every file system takes
    name = "".join(c if c.isalnum() else "-" for c in str(self.memory))
    return f"{name}-{self.length}"

  def model(self) -> LMConfig:
    """Returns the model's config, its MLPs so wide that it has the plan's size."""
    plan = self.plan
    # tests are longer than training, and a cache must hold the longest of them
    item = with_capacity(self.memory, self.length * max(MULTIPLES))
    return sized(plan.base(item), plan.params or plan.largest())

  def config(self, steps: int) -> Config:
    """Returns the trainer's config of a run of `steps` steps."""
    plan = self.plan
    return Config(
      model=self.model(),
      task=SyntheticConfig(
        source=TASK + plan.task,
        segment_length=self.length,
        batch_size=plan.batch_size,
      ),
      optim=OptimConfig(
        # a tenth of the run, but memories need no more than 50 steps of warm-up
        learning_rate=plan.learning_rate,
        warmup_steps=min(50, steps // 10),
      ),
      steps=steps,
      seed=self.seed,
      log_every=max(steps // 50, 1),
      save_every=max(steps // 4, 1),
      eval_bytes=plan.ask,
      sample_bytes=0,
    )

  def state_bytes(self) -> int:
    """Returns the bytes of a layer's state for one row of `length` tokens."""
    item = with_capacity(self.memory, self.length)
    mixer = pattern.built(item, self.plan.d_model, "float32")
    return pattern.state_bytes(mixer)


def with_capacity(item: Entry, tokens: int) -> Entry:
  """Returns the memory with room for so many tokens, if it declares a capacity."""

  def enlarged(mixer: Entry) -> Entry:
    if "capacity" not in pattern.options(mixer.name):
      return mixer
    return pattern.set_options(mixer, **{"capacity": tokens} | dict(mixer.options))

  return pattern.edit((item,), enlarged)[0]


def shapes(model: LMConfig) -> Any:
  """Returns the shapes of a model's parameters without computing any."""
  lm, tokens = LM(model), jax.ShapeDtypeStruct((1, 16), jnp.int32)  # [B, T]
  state = jax.eval_shape(lambda: lm.init_state(1))
  try:
    return jax.eval_shape(lm.init, jax.random.key(0), tokens, state)
  except (ValueError, TypeError, ZeroDivisionError) as error:
    text, why = pattern.show(model.pattern), str(error).strip().splitlines()[0]
    raise ConfigError(
      f"{text!r} cannot be built at d_model {model.d_model}: {why}"
    ) from error


def count(model: LMConfig) -> int:
  """Returns the number of parameters of a model."""
  return num_params(shapes(model))


def sized(model: LMConfig, params: int) -> LMConfig:
  """Returns the model with MLPs so wide that it has about `params` parameters.

  Raises:
    UserError: if it has more with the narrowest MLPs.
  """
  narrowest, next_wider = (
    count(dataclasses.replace(model, d_ff=width)) for width in (WIDTH, 2 * WIDTH)
  )
  if narrowest > params:
    raise UserError(
      f"a model of {pattern.show(model.pattern)} has at least {narrowest:,} "
      f"parameters, the comparison is of {params:,}: give --params {narrowest} or more"
    )
  # parameters grow linearly with the width, so two sizes give the line
  width = WIDTH * (1 + round((params - narrowest) / (next_wider - narrowest)))
  return dataclasses.replace(model, d_ff=width)


def read(directory: Path) -> Plan:
  """Reads the plan of a directory.

  Raises:
    UserError: if it cannot be read.
  """
  path = directory / "plan.json"
  try:
    return Plan(**files.read_json(path))
  except (OSError, ValueError, TypeError) as error:
    raise UserError(
      f"{path} is damaged ({reason(error)}): choose another --out"
    ) from error
