"""Saved configs name registered kinds, and old files keep their meaning."""

import dataclasses
import json

import pytest

from jaxmem import models, tasks
from jaxmem.commands import current_flags
from jaxmem.core import kinds, migrations
from jaxmem.core.errors import ConfigError
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LMConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tasks.synthetic.task import SyntheticConfig
from jaxmem.training import config as configs
from jaxmem.training.config import Config, DataConfig


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_is_saved_with_its_name(name):
  config = Config(task=tasks.get(name).Config())
  assert json.loads(configs.to_json(config))["task"]["kind"] == name
  assert configs.from_json(configs.to_json(config)) == config


@pytest.mark.parametrize("name", kinds.MODELS.names())
def test_every_model_is_saved_with_its_name(name):
  config = Config(
    model=models.get(name).Config(**{"vocab_size": 0} if name == "lm" else {})
  )
  assert json.loads(configs.to_json(config))["model"]["kind"] == name
  assert configs.from_json(configs.to_json(config)) == config


def test_every_member_of_the_package_passes_the_check_of_plugins():
  for group in kinds.GROUPS:
    # an encoder has no loss: a task puts its head on it
    trunks = {"encoder"} if group is kinds.MODELS else set()
    for name in {*group.names()} - trunks:
      group.check(group.get(name))


def _old(**data) -> Config:
  """Returns a config as 0.1 wrote it, without the kinds of model and task."""
  plain = json.loads(configs.to_json(Config(LMConfig(64, 16))))
  del plain["model"]["kind"]
  return configs.from_json(json.dumps(plain | {"data": data}))


def test_a_file_without_kinds_is_of_a_language_model_and_text():
  config = _old(source="a.txt", tokenizer="sp:300")
  assert config.task == DataConfig("a.txt", tokenizer="sp:300")
  assert config.model == LMConfig(64, 16)


def test_a_source_that_is_a_task_tells_the_synthetic_task_from_text():
  text = dataclasses.asdict(DataConfig("task:copy:vocab_size=8", batch_size=4))
  for kind in ({}, {"kind": "text"}, {"kind": "language_modeling"}):
    assert _old(**text | kind).task == SyntheticConfig("task:copy:vocab_size=8", 256, 4)
  config = Config(LMConfig(64, 16), DataConfig("task:copy", batch_size=4))
  assert configs.typed(config).task == SyntheticConfig("task:copy", batch_size=4)


@pytest.mark.parametrize("old, new", migrations.KINDS["jaxmem.tasks"].items())
def test_a_former_kind_is_read(old, new):
  assert tasks.get(old) is tasks.get(new)
  data = {"kind": old, "source": "x"}
  if old != "text":
    assert isinstance(_old(**data).task, tasks.get(new).Config)
  if old == "labels":
    assert _old(**data).task == LabelsConfig("x")


def test_a_config_of_no_registered_kind_cannot_be_saved():
  @dataclasses.dataclass(frozen=True)
  class Other(DataConfig):
    pass

  with pytest.raises(ConfigError, match="task: .*Other is the Config of no task"):
    configs.to_json(Config(task=Other()))


@pytest.mark.parametrize(
  "part, says",
  [
    ({"task": {"kind": "seq2sec"}}, "task: no task 'seq2sec': did you mean 'seq2seq'"),
    ({"model": {"kind": "os.path"}}, "model: no model 'os.path': known: "),
    ({"model": {"kind": 5}}, "model is {'kind': 5}: keys and values, and a kind"),
  ],
)
def test_an_unknown_kind_is_named_with_its_key(part, says):
  with pytest.raises(ConfigError) as error:
    configs.from_json(json.dumps(part))
  assert says in str(error.value)


def test_former_names_of_the_constructor_are_read_and_name_the_new_one():
  with pytest.warns(DeprecationWarning, match=r"is now Config\(task=\)"):
    config = Config(data=SyntheticConfig())
  assert config == Config(task=SyntheticConfig())
  old = json.dumps({"data": {"kind": "text", "source": "a"}, "start_from": "runs/a"})
  new = Config(task=DataConfig("a"), init_from="runs/a")
  assert configs.from_json(old) == new


def test_former_fields_of_an_encoder_config_are_read_into_its_task():
  """In checkpoints of 0.1 `EncoderConfig` had the head, the classes and the loss."""
  encoder = EncoderConfig(vocab_size=64, d_model=16)
  before = {"head": "labels", "classes": 6, "smoothing": 0.1, "temperature": 0.2}
  for old, task in (
    ("labels", LabelsConfig("a", temperature=2.0, classes=6, label_smoothing=0.1)),
    ("passages", PassagesConfig("a", temperature=0.2)),
    ("spans", SpansConfig("a")),
  ):
    plain = json.loads(configs.to_json(Config(encoder, task)))
    plain["model"] |= before
    plain["task"]["kind"] = old
    for names in migrations.MOVED.values():
      plain["task"].pop(names.get(tasks.kind(task)), None)
    plain["data"] = plain.pop("task")
    assert configs.from_json(json.dumps(plain)) == Config(encoder, task)


def test_former_flags_of_an_encoder_are_those_of_its_task(capsys):
  argv = ["--model.head", "labels", "--model.smoothing=0.1", "--memory", "", "--steps"]
  argv += ["3", "--model.temperature", "2"]
  flags = current_flags(argv, migrations.moved_flags("classification"))
  assert flags == ["--task.label-smoothing=0.1", "--memory", "", "--steps", "3"]
  assert capsys.readouterr().err.splitlines() == [
    "jaxmem: --model.head is decided by the task",
    "jaxmem: --model.smoothing is now --task.label-smoothing",
    "jaxmem: --model.temperature is decided by the task",
  ]


def test_former_flags_are_read_and_named_once(capsys):
  argv = ["--data.source", "a", "--data.batch_size=3", "--start-from=b", "--seed", "1"]
  assert current_flags(argv) == [
    *("--task.source", "a", "--task.batch-size=3", "--init-from=b", "--seed", "1")
  ]
  lines = capsys.readouterr().err.splitlines()
  assert lines == [
    "jaxmem: --data is now --task",
    "jaxmem: --start-from is now --init-from",
  ]
