"""Every public function that takes a path takes a str as well as a Path."""

import ast
from pathlib import Path

import pytest

import jaxmem
from jaxmem import tokenizers
from jaxmem.core import outputs
from jaxmem.data import jsonl, saved_datasets
from jaxmem.evaluation import predict
from jaxmem.generation import session
from jaxmem.models.lm import LM
from jaxmem.runtime import array_file
from jaxmem.runtime.checkpoint import Checkpoints, read_meta
from jaxmem.runtime.lock import Lock
from jaxmem.runtime.logs import Log
from jaxmem.tasks.retrieval import index
from jaxmem.tokenizers import trained
from jaxmem.training import load
from support import runs

ROOT = Path(jaxmem.__file__).parent
# The modules whose functions users call. Those that draw or report are not: the package
# chooses their paths, as it does those of `Task.keep` and `Predictor`.
PUBLIC = [
  *(ROOT / name for name in ("core", "data", "generation", "interop", "runtime")),
  *(ROOT / name for name in ("testing", "tokenizers")),
  *(ROOT / "training" / f"{name}.py" for name in ("load", "trainer")),
  *(
    ROOT / "evaluation" / f"{name}.py" for name in ("load", "predict", "trained_model")
  ),
  ROOT / "tasks" / "retrieval" / "index.py",
]


def _files():
  for package in PUBLIC:
    yield from sorted(package.rglob("*.py")) if package.is_dir() else [package]


def _functions(tree, inside=""):
  """Maps names to the public functions and constructors of a module."""
  for node in tree.body:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
      yield from _functions(node, f"{node.name}.")
    if isinstance(node, ast.FunctionDef):
      if node.name == "__init__" or not node.name.startswith("_"):
        yield inside + node.name, node


def test_no_public_function_takes_a_path_alone():
  bad = []
  for path in _files():
    for name, function in _functions(ast.parse(path.read_text())):
      for arg in function.args.args + function.args.kwonlyargs:
        annotation = ast.unparse(arg.annotation) if arg.annotation else ""
        if "Path" in annotation and "str" not in annotation:
          bad.append(f"{path.relative_to(ROOT)}: {name}({arg.arg}: {annotation})")
  assert not bad


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"), model=runs.SMALL)


READS = {
  "run_config": load.run_config,
  "load_config": load.load_config,
  "load_run": lambda path: load.load_run(path).step,
  "load_model": lambda path: load.load_model(path).step,
  "jaxmem.load": lambda path: jaxmem.load(path).step,
  "config_of": lambda path: predict.config_of(path, "last"),
  "kept": lambda path: trained.kept("byte", path),
  "kept_name": lambda path: trained.kept_name("byte", path),
}


@pytest.mark.parametrize("name", READS)
def test_a_run_is_read_by_either(run, name):
  assert READS[name](str(run)) == READS[name](run)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_are_written_and_read_by_either(run, kind, tmp_path, monkeypatch):
  assert read_meta(kind(run / "checkpoints")) == read_meta(run / "checkpoints")
  with Checkpoints(kind(run / "checkpoints"), keep=1, read_only=True) as checkpoints:
    assert checkpoints.steps() == [1]
  array_file.write(kind(tmp_path / "a.npz"), {"a": 1}, ())
  assert array_file.read(kind(tmp_path / "a.npz"))[0]["a"] == 1
  with Lock(kind(tmp_path)):
    Log(kind(tmp_path)).close()
  trained.keep(tokenizers.get("byte"), kind(tmp_path))
  outputs.refuse_workdir(kind(tmp_path / "run"), {})
  assert not saved_datasets.is_saved(kind(tmp_path))
  (tmp_path / "a.jsonl").write_text('{"text": "lane"}\n')
  (piece,) = jsonl.find(kind(tmp_path / "a.jsonl"), "a", "text")
  assert piece.read() == b"lane"
  with pytest.raises(jaxmem.UserError, match="no index"):
    index.load(kind(tmp_path / "index"))
  with pytest.raises(session.SessionError, match="no state file"):
    session.load(kind(tmp_path / "none"), LM(runs.SMALL), {}, tokenizers.get("byte"))
  monkeypatch.chdir(run.parent)
  assert load.load_run(kind("run")).step == 1  # relative paths are read, too
