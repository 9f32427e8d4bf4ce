"""`jaxmem new` writes a layer or a task that works, and overwrites nothing."""

import importlib
import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmem import cli
from jaxmem.core import kinds

ROOT = Path(__file__).parents[2]
NAMES = {"layer": "leaky_sum", "task": "first_word"}


@pytest.fixture
def directory(tmp_path, monkeypatch):
  """Returns a directory on Python's path, and unloads its modules and plugins."""
  monkeypatch.setattr(kinds, "_PLUGINS", {})
  monkeypatch.setattr(kinds, "_LOADED", [])
  monkeypatch.syspath_prepend(tmp_path)
  yield tmp_path
  for name in [name for name in sys.modules if name.split(".")[0] in NAMES.values()]:
    del sys.modules[name]


@pytest.mark.parametrize("kind, name", NAMES.items())
def test_the_tests_of_a_template_pass_as_written(
  kind, name, directory, tmp_path_factory, capsys
):
  assert cli.run(["new", kind, name, "--out", str(directory)]) == 0
  out = capsys.readouterr().out
  assert f"pytest {name}" in out and f"--plugins {name}" in out
  tests = importlib.import_module(f"{name}.test_{name}")
  functions = [f for n, f in inspect.getmembers(tests) if n.startswith("test_")]
  assert functions
  for function in functions:
    takes = inspect.signature(function).parameters
    function(*[tmp_path_factory.mktemp("run") for _ in takes])
  assert name in (kinds.MIXERS if kind == "layer" else kinds.TASKS).names()


@pytest.mark.parametrize("kind, name", NAMES.items())
def test_no_name_of_the_template_remains_and_ruff_passes(kind, name, directory):
  assert cli.run(["new", kind, name, "--out", str(directory)]) == 0
  texts = [path.read_text() for path in (directory / name).iterdir()]
  assert len(texts) > 3
  assert not any("my_" in text or "My" in text for text in texts)
  if shutil.which("ruff"):
    rules = ["--config", str(ROOT / "pyproject.toml"), str(directory / name)]
    subprocess.run(["ruff", "format", "--check", "-q", *rules], check=True)
    subprocess.run(["ruff", "check", "-q", "--ignore=I001", *rules], check=True)


def test_nothing_is_overwritten(directory, capsys):
  (directory / "leaky_sum").mkdir()
  (directory / "leaky_sum" / "op.py").write_text("mine")
  assert cli.run(["new", "layer", "leaky_sum", "--out", str(directory)]) == 2
  assert "exists already, and nothing is overwritten" in capsys.readouterr().err
  assert [p.read_text() for p in (directory / "leaky_sum").iterdir()] == ["mine"]


@pytest.mark.parametrize(
  "kind, name, says",
  [
    ("layer", "Leaky", "'Leaky' is no name of a package: give small letters"),
    ("layer", "2d", "is no name of a package"),
    ("layer", "a-b", "is no name of a package"),
    ("task", "class", "is no name of a package"),
    ("task", "../up", "is no name of a package"),
    ("layer", "gru", "'gru' is a layer of jaxmem already"),
    ("layer", "sum", "'sum' is a layer of jaxmem already"),
    ("task", "dialogue", "'dialogue' is a task of jaxmem already"),
    ("layer", "json", "Python has a module 'json' already"),
  ],
)
def test_an_invalid_name_is_refused(kind, name, says, tmp_path, capsys):
  assert cli.run(["new", kind, name, "--out", str(tmp_path)]) == 2
  err = capsys.readouterr().err
  assert says in err and err.count("\n") == 1
  assert not [*tmp_path.iterdir()]


def test_templates_are_part_of_the_package():
  """Every template matches a pattern of package-data, by which setuptools packs it."""
  text = (ROOT / "pyproject.toml").read_text()
  assert '"jaxmem.commands" = ["templates/*/*.py"]' in text
