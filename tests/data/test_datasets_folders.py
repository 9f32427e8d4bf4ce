"""Folders that Hugging Face's `datasets` saved are read without that package."""

import json

import pyarrow as pa
import pytest
from pyarrow import ipc

from jaxmem.core import paths
from jaxmem.data import DataError, documents, records


def saved(folder, texts, **state):
  """Writes what `Dataset.save_to_disk` does, two rows a file."""
  folder.mkdir(parents=True)
  names = []
  for i in range(0, len(texts), 2):
    table = pa.table({"text": texts[i : i + 2], "n": [*range(i, i + 2)]})
    names.append(f"data-{i // 2:05}-of-{len(texts) // 2:05}.arrow")
    with ipc.new_stream(str(folder / names[-1]), table.schema) as writer:
      writer.write_table(table)
  files = [{"filename": name} for name in names]
  (folder / "state.json").write_text(json.dumps({"_data_files": files, **state}))
  (folder / "dataset_info.json").write_text("{}")
  return folder


def test_a_saved_dataset_is_read_in_its_order(tmp_path):
  folder = saved(tmp_path / "d", ["a", "b", "c", "d"])

  assert [d.read() for d in documents.find(str(folder))] == [b"a", b"b", b"c", b"d"]
  assert [d.read() for d in documents.find(f"{folder}#<{{text}}>")][0] == b"<a>"
  rows = [r.fields for r in records.read(str(folder), "")]
  assert rows[2] == {"text": "c", "n": 2} and len(rows) == 4


def test_a_source_with_a_field_keeps_its_path(tmp_path, monkeypatch):
  saved(tmp_path / "d", ["a", "b"])
  monkeypatch.chdir(tmp_path)
  assert paths.absolute("d#text") == f"{tmp_path}/d#text"


def test_a_split_of_several_is_named(tmp_path):
  saved(tmp_path / "d" / "train", ["a", "b"])
  saved(tmp_path / "d" / "test", ["c", "d"])
  splits = {"splits": ["train", "test"]}
  (tmp_path / "d" / "dataset_dict.json").write_text(json.dumps(splits))

  for read in (documents.find, lambda source: list(records.read(source, ""))):
    with pytest.raises(DataError, match="splits train, test .*name one as .*d/train"):
      read(f"{tmp_path}/d")
  assert len(documents.find(f"{tmp_path}/d/test")) == 2


@pytest.mark.parametrize(
  "state, says",
  [
    ({"_indices_data_files": [{"filename": "i.arrow"}]}, "flatten_indices"),
    (
      {"_data_files": [{"filename": "../../x.arrow"}]},
      "lacks 1 of its 1 .*'x.arr",
    ),
    ({"_data_files": []}, "lists no _data_files: save"),
  ],
)
def test_what_is_not_whole_is_refused(tmp_path, state, says):
  folder = saved(tmp_path / "d", ["a", "b"], **state)
  with pytest.raises(DataError, match=says):
    documents.find(str(folder))


def test_a_cache_folder_and_damage_are_named(tmp_path):
  folder = saved(tmp_path / "d", ["a", "b"])
  (folder / "state.json").write_text("[")
  with pytest.raises(DataError, match="state.json cannot be read: .*save the dataset"):
    documents.find(str(folder))
  (folder / "state.json").unlink()
  with pytest.raises(DataError, match=r"cache folder .*\*.arrow"):
    documents.find(str(folder))
  assert len(documents.find(f"{folder}/*.arrow#text")) == 2
