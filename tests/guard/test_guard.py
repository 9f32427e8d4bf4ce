"""The current code computes what the recorded code did; see `guard`.

The archives were written by the recorded code, so these tests also show that its
checkpoints and saved sessions can be read. Two special cases are a run of text and one
of a synthetic task: they were saved without a kind, and their source distinguishes
them. A third is format 1, whose window caches have other keys: `test_checkpoints` has
its archive.
"""

import json

import numpy as np
import pytest

from . import observed
from .cases import CASES, SAVED_AT

# CPUs fuse operations differently, and ten steps amplify the rounding. The numbers were
# recorded on eight devices; on one device of the same machine they agree within 2e-5.
# `python -m tests.guard check --against TREE` compares two trees bit by bit.
RELATIVE = 1e-4
NUMBERS = observed.numbers()


@pytest.mark.parametrize("name", CASES)
def test_run_continues_from_its_old_checkpoint(name, tmp_path):
  """All further steps have the recorded losses, although the data have moved."""
  losses, scores, watch = observed.resumed(name, tmp_path)

  assert watch.params == NUMBERS[name]["params"]
  assert watch.restored == NUMBERS[name]["state"]  # bitwise: it is only read
  np.testing.assert_allclose(losses, NUMBERS[name]["losses"], RELATIVE)
  assert scores.keys() == NUMBERS[name]["scores"].keys()
  for step, score in NUMBERS[name]["scores"].items():
    np.testing.assert_allclose(scores[step], score, RELATIVE)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_run_is_the_same_from_its_first_step(name, tmp_path):
  run = observed.trained(name, tmp_path / name)

  np.testing.assert_allclose(run["losses"], NUMBERS[name]["losses"], RELATIVE)


def _saved_config(name, tmp_path):
  """Returns the config of a recorded checkpoint, as it is on disk."""
  workdir = observed.unpacked(name, tmp_path)
  meta = workdir / "checkpoints" / str(SAVED_AT) / "meta" / "metadata"
  return json.loads(json.loads(meta.read_text())["config"])


@pytest.mark.parametrize("name", CASES)
def test_saved_config_names_its_kinds_except_of_language_models(name, tmp_path):
  config = _saved_config(name, tmp_path)

  source = config["data"]["source"]
  assert source.startswith("task:") == (name == "task")
  if name in ("text", "task"):  # told apart by the source alone
    assert "kind" not in config["data"] and "kind" not in config["model"]
    return
  assert config["data"]["kind"] == name
  model = {
    "dialogue": None,
    "pairs": "encoder_decoder",
    "series": "forecaster",
    "compression": "vae",
  }.get(name, "encoder")
  assert config["model"].get("kind") == model


def test_saved_session_continues_with_the_same_text(tmp_path):
  workdir = observed.unpacked("text", tmp_path)
  arguments = "--workdir", str(workdir), "--max-tokens", str(observed.TOKENS)

  first = observed.generated(*arguments, "--prompt", observed.PROMPT)
  continued = observed.generated(*arguments, "--load-state", str(observed.SESSION))

  assert first == NUMBERS["session"]["begun"]
  assert continued == NUMBERS["session"]["next"]
