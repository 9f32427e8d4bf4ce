"""The notebooks: thin, alike at their top, without outputs, ready for a bare runtime.

`.ci/run` executes each of them in small form.
"""

import importlib
import json
import re
import sys
import tomllib
import types
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
NOTEBOOKS = {
  path.stem: json.loads(path.read_text()) for path in (ROOT / "colab").glob("*.ipynb")
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BADGE = (
  "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
  "(https://colab.research.google.com/github/jaxmem/jaxmem/blob/main/colab/{}.ipynb)"
)
# The cells after the title: the settings, then those that all notebooks share.
SETTINGS, SHARED = 1, slice(2, 7)
UPGRADE, INSTALL, DRIVE = 3, 4, 6


def sources(name: str) -> list[str]:
  return ["".join(cell["source"]) for cell in NOTEBOOKS[name]["cells"]]


def code(name: str) -> list[str]:
  cells = NOTEBOOKS[name]["cells"]
  return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def settings(name: str) -> tuple[str, str]:
  return re.fullmatch(r'NAME, EXTRAS = "(\w+)", "([\w,]+)"', sources(name)[1]).groups()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_thin_and_has_no_outputs(name):
  nbformat.validate(nbformat.from_dict(NOTEBOOKS[name]))
  for cell in NOTEBOOKS[name]["cells"]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "code":
      assert cell["outputs"] == [] and cell["execution_count"] is None
      assert len(text.splitlines()) <= 15, text
    elif not text.startswith("# "):
      assert len(re.findall(r"[.?!](?= |$)", text)) <= 3, text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_title_has_the_badge_the_time_and_the_expected_number(name):
  title, badge, shows, time, expected = sources(name)[0].split("\n\n")
  assert title.startswith("# ") and badge == BADGE.format(name) and shows
  assert re.match(r"\*\*Time:\*\* .*\d", time), time
  assert re.match(r"\*\*Expected:\*\* .*\d", expected), expected


def test_the_first_cells_are_alike():
  first, *others = (sources(name)[SHARED] for name in NOTEBOOKS)
  assert all(other == first for other in others)
  for name in NOTEBOOKS:
    stated, extras = settings(name)
    assert stated == name
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_notebook_imports_exists(name):
  text = "\n".join(code(name))
  lines = re.findall(r"^from (jaxmem[\w.]*) import ([\w, ]+)$", text, re.M)
  assert lines or "!jaxmem" in text
  for module, names in lines:
    for attribute in names.split(", "):
      try:
        importlib.import_module(f"{module}.{attribute}")
      except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute)


def run(cells: list[str], **names) -> tuple[dict, list[str]]:
  """Runs cells; returns their names, and the arguments of each call of %pip."""
  calls: list[str] = []

  class Shell:
    def run_line_magic(self, magic: str, line: str) -> None:
      assert magic == "pip"
      calls.append(line.format(**names))  # as IPython does

  names["get_ipython"] = Shell
  for cell in cells:
    exec(TransformerManager().transform_cell(cell), names)
  return names, calls


@pytest.fixture
def runtime(monkeypatch, tmp_path):
  """Returns a function that sets the packages of the runtime, by version."""
  monkeypatch.chdir(tmp_path)

  def install(**versions: str) -> None:
    monkeypatch.setattr(
      "importlib.util.find_spec", lambda name: versions.get(name) and object()
    )
    monkeypatch.setattr("importlib.metadata.version", versions.__getitem__)

  return install


def test_the_runtime_keeps_its_jax(runtime):
  cells = [sources("dialogue")[i] for i in (SETTINGS, UPGRADE, INSTALL)]
  runtime(jax="0.10.2", jaxlib="0.10.2", flax="0.12.8")
  _, calls = run(cells)
  address = "git+https://github.com/jaxmem/jaxmem"
  assert calls == [f'install -q -c kept.txt "jaxmem[train,text] @ {address}"']
  assert Path("kept.txt").read_text() == "jax==0.10.2\njaxlib==0.10.2\nflax==0.12.8"
  runtime(jaxmem="0.2.0")
  assert run(cells)[1] == []


@pytest.mark.parametrize("package", ["jax", "flax"])
def test_a_runtime_that_is_too_old_says_what_to_do(package, runtime):
  bounds = dict(text.split(">=") for text in PROJECT["dependencies"])
  least = bounds[package]
  major, minor = least.split(".")
  old = f"{major}.{int(minor) - 1}.9"
  runtime(**{"jax": "0.99", "jaxlib": "0.99", "flax": "0.99", package: old})
  cells = [sources("dialogue")[i] for i in (SETTINGS, UPGRADE, INSTALL)]
  with pytest.raises(
    SystemExit, match=f"{package} {old} is older than {least}: set UP"
  ):
    run(cells)
  runtime(**{"jax": "0.99", "jaxlib": "0.99", "flax": "0.99", package: least})
  assert len(run(cells)[1]) == 1


@pytest.mark.parametrize(
  "plugin, extra", [("libtpu", "[tpu]"), ("jax_cuda12_plugin", "[cuda12]"), ("x", "")]
)
def test_an_upgrade_takes_the_jax_of_the_device(plugin, extra, runtime):
  runtime(**{plugin: "1"})
  cell = sources("dialogue")[UPGRADE]
  assert run([cell])[1] == []
  cell = cell.replace("UPGRADE = False", "UPGRADE = True")
  assert run([cell])[1] == [f'install -q -U "jax{extra}" flax']


def test_results_go_to_drive_in_colab_and_to_runs_elsewhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv("JAXMEM_STEPS", raising=False)
  cell, mounted = sources("dialogue")[DRIVE], []
  names, _ = run([cell], NAME="dialogue")
  assert (names["WORK"], names["SMALL"]) == (Path("runs/dialogue"), {})
  assert names["WORK"].is_dir()

  colab = types.SimpleNamespace(drive=types.SimpleNamespace(mount=mounted.append))
  monkeypatch.setitem(sys.modules, "google.colab", colab)
  monkeypatch.setenv("JAXMEM_STEPS", "7")
  lock = tmp_path / "drive" / "MyDrive" / "jaxmem" / "dialogue" / "run" / "lock.json"
  lock.parent.mkdir(parents=True)
  lock.write_text("{}")
  names, _ = run([cell.replace("/content", str(tmp_path))], NAME="dialogue")
  assert mounted == [str(tmp_path / "drive")]
  assert names["WORK"] == lock.parents[1] and not lock.exists()
  assert names["SMALL"]["steps"] == 7


def test_the_page_of_the_notebooks_names_each_of_them():
  page = (ROOT / "docs" / "notebooks.md").read_text()
  assert sorted(re.findall(r"blob/main/colab/(\w+)\.ipynb", page)) == sorted(NOTEBOOKS)
