"""A work directory can be moved: where its paths lead then, and data given again."""

import dataclasses

import pytest

from jaxmem.core import paths
from jaxmem.core.errors import ConfigError
from jaxmem.training import config as configs
from jaxmem.training import workdir
from jaxmem.training.config import Config, DataConfig


@pytest.fixture
def place(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "run").mkdir()
  (tmp_path / "a.model").write_bytes(b"pieces")
  (tmp_path / "text.txt").touch()
  return tmp_path


def _config(**data) -> Config:
  return Config(task=DataConfig(**data))


def test_paths_are_saved_absolute_and_names_as_they_are(place):
  given = _config(source="text.txt", tokenizer="a.model", data_dir="prepared")
  data = workdir.absolute(given).task
  assert data.source == str(place / "text.txt")
  assert data.tokenizer == str(place / "a.model")
  assert data.data_dir == str(place / "prepared")
  assert workdir.absolute(_config()) == _config()


def test_data_inside_the_directory_are_found_where_it_is_now(place):
  inside = place / "run" / "data.jsonl"
  inside.touch()
  config = _config(source=f"mix:1*{inside},1*{place / 'text.txt'}")
  meta = {"config": configs.to_json(config), "workdir": str(place / "run")}
  moved = (place / "run").rename(place / "moved")
  found = workdir.saved_config(meta, moved).task.source
  assert found == f"mix:1*{moved / 'data.jsonl'},1*{place / 'text.txt'}"
  del meta["workdir"]  # as runs of before were saved
  assert workdir.saved_config(meta, moved) == config


def test_what_is_no_more_is_told_from_what_is_another(place):
  assert paths.lost(str(place / "none.txt"))
  assert paths.lost(f"a={place / 'none.txt'},b=x")
  for text in (str(place / "text.txt"), "words:300", "stdlib", "none.txt", ""):
    assert not paths.lost(text)


def test_data_can_be_given_again_by_their_keys(place):
  config = dataclasses.replace(_config(), steps=7)
  other = configs.with_values(config, {"task.source": "b", "task.heldout": "c"})
  assert (other.task.source, other.task.heldout, other.steps) == ("b", "c", 7)
  with pytest.raises(ConfigError, match="task.queries is nothing that this run has"):
    configs.with_values(config, {"task.queries": "x"})
  with pytest.raises(ConfigError, match="task.source is 5"):
    configs.with_values(config, {"task.source": 5})
