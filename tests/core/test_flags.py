"""Every field of a config and of a command is a flag, and its help says so."""

import re

import pytest

from jaxmem import cli, configs
from jaxmem.commands import eval as eval_command
from jaxmem.commands import generate, inspect, predict, probe, train
from jaxmem.training import config


def _flags(argv, capsys) -> set[str]:
  with pytest.raises(SystemExit) as end:
    cli.run([*argv, "--help-all"])
  assert end.value.code == 0
  return set(re.findall(r"--[a-z0-9.-]*[a-z0-9]", capsys.readouterr().out))


def _flag(key: str) -> str:
  return "--" + key.replace("_", "-")


@pytest.mark.parametrize("name", configs.names())
def test_every_field_of_every_config_is_a_flag(name, capsys):
  fields = config.flatten(train.load_config(name))
  missing = {_flag(key) for key in fields} - _flags(["train", name], capsys)
  assert not missing


@pytest.mark.parametrize("module", [eval_command, generate, inspect, predict, probe])
def test_every_option_of_a_command_is_a_flag(module, capsys):
  keys = config.flatten(module.Options())
  name = module.__name__.rpartition(".")[2]
  assert not {_flag(key) for key in keys} - _flags([name], capsys)


def test_patterns_of_any_length_are_accepted(tmp_path, capsys):
  flags = ["--model.pattern", "gru,cross_attention", "--model.encoder", "gru,lstm"]
  assert cli.run(["train", "translation", *flags, "--task.source", "no,no"]) == 2
  assert "no file 'no'" in capsys.readouterr().err
