"""`import jaxmem` is light."""

import subprocess
import sys

import pytest

ROOMS = "jaxmem, jaxmem.ops, jaxmem.mixers, jaxmem.models.lm, jaxmem.testing"


@pytest.mark.parametrize(
  "heavy", ["tensorflow", "tensorflow_datasets", "grain", "tyro"]
)
def test_import_does_not_load(heavy):
  code = f"import sys, {ROOMS}; assert {heavy!r} not in sys.modules"
  subprocess.run([sys.executable, "-c", code], check=True)


def test_import_adds_little_to_jax_and_flax():
  """Counted in modules, not seconds: a test of time fails on a busy machine."""
  code = (
    "import sys, jax, flax.linen; before = set(sys.modules); import jaxmem;"
    "print(len(set(sys.modules) - before))"
  )
  out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
  assert int(out.stdout) <= 5
