"""The code at hand does what the recorded code did; see `guard`.

The archives were packed by that code, so these tests also say that its checkpoints and
its saved sessions are read. Two of its special cases: a run of text and one of a task
are saved without a kind, and told apart by their source. A third is that of format 1,
in which a window's keys were other ones: `test_checkpoints` has its archive.
"""

import json

import numpy as np
import pytest

from . import observed
from .cases import CASES, SAVED_AT

# Another CPU fuses other operations, which ten steps amplify. The numbers were recorded
# on eight devices; on one they stay within 2e-5 on the same machine. There
# `python -m tests.guard check --against TREE` compares two trees bit by bit.
RELATIVE = 1e-4
NUMBERS = observed.numbers()


@pytest.mark.parametrize("name", CASES)
def test_run_goes_on_from_its_old_checkpoint(name, tmp_path):
  """Its data lie elsewhere now, and every step is as it was."""
  losses, scores, seen = observed.resumed(name, tmp_path)

  assert seen.params == NUMBERS[name]["params"]
  assert seen.restored == NUMBERS[name]["state"]  # bitwise: it is only read
  np.testing.assert_allclose(losses, NUMBERS[name]["losses"], RELATIVE)
  assert scores.keys() == NUMBERS[name]["scores"].keys()
  for step, score in NUMBERS[name]["scores"].items():
    np.testing.assert_allclose(scores[step], score, RELATIVE)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_run_is_the_same_from_its_first_step(name, tmp_path):
  found = observed.whole(name, tmp_path / name)

  np.testing.assert_allclose(found["losses"], NUMBERS[name]["losses"], RELATIVE)


def _saved_config(name, tmp_path):
  """The config of a recorded checkpoint, as it is on disk."""
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


def test_saved_session_goes_on_with_the_same_text(tmp_path):
  workdir = observed.unpacked("text", tmp_path)
  given = "--workdir", str(workdir), "--max-tokens", str(observed.TOKENS)

  begun = observed.generated(*given, "--prompt", observed.PROMPT)
  found = observed.generated(*given, "--load-state", str(observed.SESSION))

  assert begun == NUMBERS["session"]["begun"]
  assert found == NUMBERS["session"]["next"]
