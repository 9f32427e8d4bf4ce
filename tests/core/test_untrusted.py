"""Nothing in an untrusted file is run, and no name in it leaves its directory."""

import ast
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jaxmem
from jaxmem import cli
from jaxmem.core.errors import UserError
from jaxmem.generation.session import SessionError, load
from jaxmem.models import pattern
from jaxmem.training.load import load_model
from support import runs

FORBIDDEN = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}


class Bomb:
  """Writes a file when it is unpickled."""

  def __init__(self, path: Path):
    self.path = path

  def __reduce__(self):
    return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
  run = runs.first_checkpoint(tmp_path_factory.mktemp("first"), model=runs.SMALL)
  return load_model(run)


def _load(loaded, path):
  return load(path, loaded.model, loaded.params, loaded.tokenizer)


@pytest.mark.parametrize("name", ["state.pkl", "state.npz", "state.npy"])
def test_pickles_are_refused_and_not_run(loaded, tmp_path, name):
  path, trap = tmp_path / name, tmp_path / "trap"
  content = pickle.dumps(Bomb(trap))
  if name.endswith("npz"):
    with zipfile.ZipFile(path, "w") as file:
      file.writestr("header.npy", content)
  elif name.endswith("npy"):
    np.save(path, np.array([Bomb(trap)], object), allow_pickle=True)
  else:
    path.write_bytes(content)

  with pytest.raises(SessionError, match="no saved state, or damaged"):
    _load(loaded, path)
  assert not trap.exists()


def test_members_with_paths_in_their_names_stay_in_the_file(loaded, tmp_path):
  path = tmp_path / "deep" / "state.npz"
  path.parent.mkdir()
  with zipfile.ZipFile(path, "w") as file:
    for name in ("../escaped.npy", "/tmp/jaxmem-escaped.npy", "header.npy"):
      file.writestr(name, b"\x93NUMPY\x01\x00")
  with pytest.raises(SessionError):
    _load(loaded, path)
  assert [p.name for p in tmp_path.rglob("*")] == ["deep", "state.npz"]
  assert not Path("/tmp/jaxmem-escaped.npy").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "jaxmem.cli"])
def test_memory_names_are_names_and_never_paths(name):
  with pytest.raises(UserError, match="no memory"):
    pattern.parse(name)


@pytest.mark.parametrize("name", ["tfds:../../outside", "tfds:/etc/passwd"])
def test_dataset_names_are_names_and_never_paths(name, tmp_path, capsys):
  path = runs.write_config(tmp_path / "tiny.py", f"config = config({name!r})\n")
  assert cli.run(["train", str(path), "--workdir", str(tmp_path / "run")]) == 2
  assert "Traceback" not in capsys.readouterr().err


def test_options_of_a_pattern_are_values_and_never_code():
  item = pattern.parse("lstm:form=__import__('os').getpid()")[0]
  assert dict(item.options)["form"] == "__import__('os').getpid()"


def test_the_library_never_unpickles():
  """No module that unpickles is imported, and NumPy is called without pickles."""
  for path in Path(jaxmem.__file__).parent.rglob("*.py"):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
      names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
      names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
      assert not FORBIDDEN & {name.split(".")[0] for name in names}, path
      if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        assert node.value.value is False, path
      if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        assert node.func.id not in ("eval", "exec"), path
