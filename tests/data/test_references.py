"""References of a text stand in a list, in several fields, or in several files."""

import json

import pytest

from jaxmem.data import DataError
from jaxmem.tasks.seq2seq import data as pairs
from jaxmem.tasks.seq2seq import metrics


def targets(tmp_path, rows, write):
  path = tmp_path / "pairs.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  return [pair.targets for pair in pairs.read(str(path), ("source", write), "")]


def test_fields_lists_and_files_give_the_same_references(tmp_path):
  fields = [
    {"source": "s", "a": "one", "b": "two", "c": None},
    {"source": "t", "a": "three", "c": "four"},
  ]
  lists = [
    {"source": "s", "a": ["one", "two", ""]},
    {"source": "t", "a": ["three", "four"]},
  ]
  files = {"src": "s\nt\n", "a": "one\nthree\n", "b": "two\n\n", "c": "\nfour\n"}
  for name, content in files.items():
    (tmp_path / name).write_text(content)
  names = ",".join(str(tmp_path / name) for name in files)

  expected = [("one", "two"), ("three", "four")]
  assert targets(tmp_path, fields, "a, b,c") == expected
  assert targets(tmp_path, lists, "a") == expected
  assert [p.targets for p in pairs.read(names, ("", ""), "")] == expected


def test_a_field_may_hold_several_beside_another(tmp_path):
  rows = [{"source": "s", "a": "one", "b": ["two", "three"]}]
  assert targets(tmp_path, rows, "a,b") == [("one", "two", "three")]


def test_a_name_with_a_comma_and_a_template_are_what_they_were(tmp_path):
  rows = [{"source": "s", "a,b": "one", "a": "x", "b": "y"}]
  assert targets(tmp_path, rows, "a,b") == [("one",)]
  assert targets(tmp_path, rows, "{a}, {b}") == [("x, y",)]
  assert pairs.references("{a}, {b}") == ["{a}, {b}"]


@pytest.mark.parametrize(
  "rows, says",
  [
    ([{"source": "s", "b": "two"}], "line 1 has no field 'a', only source, b"),
    ([{"source": "s", "a": "one"}], "no record .* has the field 'b', which task.write"),
    ([{"source": "s", "a": "one", "b": 3}], "field 'b' is 3, which is no text"),
    ([{"source": "s", "a": " ", "b": "two"}], "field 'a' is empty"),
  ],
)
def test_what_is_missing_is_named(tmp_path, rows, says):
  with pytest.raises(DataError, match=says):
    targets(tmp_path, rows, "a,b")


def test_files_of_unlike_length_are_named(tmp_path):
  for name, content in {"a": "s\nt\n", "b": "x\ny\n", "c": "x\n"}.items():
    (tmp_path / name).write_text(content)
  with pytest.raises(DataError, match="a has 2 lines and .*c 1: line n of one"):
    pairs.read(",".join(str(tmp_path / name) for name in "abc"), ("", ""), "")


def test_every_reference_counts_in_the_metric():
  written, several = ["the cat sat on the mat"], [["a cat", "the cat sat on the mat"]]
  assert metrics.numbers("bleu", written, several, "en")["bleu"] == pytest.approx(100)
  assert metrics.numbers("rouge", written, several, "en")["rouge1"] == 100
