"""Modules by their old names are the new modules, and warn once."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmem
from jaxmem import mixers
from jaxmem.core import renamed

ROOT = Path(jaxmem.__file__).parent
NAMES = renamed.table() | {f"modules.{n}": f"mixers.{n}" for n in mixers.names()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_old_name_is_the_new_module():
  for old, new in NAMES.items():
    module = importlib.import_module(f"jaxmem.{old}")
    assert module is importlib.import_module(f"jaxmem.{new}"), old
    assert module.__name__ == module.__spec__.name == f"jaxmem.{new}", old


def test_no_old_name_hides_a_file():
  for old in renamed.table():
    path = ROOT / old.replace(".", "/")
    assert not path.with_suffix(".py").exists() and not path.exists(), old


def test_an_old_name_warns_once_and_names_the_new_one():
  code = (
    "import warnings\n"
    "with warnings.catch_warnings(record=True) as said:\n"
    "  warnings.simplefilter('always')\n"
    "  from jaxmem.modules import pattern\n"
    "  from jaxmem.jobs import labels\n"
    "  from jaxmem.config import Config\n"
    "  from jaxmem.config import OptimConfig\n"
    "  from jaxmem.train import train\n"
    "  import jaxmem\n"
    "assert jaxmem.train is train and labels.__name__.endswith('classification.task')\n"
    "for each in said: print(each.filename, each.message)\n"
  )
  out = subprocess.run(
    [sys.executable, "-c", code], check=True, capture_output=True, text=True
  )
  lines = out.stdout.splitlines()
  assert all(line.startswith("<string> jaxmem.") for line in lines), lines
  warned = [line.split()[1::3][0] for line in lines]
  assert warned == [
    f"jaxmem.{name}"
    for name in ("modules", "modules.pattern", "jobs", "jobs.labels", "config", "train")
  ]
  assert "jaxmem.config is now jaxmem.training.config" in out.stdout


def test_an_old_program_is_found_as_the_new_one():
  with pytest.warns(DeprecationWarning, match="now jaxmem.finetune.regain"):
    sys.modules.pop("jaxmem.interop.regain", None)
    spec = importlib.util.find_spec("jaxmem.interop.regain")
  code = spec.loader.get_code("jaxmem.interop.regain")
  assert code.co_filename.endswith("finetune/regain.py")


@pytest.mark.parametrize("name", ["jaxmem.nowhere", "jaxmem.modules.nowhere"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_never_existed_is_not_found(name):
  with pytest.raises(ModuleNotFoundError):
    importlib.import_module(name)


def test_the_library_uses_no_old_name():
  old = {f"jaxmem.{name}" for name in renamed.table()}
  for path in ROOT.rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
      names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
      if isinstance(node, ast.ImportFrom):
        names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
      assert not old & set(names), path
