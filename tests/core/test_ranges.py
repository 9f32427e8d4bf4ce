"""Every number of a config has a range, and NaN is in none."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Literal

import pytest

from jaxmem import tasks
from jaxmem.core import ranges, registry
from jaxmem.core.config import flatten
from jaxmem.core.errors import ConfigError
from jaxmem.evaluation.compare.plan import Plan
from jaxmem.generation.sampling import Sampling, SamplingError
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry
from jaxmem.parallel.mesh import MeshConfig
from jaxmem.tasks.classification.augment import AugmentConfig
from jaxmem.training.adversarial import AdversaryConfig
from jaxmem.training.config import (
  Config,
  DataConfig,
  OptimConfig,
  ValidationConfig,
  check,
)

KINDS = {
  "run": Config(),
  "optim": OptimConfig(),
  "validation": ValidationConfig(),
  "adversary": AdversaryConfig(),
  "augment": AugmentConfig(),
  "mesh": MeshConfig(),
  "sampling": Sampling(),
  "compare": Plan(),
  "text": DataConfig(),
  "lm": LMConfig(0),
}
FILES = registry.members("jaxmem.models", "Model") | {
  f"tasks.{kind}": tasks.get(kind) for kind in tasks.names()
}
for name, file in FILES.items():
  if file.Config not in (DataConfig, LMConfig):
    KINDS[name] = file.Config()


def numbers(config, kind):
  """Returns the names of the fields of a type, int or float."""
  return [
    f.name for f in dataclasses.fields(config) if type(getattr(config, f.name)) is kind
  ]


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_that_is_not_finite_or_does_not_fit_passes(kind):
  config = KINDS[kind]
  ranges.check(config)
  for name in numbers(config, float):
    for value in (math.nan, math.inf, -math.inf, 1e39):
      with pytest.raises(ValueError, match=f"^{name} is .*: it must be"):
        ranges.check(dataclasses.replace(config, **{name: value}))
  for name in numbers(config, int):
    for value in (2**63, -(2**63), 10**5000):
      with pytest.raises(ValueError, match=f"^{name} is .*: it must be"):
        ranges.check(dataclasses.replace(config, **{name: value}))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mesh"])
def test_every_number_declares_its_range(kind):
  """The sizes of a mesh are the exception: -1 means all remaining devices."""
  for field in dataclasses.fields(KINDS[kind]):
    if type(getattr(KINDS[kind], field.name)) in (int, float):
      assert "range" in field.metadata, field.name


def test_every_field_of_every_config_is_named_by_another_test():
  """An option that no test sets might do nothing."""
  paths = Path(__file__).parents[1].rglob("*.py")
  tests = "\n".join(path.read_text() for path in paths if path != Path(__file__))
  words = set(re.findall(r"\w+", tests.replace("-", "_")))
  fields = {f.name for config in KINDS.values() for f in dataclasses.fields(config)}
  assert fields <= words, sorted(fields - words)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"optim": OptimConfig(learning_rate=1e30)}, "optim.learning_rate is 1e+30"),
    (
      {"optim": OptimConfig(beta2=1 - 1e-9)},
      "1.0 in float32): it must be in [0, 1)",
    ),
    (
      {"optim": OptimConfig(learning_rate=1e-45)},
      "optim.learning_rate is 1e-45 (0.0 in float32): it must be above 0",
    ),
    ({"optim": OptimConfig(learning_rate=-0.0)}, "optim.learning_rate is -0.0: it"),
    ({"optim": OptimConfig(clip_norm=1e-39)}, "clip_norm is 1e-39 (0.0 in float32)"),
    ({"optim": OptimConfig(weight_decay=math.nan)}, "optim.weight_decay is nan"),
    (
      {"model": LMConfig(0, dropout=math.nan)},
      "model.dropout is nan: it must be in [0, 1)",
    ),
    ({"adversary": AdversaryConfig(radius=math.nan)}, "adversary.radius is nan"),
    ({"seed": 2**64}, "seed is 18446744073709551616"),
    ({"noise_scale": math.inf}, "noise_scale is inf: it must be above 0, and finite"),
    (
      {"model": LMConfig(0, pattern=(Entry("window", (("window_size", 2**40),)),))},
      "model.pattern: window_size of window is 1099511627776: it must be at most",
    ),
  ],
)
def test_config_out_of_range_is_one_sentence_with_the_key(changes, message):
  with pytest.raises(ConfigError, match=re.escape(message)):
    check(Config(**changes))


def test_ranges_hold_at_their_ends_and_say_what_they_are():
  half_open = ranges.Range(at_least=0, below=1)
  assert (
    half_open.holds(0.0) and not half_open.holds(1.0) and not half_open.holds(-1e-9)
  )
  assert str(half_open) == "in [0, 1)"
  open_ = ranges.Range(above=0, at_most=1000)
  assert open_.holds(1000) and not open_.holds(0) and not open_.holds(math.nan)
  assert str(open_) == "above 0 and at most 1000"
  check(Config(eval_bytes=2**40))  # bytes of files may be more than int32 holds


def test_sampling_refuses_what_a_device_cannot_hold():
  for changes in ({"temperature": math.inf}, {"top_k": 2**40}, {"top_p": math.nan}):
    with pytest.raises(SamplingError, match=next(iter(changes))):
      Sampling(**changes).check()


@dataclasses.dataclass(frozen=True)
class Inner:
  """Nested options, whose fields must agree."""

  low: float = ranges.number(0.0)
  high: float = ranges.number(1.0, above="low", remedy="widen it")
  pair: tuple[int, ...] = ranges.number((1, 2), at_least=1)

  def check_fields(self):
    if self.high > 9:
      raise ValueError(f"high is {self.high}: it does not fit")


@dataclasses.dataclass(frozen=True)
class Options:
  """Options with one field of every sort."""

  out: str = ranges.required("name a file")
  start: str = ranges.word("zeros", lambda: ("zeros", "noise"))
  kind: Literal["one", "two"] = "one"
  lengths: str = ranges.number_list("64,256", at_least=1)
  seed: int | None = ranges.number(None, at_least=0)
  num_rows: int = ranges.number(1, at_least=1)
  inner: Inner = Inner()


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"out": ""}, "--out is missing: name a file"),
    (
      {"start": "zero"},
      "--start is 'zero': one of zeros, noise; did you mean",
    ),
    ({"start": 3}, "--start is 3: one of zeros, noise"),
    ({"kind": "six"}, "--kind is 'six': one of one, two"),
    ({"lengths": "64,x"}, "--lengths is '64,x': whole numbers, with commas between"),
    ({"lengths": "64,0"}, "--lengths is 0: it must be at least 1"),
    ({"seed": -1}, "--seed is -1: it must be at least 0"),
    ({"num_rows": 0}, "--num-rows is 0: it must be at least 1"),
    (
      {"inner": Inner(2.0)},
      "--inner.high is 1.0: it must be above low (2.0); widen",
    ),
    ({"inner": Inner(pair=(1, 0))}, "--inner.pair is 0: it must be at least 1"),
    ({"inner": Inner(high=10.0)}, "--inner.high is 10.0: it does not fit"),
  ],
)
def test_the_check_names_flag_value_and_remedy(changes, message):
  ranges.check(Options("file"), "--")
  with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
    ranges.check(Options(**{"out": "file"} | changes), "--")


def test_a_run_may_change_how_long_it_is_how_it_is_shown_and_where_it_runs():
  parts = [(Config(), "")] + [(tasks.get(n).Config(), "task.") for n in tasks.names()]
  free = {
    key
    for config, prefix in parts
    for key in flatten(config, prefix)
    if key not in flatten(config, prefix, ("all", "training"))
  }
  assert free - {key for key in free if key.startswith("mesh.")} == {
    "steps", "log_every", "save_every", "keep", "eval_bytes", "sample_bytes",
    "stop_after_skips", "then", "validation.patience", "task.data_dir", "task.language",
    "task.rule", "model.remat", "model.loss_chunk", "compilation_cache",
    "log.wandb_project",
  }  # fmt: skip
  assert {f"mesh.{field.name}" for field in dataclasses.fields(MeshConfig)} <= free
