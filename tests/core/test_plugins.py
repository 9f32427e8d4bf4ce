"""Mixers, models and tasks are loaded from outside the package only when named."""

import json
import sys

import pytest

from jaxmem import cli, mixers, models, tasks
from jaxmem.core import kinds
from jaxmem.core.errors import ConfigError, UserError
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training import config as configs
from jaxmem.training.config import Config
from jaxmem.training.load import run_config

MIXER = """
from jaxmem.mixers.mingru import MinGRU
class Outside(MinGRU):
  pass
Mixer = Outside
"""
MODEL = """
import dataclasses
from jaxmem.models.lm import LM, LMConfig
@dataclasses.dataclass(frozen=True)
class Config(LMConfig):
  extra: int = 3
class Model(LM):
  pass
"""
TASK = """
import dataclasses
from jaxmem.tasks.synthetic.task import SyntheticConfig, SyntheticTask, resolve_model
@dataclasses.dataclass(frozen=True)
class Config(SyntheticConfig):
  extra: int = 3
Task = SyntheticTask
"""


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
  """Returns a folder on Python's path, and unloads what a test imports."""
  monkeypatch.setattr(kinds, "_PLUGINS", {})
  monkeypatch.setattr(kinds, "_LOADED", [])
  monkeypatch.syspath_prepend(tmp_path)
  before = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - before:
    if getattr(sys.modules[name], "__file__", None) in map(str, tmp_path.glob("*.py")):
      del sys.modules[name]


def _install(directory, group: str, name: str, module: str) -> None:
  """Writes what pip installs for a distribution with an entry point."""
  info = directory / f"{name}-1.0.dist-info"
  info.mkdir()
  (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
  (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")


def test_a_module_that_is_named_gives_a_mixer(directory):
  (directory / "outside.py").write_text(MIXER)
  with pytest.raises(UserError, match="no memory 'outside'"):
    pattern.parse("outside")
  kinds.load("outside")
  assert "outside" in mixers.names() and kinds.loaded() == ("outside",)
  layer = pattern.built(entry("outside", form="recurrent"), 8, "float32")
  assert type(layer) is sys.modules["outside"].Outside
  config = Config(LMConfig(0, 8, pattern=pattern.parse("gru,outside")))
  assert configs.from_json(configs.to_json(config)) == config


@pytest.mark.parametrize("part, text", [("model", MODEL), ("task", TASK)])
def test_a_module_that_is_named_gives_a_model_or_a_task(directory, part, text):
  (directory / "outside.py").write_text(text)
  kinds.load("outside")
  module = {"model": models, "task": tasks}[part].get("outside")
  sizes = {"vocab_size": 64} if part == "model" else {}
  config = Config(**{part: module.Config(**sizes, extra=5)})
  saved = configs.to_json(config)
  assert json.loads(saved)[part]["kind"] == "outside"
  assert configs.from_json(saved) == config


def test_an_entry_point_is_imported_when_the_user_names_it(directory):
  (directory / "thing.py").write_text(MIXER)
  _install(directory, "jaxmem.mixers", "outside", "thing")
  assert "outside" not in mixers.names() and "thing" not in sys.modules
  assert pattern.parse("outside") == (entry("outside"),)
  assert mixers.get("outside") is sys.modules["thing"]


def test_a_config_of_an_entry_point_is_saved_with_its_name(directory):
  (directory / "thing.py").write_text(TASK)
  _install(directory, "jaxmem.tasks", "outside", "thing")
  import thing

  assert tasks.kind(thing.Config()) == "outside"


@pytest.mark.parametrize("part", ["kind", "mixer", "module"])
def test_a_saved_run_imports_nothing(directory, part, capsys):
  """Neither an entry point nor a dotted module is imported: the user must name it."""
  trap = "import pathlib\n(pathlib.Path(__file__).parent / 'trap').touch()\n"
  (directory / "thing.py").write_text(trap + (TASK if part == "kind" else MIXER))
  group = "jaxmem.tasks" if part == "kind" else "jaxmem.mixers"
  _install(directory, group, "outside", "thing")
  name = "thing" if part == "module" else "outside"
  plain = json.loads(configs.to_json(Config(LMConfig(0, 8))))
  if part == "kind":
    plain["task"]["kind"] = name
  else:
    plain["model"]["pattern"] = f"gru,{name}"
  meta = directory / "run" / "checkpoints" / "1" / "meta" / "metadata"
  meta.parent.mkdir(parents=True)
  meta.write_text(json.dumps({"config": json.dumps(plain)}))

  with pytest.raises(ConfigError, match="--plugins MODULE.*installed: outside"):
    run_config(directory / "run")
  assert cli.run(["predict", "--workdir", str(directory / "run")]) == 2
  assert f"no {'task' if part == 'kind' else 'memory'} {name!r}" in (
    capsys.readouterr().err
  )
  assert "thing" not in sys.modules and not (directory / "trap").exists()

  if part == "mixer":  # the same run, once the user has named what it needs
    assert (
      cli.run(["predict", "--plugins", name, "--workdir", str(directory / "run")]) == 2
    )
    assert "--plugins" not in capsys.readouterr().err
    assert run_config(directory / "run").model.pattern[1].name == name


@pytest.mark.parametrize(
  "text, says",
  [
    ("x = 1", "the module is no plugin, which defines: a memory Mixer; a model Config"),
    ("1 / 0", "cannot be imported (ZeroDivisionError"),
    ("raise SystemExit(3)", "cannot be imported (SystemExit: 3"),
    ("Mixer = 5", "is no memory: it must define Mixer"),
    ("class Mixer: d_model = 1", "Mixer has no dtype, family, init_state, state_axes"),
    (MODEL.replace("LM)", "object)"), "Model has no objective, example, init_state"),
  ],
)
def test_a_module_that_is_no_plugin_is_refused_by_name(directory, capsys, text, says):
  (directory / "outside.py").write_text(text)
  assert cli.run(["memories", "--plugins=outside"]) == 2
  err = capsys.readouterr().err
  assert says in err and "outside" in err and err.count("\n") == 1


def test_a_plugin_takes_no_name_that_is_taken(directory):
  (directory / "gru.py").write_text(MIXER)
  with pytest.raises(UserError, match="'gru', which jaxmem.mixers.gru is already"):
    kinds.load("gru")


@pytest.mark.parametrize(
  "argv, says",
  [
    (["memories", "--plugins"], "needs the name of a module"),
    (["memories", "--plugins", "nowhere"], "--plugins nowhere: cannot be imported"),
  ],
)
def test_a_plugin_that_cannot_be_found_is_named(argv, says, capsys):
  assert cli.run(argv) == 2
  assert says in capsys.readouterr().err
