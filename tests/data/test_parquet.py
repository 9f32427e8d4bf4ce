"""Parquet and Arrow are read as records and as documents, a batch at a time."""

import json
import sys

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from jaxmem.data import DataError, bad_records, columnar, documents, records, sources

ROWS = 2500
TABLE = pa.table(
  {
    "title": [f"T{i}" for i in range(ROWS)],
    "text": [f"row {i} é" for i in range(ROWS)],
    "label": [i % 3 - 1 for i in range(ROWS)],
  }
)


def _parquet(path, table):
  parquet.write_table(table, path, row_group_size=1100)


def _arrow(path, table):
  with ipc.new_file(str(path), table.schema) as writer:
    writer.write_table(table, max_chunksize=300)


def _stream(path, table):
  with ipc.new_stream(str(path), table.schema) as writer:
    writer.write_table(table, max_chunksize=300)


FORMS = {"a.parquet": _parquet, "a.arrow": _arrow, "a.feather": _stream}


@pytest.mark.parametrize("name", FORMS)
def test_rows_are_the_documents_of_the_same_json_lines(tmp_path, name):
  FORMS[name](tmp_path / name, TABLE)
  lines = "".join(json.dumps(row) + "\n" for row in TABLE.to_pylist())
  (tmp_path / "a.jsonl").write_text(lines)

  for field in ("", "#{title}: {text}"):
    expected = [d.read() for d in documents.find(f"{tmp_path}/a.jsonl{field}")]
    assert [d.read() for d in documents.find(f"{tmp_path}/{name}{field}")] == expected
  assert [r.fields for r in records.read(f"{tmp_path}/{name}", "")] == TABLE.to_pylist()


@pytest.mark.parametrize("name", FORMS)
def test_a_row_is_read_at_any_place(tmp_path, name):
  FORMS[name](tmp_path / name, TABLE)
  rows = documents.find(f"{tmp_path}/{name}")

  for i in (2499, 0, 1100, 1099, 7, 2200):
    assert rows[i].read() == f"row {i} é".encode()
    assert rows[i].part(4, 2) == f"row {i} é".encode()[4:6]


def test_the_name_of_a_file_says_nothing(tmp_path):
  _parquet(tmp_path / "wrong.txt", TABLE)
  assert len(documents.find(f"{tmp_path}/wrong.txt")) == ROWS
  assert len(documents.find(str(tmp_path))) == ROWS  # in a directory, too


def test_a_pattern_names_shards_in_their_order(tmp_path):
  for i in range(3):
    _parquet(tmp_path / f"train-{i}.parquet", TABLE.slice(i * 10, 10))

  for read in (
    [d.read().decode() for d in documents.find(f"{tmp_path}/train-*.parquet#text")],
    [r.fields["text"] for r in records.read(f"{tmp_path}/train-*.parquet", "")],
  ):
    assert read == TABLE["text"].to_pylist()[:30]


def test_class_labels_are_read_as_names(tmp_path):
  feature = {"_type": "ClassLabel", "names": ["bad", "good"]}
  info = json.dumps({"info": {"features": {"label": feature}}})
  _stream(tmp_path / "a.arrow", TABLE.replace_schema_metadata({"huggingface": info}))

  labels = [r.fields["label"] for r in records.read(f"{tmp_path}/a.arrow", "")]

  assert labels[:3] == ["", "bad", "good"]  # -1 is no label


def test_one_batch_is_decoded_at_a_time(tmp_path, monkeypatch):
  monkeypatch.setattr(columnar, "_ROWS", 10)
  _parquet(tmp_path / "a.parquet", TABLE)
  sizes = []
  batches = columnar._Table.batches

  def counted(self, unit, columns):
    for batch in batches(self, unit, columns):
      sizes.append((batch.num_rows, batch.schema.names))
      yield batch

  monkeypatch.setattr(columnar._Table, "batches", counted)
  assert len(documents.find(f"{tmp_path}/a.parquet")) == ROWS
  assert max(rows for rows, _ in sizes) == 10
  assert {tuple(names) for _, names in sizes} == {("text",)}  # no other column is read


def test_bad_rows_follow_the_policy(tmp_path, capsys):
  wrong = pa.array([b"fine", b"\xff\xfe", None, b"last"]).cast(pa.binary())
  text = pa.StringArray.from_buffers(4, *wrong.buffers()[1:], wrong.buffers()[0])
  _stream(tmp_path / "a.arrow", pa.table({"text": text}))
  source = f"{tmp_path}/a.arrow"

  with pytest.raises(DataError, match="a.arrow row 2 is bad: it is not UTF-8"):
    documents.find(source)
  with bad_records.policy("skip") as skipped:
    assert [d.read() for d in documents.find(source)] == [b"fine", b"last"]
  assert [place[-5:] for place in skipped] == ["row 2", "row 3"]
  assert "2 bad records skipped, 2 read" in capsys.readouterr().err


def test_what_is_wrong_is_said_with_its_remedy(tmp_path, monkeypatch):
  _parquet(tmp_path / "a.parquet", TABLE)
  with pytest.raises(DataError, match="no column 'body', only title, text, label"):
    documents.find(f"{tmp_path}/a.parquet#body")
  content = (tmp_path / "a.parquet").read_bytes()
  (tmp_path / "cut.parquet").write_bytes(content[:999])
  with pytest.raises(DataError, match="cut.parquet is Parquet and cannot be read: .*"):
    documents.find(f"{tmp_path}/cut.parquet")
  monkeypatch.setitem(sys.modules, "pyarrow", None)
  with pytest.raises(DataError, match=r"needs pyarrow.*pip install 'jaxmem\[data\]'"):
    documents.find(f"{tmp_path}/a.parquet")


def test_a_split_shares_no_row(tmp_path):
  table = pa.table({"text": [f"row {i % 60}" for i in range(80)]})  # 20 stand twice
  _parquet(tmp_path / "a.parquet", table)

  sides = sources.split(f"{tmp_path}/a.parquet")

  train, heldout = ({d.read() for d in sides[s]} for s in ("train", "heldout"))
  assert train and heldout and not train & heldout
