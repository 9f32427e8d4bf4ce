"""Rows with one value of a field are one document."""

import json

import pytest

from jaxmem.data import DataError, bad_records, documents, jsonl, sources

ROWS = [
  {"thread": 7, "text": "fïrst", "by": "a"},
  {"thread": 8, "text": "other", "by": "b"},
  {"thread": 7, "text": "", "by": "b"},
  {"thread": 7, "text": "second", "by": "c"},
  {"thread": "7", "text": "a text, no number", "by": "d"},
]


def written(path, rows):
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_rows_of_a_group_are_joined_in_their_order(tmp_path, name):
  path = tmp_path / name
  path.write_text(json.dumps(ROWS)) if name == "a.json" else written(path, ROWS)

  found = documents.find(f"{path}#:group=thread")

  assert [d.read().decode() for d in found] == [
    "fïrst\nsecond",
    "other",
    "a text, no number",
  ]
  assert [d.name for d in found] == [f"{name}:0000000{i}" for i in (1, 2, 5)]
  (by, *_) = documents.find(f"{path}#{{by}}: {{text}}:group=thread")
  assert by.read().decode() == "a: fïrst\nb: \nc: second"


def test_every_part_of_a_group_is_read_alone(tmp_path):
  rows = [{"g": 0, "text": "é" * (i % 4 + 1)} for i in range(9)]
  (document,) = documents.find(f"{written(tmp_path / 'a.jsonl', rows)}#:group=g")
  whole = "\n".join(row["text"] for row in rows).encode()

  assert document.read() == whole and document.size == len(whole)
  for begin in range(len(whole)):
    for size in (1, 2, 3, 7, 99):
      assert document.part(begin, size) == whole[begin : begin + size]


def test_whole_groups_are_held_out(tmp_path):
  rows = [{"g": i % 40, "text": f"row {i}"} for i in range(400)]
  sides = sources.split(f"{written(tmp_path / 'a.jsonl', rows)}#text:group=g")
  assert sum(map(len, sides.values())) == 40 and len(sides["heldout"]) > 0
  assert all(d.read().count(b"\n") == 9 for side in sides.values() for d in side)


def test_a_cut_document_is_cut_anywhere(tmp_path):
  rows = [{"g": 0, "text": f"row {i}"} for i in range(40)]
  sides = sources.split(f"{written(tmp_path / 'a.jsonl', rows)}#text:group=g")
  train, heldout = (b"".join(d.read() for d in sides[s]) for s in ("train", "heldout"))
  assert (train + heldout).decode() == "\n".join(row["text"] for row in rows)


def test_a_row_without_its_group_is_a_bad_record(tmp_path):
  path = written(tmp_path / "a.jsonl", [*ROWS, {"text": "none"}, {"thread": []}])
  with pytest.raises(DataError, match="line 6 is bad: its field 'thread', which rows"):
    documents.find(f"{path}#text:group=thread")
  with bad_records.policy("skip") as skipped:
    assert len(documents.find(f"{path}#text:group=thread")) == 3
  assert len(skipped) == 2
  with pytest.raises(DataError, match="names no field to group by: write FILE#FIELD:"):
    documents.find(f"{path}#text:group=")


def test_a_source_without_a_group_is_what_it_was(tmp_path):
  path = written(tmp_path / "a.jsonl", ROWS[:2])
  names = [(d.name, d.read().decode()) for d in jsonl.find(path, "a.jsonl", "text")]
  assert names == [("a.jsonl:00000001", "fïrst"), ("a.jsonl:00000002", "other")]
