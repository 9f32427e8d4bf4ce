"""`-` is standard input, a source like any file."""

import gzip
import io

import pytest

from jaxmem.data import DataError, documents, opened, records, sources, standard_input
from jaxmem.tasks.forecasting import data as series


@pytest.fixture
def pipe(monkeypatch):
  def piped(content: bytes):
    standard_input.copied.cache_clear()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

  yield piped
  standard_input.copied.cache_clear()


def test_a_text_is_a_document_that_is_read_again(pipe):
  pipe(b"some text")
  (document,) = documents.find("-")
  assert (document.name, document.read()) == ("stdin", b"some text")
  assert documents.find("-")[0].part(5, 99) == b"text"
  assert opened.text("-") == "some text"


def test_records_are_found_by_their_field(pipe):
  pipe(gzip.compress(b'{"text": "a", "body": "c"}\n{"text": "b", "body": "d"}\n'))
  assert [d.read() for d in documents.find("-")] == [b"a", b"b"]
  assert [d.read() for d in documents.find("-#body")] == [b"c", b"d"]
  assert [r.fields["body"] for r in records.read("-", "")] == ["c", "d"]
  assert sorted(map(len, sources.split("-").values())) == [1, 1]


def test_tables_are_read(pipe):
  pipe(b"label,text\nx,good\n")
  assert [r.fields for r in records.read("-", "")] == [{"label": "x", "text": "good"}]
  pipe(b"date,a\n2020-01-01,1\n2020-01-02,2\n")
  assert series.read("-").names == ("a",)


def test_a_terminal_and_nothing_are_refused(pipe, monkeypatch):
  pipe(b"")
  with pytest.raises(DataError, match="empty"):
    documents.find("-")
  pipe(b"")
  monkeypatch.setattr("sys.stdin.isatty", lambda: True)
  with pytest.raises(DataError, match="standard input, and nothing is piped into it"):
    documents.find("-")


def test_a_file_of_that_name_is_named_with_its_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "-").write_text("a file")
  assert documents.find("./-")[0].read() == b"a file"
