"""Every file of configs/ runs, and its docstring has its command."""

import ast
import re
from pathlib import Path

import jax
import pytest

from jaxmem import mixers
from jaxmem.commands.train import load_config
from jaxmem.parallel import mesh as meshes
from jaxmem.training import config as configs
from jaxmem.training.config import MeshConfig
from jaxmem.training.step import Program, resolve

# The configs that begin with packaged weights, or use their tokenizer.
PACKAGED = ("questions", "retrieval")
FILES = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


def _case(path):
  marks = [pytest.mark.needs("weights")] if path.stem in PACKAGED else []
  return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [*map(_case, FILES)])
def test_config_can_be_built_and_says_its_command(path):
  config = resolve(load_config(path))
  if getattr(config.task, "classes", 2) == 0:  # they are counted in the data
    config = configs.with_values(config, {"task.classes": 2})
  Program(config, meshes.make(MeshConfig(), jax.devices()[:1]))

  docstring = ast.get_docstring(ast.parse(path.read_text()))
  assert f"jaxmem train configs/{path.name}" in docstring


@pytest.mark.parametrize("name", mixers.carrying())
def test_every_memory_has_a_config_of_its_name(name):
  path = next(p for p in FILES if p.stem == name)
  assert [item.name for item in load_config(path).model.pattern] == [name]
  assert "bits per byte" in " ".join(path.read_text().split())


@pytest.mark.parametrize("name", sorted({*mixers.names()} - {*mixers.carrying()}))
def test_every_layer_of_encoders_and_decoders_has_a_config_of_its_name(name):
  path = next(p for p in FILES if p.stem == name)
  model = load_config(path).model
  assert name in [item.name for item in model.pattern]
  text = " ".join(path.read_text().split())
  assert re.search(r"\d\.\d\d (bits a hidden byte|BLEU)", text)
