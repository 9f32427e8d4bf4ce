"""`import jaxmem` loads little, and its public names have types."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jaxmem
from docs.tools import reference
from jaxmem import layers, mixers
from support import stubs

ROOT = Path(__file__).parents[2]
ROOMS = "jaxmem, jaxmem.ops, jaxmem.mixers, jaxmem.models.lm, jaxmem.testing"


@pytest.mark.parametrize("heavy", ["tensorflow", "tensorflow_datasets", "grain"])
def test_import_does_not_load(heavy):
  code = f"import sys, {ROOMS}; assert {heavy!r} not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)


def test_import_adds_little_to_jax_and_flax():
  """Modules are counted, not seconds, which depend on the load of the machine."""
  code = (
    "import sys, jax, flax.linen; before = set(sys.modules); import jaxmem;"
    "print(len(set(sys.modules) - before))"
  )
  out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
  assert int(out.stdout) <= 5


# What costs tenths of seconds or seconds to import.
HEAVY = {"jax", "flax", "numpy", "optax", "orbax", "jaxtyping", "matplotlib"}


def _loaded(code: str) -> set[str]:
  """The modules that are loaded after some code, in a new process."""
  code += "; import json, sys; print(json.dumps(list(sys.modules)))"
  command = [sys.executable, "-c", code]
  out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
  return set(json.loads(out.splitlines()[-1]))


def test_import_alone_loads_nothing_heavy():
  """Python's own modules are not counted: each version of Python loads others."""
  loaded = _loaded("import jaxmem") - _loaded("pass")
  foreign = {
    name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names
  }
  assert not HEAVY & foreign
  assert len(foreign) < 16, sorted(foreign)


def test_the_list_of_configs_loads_no_jax():
  assert not {"jax", "flax"} & _loaded(
    "from jaxmem import configs; configs.summaries()"
  )


@pytest.mark.parametrize("name", jaxmem.__all__)
def test_every_public_name_is_there_and_listed(name):
  assert getattr(jaxmem, name) is not None and name in dir(jaxmem)


def test_layers_have_the_class_of_every_mixer():
  for name in mixers.names():
    cls = mixers.get(name).Mixer
    assert getattr(layers, cls.__name__) is cls
  with pytest.raises(AttributeError, match="no attribute 'GatedDlta'"):
    layers.GatedDlta  # noqa: B018


def test_stubs_are_current():
  for path, text in stubs.stubs().items():
    assert path.read_text() == text, "run python -m tests.support.layout"


def test_mypy_checks_every_module_of_the_public_face():
  """Those of the public names, and those of the API reference."""
  patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"][
    "files"
  ]
  checked = {path for pattern in patterns for path in ROOT.glob(pattern)}
  names = {target.partition(":")[0] for target in jaxmem._PUBLIC.values()}
  for _, _, things in reference.PAGES.values():
    names |= {thing.removeprefix("jaxmem.") for thing in things}
  for name in names:
    # the reference names modules, and things in them
    path = ROOT / "jaxmem" / name.replace(".", "/")
    places = [path.with_suffix(".py"), path, path.parent.with_suffix(".py")]
    assert any(p in checked or p.parent in checked for p in places), name


def test_the_citation_has_the_version_of_the_package():
  text = (ROOT / "CITATION.cff").read_text()
  assert f"\nversion: {jaxmem.__version__}\n" in text
  for key in ("cff-version", "message", "title", "authors"):  # what the format requires
    assert f"\n{key}:" in f"\n{text}"
