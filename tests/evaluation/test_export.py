"""`jaxmem export`: models as folders that transformers loads."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from interop.make_folders import FOLDERS
from jaxmem import cli
from jaxmem.interop import pretrained
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.load import load_run
from support import gguf_files, runs

safetensors = pytest.importorskip("safetensors.numpy")

# A Llama as one trains it here: no field of the config sets it apart.
LLAMA = LMConfig(
  vocab_size=0,
  d_model=16,
  d_ff=32,
  pattern=(entry("attention", capacity=64, num_kv_heads=2),),
  embedding_scale=1.0,
  dtype="auto",
)


def test_a_folder_is_written_from_a_run(tmp_path, capsys):
  run = runs.first_checkpoint(tmp_path / "run", model=LLAMA)

  assert cli.run(["export", "--workdir", str(run), "--out", str(tmp_path / "a")]) == 0

  assert "llama, " in capsys.readouterr().out
  loaded = load_run(run)
  config, params = pretrained.read(tmp_path / "a")
  # a folder names the options that the entry leaves to the layer
  own = loaded.config.model
  assert dataclasses.replace(config, pattern=own.pattern) == own
  assert jax.tree.all(jax.tree.map(np.array_equal, params, loaded.params))
  # the folder in bfloat16, from the folder
  argv = ["export", "--model", str(tmp_path / "a"), "--out", str(tmp_path / "b")]
  assert cli.run([*argv, "--dtype", "bfloat16"]) == 0
  settings = json.loads((tmp_path / "b" / "config.json").read_text())
  assert settings["dtype"] == "bfloat16" and settings["model_type"] == "llama"
  halved, _ = pretrained.read(tmp_path / "b", dtype="bfloat16")
  assert halved == dataclasses.replace(config, dtype="bfloat16")


def test_a_file_becomes_the_folder_that_it_was_made_of(tmp_path):
  pytest.importorskip("gguf", reason="needs the package gguf")
  path = gguf_files.write(tmp_path / "a.gguf", "llama")

  assert cli.run(["export", "--model", str(path), "--out", str(tmp_path / "out")]) == 0

  before, after = (
    safetensors.load_file(folder / "model.safetensors")
    for folder in (FOLDERS / "llama", tmp_path / "out")
  )
  assert before.keys() == after.keys()
  assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.fixture(scope="module")
def gru(tmp_path_factory):
  return runs.first_checkpoint(tmp_path_factory.mktemp("gru"), model=runs.SMALL)


@pytest.mark.parametrize(
  "flags, message",
  [
    ([], "none of the .* that can be written: --type NAME says what sets it apart"),
    (["--type", "llama"], "embedding_scale is 0.0, and 1.0 in every llama"),
    (["--type", "lama"], "no model type 'lama'"),
    (["--workdir", "nowhere"], "no checkpoint of a run in nowhere"),
    (["--out", ""], "--out is missing: give a directory"),
  ],
)
def test_what_transformers_has_no_class_for_is_refused(
  gru, tmp_path, capsys, flags, message
):
  argv = ["export", "--workdir", str(gru), "--out", str(tmp_path / "out"), *flags]

  assert cli.run(argv) == 2

  err = capsys.readouterr().err
  assert re.search(message, err), err
