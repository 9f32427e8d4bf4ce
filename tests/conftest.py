"""What every test stands on: eight CPU devices, strict dtypes, a compilation cache."""

import os
from pathlib import Path

import jax
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# A warm run is several times faster; CI keeps the folder between its own steps.
CACHE = os.environ.get(
  "JAXMEM_TEST_CACHE", str(Path(__file__).parents[1] / ".jax_cache")
)
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def key():
  return jax.random.key(0)


@pytest.fixture(scope="session", autouse=True)
def _data_dir(tmp_path_factory):
  """Prepared data of the tests stays in the tests."""
  os.environ["JAXMEM_DATA_DIR"] = str(tmp_path_factory.getbasetemp() / "data")
