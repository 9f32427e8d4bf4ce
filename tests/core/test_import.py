"""`import jaxmem` loads little."""

import subprocess
import sys

import pytest

import jaxmem
from jaxmem import layers, mixers

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


def test_import_alone_loads_neither_jax_nor_flax():
  code = "import sys, jaxmem; assert not {'jax', 'flax', 'numpy'} & set(sys.modules)"
  subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", jaxmem.__all__)
def test_every_public_name_is_there_and_listed(name):
  assert getattr(jaxmem, name) is not None and name in dir(jaxmem)


def test_layers_have_the_class_of_every_mixer():
  for name in mixers.names():
    cls = mixers.get(name).Mixer
    assert getattr(layers, cls.__name__) is cls
  with pytest.raises(AttributeError, match="no attribute 'GatedDlta'"):
    layers.GatedDlta  # noqa: B018
