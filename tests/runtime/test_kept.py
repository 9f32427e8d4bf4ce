"""A work directory can be moved: where its paths lead then, and data given again."""

import dataclasses

import pytest

from jaxmem.core import paths
from jaxmem.core.errors import ConfigError
from jaxmem.training import config as configs
from jaxmem.training import workdir
from jaxmem.training.config import Config, DataConfig


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "run").mkdir()
  (tmp_path / "a.model").write_bytes(b"pieces")
  (tmp_path / "text.txt").touch()
  return tmp_path


def _config(**data) -> Config:
  return Config(task=DataConfig(**data))


def test_paths_are_saved_absolute_and_names_as_they_are(folder):
  config = _config(source="text.txt", tokenizer="a.model", data_dir="prepared")
  data = workdir.absolute(config).task
  assert data.source == str(folder / "text.txt")
  assert data.tokenizer == str(folder / "a.model")
  assert data.data_dir == str(folder / "prepared")
  assert workdir.absolute(_config()) == _config()


def test_data_inside_the_directory_are_found_where_it_is_now(folder):
  inside = folder / "run" / "data.jsonl"
  inside.touch()
  config = _config(source=f"mix:1*{inside},1*{folder / 'text.txt'}")
  meta = {"config": configs.to_json(config), "workdir": str(folder / "run")}
  moved = (folder / "run").rename(folder / "moved")
  source = workdir.saved_config(meta, moved).task.source
  assert source == f"mix:1*{moved / 'data.jsonl'},1*{folder / 'text.txt'}"
  del meta["workdir"]  # as runs of before were saved
  assert workdir.saved_config(meta, moved) == config


def test_what_is_no_more_is_told_from_what_is_another(folder):
  assert paths.lost(str(folder / "none.txt"))
  assert paths.lost(f"a={folder / 'none.txt'},b=x")
  for text in (str(folder / "text.txt"), "words:300", "stdlib", "none.txt", ""):
    assert not paths.lost(text)


def test_data_can_be_given_again_by_their_keys(folder):
  config = dataclasses.replace(_config(), steps=7)
  other = configs.with_values(config, {"task.source": "b", "task.heldout": "c"})
  assert (other.task.source, other.task.heldout, other.steps) == ("b", "c", 7)
  with pytest.raises(ConfigError, match="task.queries is nothing that this run has"):
    configs.with_values(config, {"task.queries": "x"})
  with pytest.raises(ConfigError, match="task.source is 5"):
    configs.with_values(config, {"task.source": 5})
