"""What a file is, is told by its bytes: text is read, all else is refused by name."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from jaxmem.data import DataError, opened, tables, unpacked

# Breaks at LF, CR LF and CR; U+2028, U+0085, VT and FF are characters.
TEXT = "héllo\r\nwörld\rx\u2028y\x85z\x0b\x0c\n\nlast"
LINES = ["héllo", "wörld", "x\u2028y\x85z\x0b\x0c", "", "last"]


def zipped(**files: bytes) -> bytes:
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w") as archive:
    for name, data in files.items():
      archive.writestr(name.replace("__", "/"), data)
  return content.getvalue()


def tarred() -> bytes:
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w") as archive:
    archive.addfile(tarfile.TarInfo("a.txt"))
    archive.addfile(tarfile.TarInfo("b.txt"))
  return content.getvalue()


def arrays(save, *args, **arrays_by_name) -> bytes:
  content = io.BytesIO()
  save(content, *args, **arrays_by_name)
  return content.getvalue()


def written(tmp_path, content: bytes, name: str = "file.txt"):
  (tmp_path / name).write_bytes(content)
  return tmp_path / name


@pytest.mark.parametrize(
  "pack",
  [
    str.encode,
    lambda text: b"\xef\xbb\xbf" + text.encode(),
    lambda text: gzip.compress(text.encode()),
    lambda text: gzip.compress(text[:3].encode()) + gzip.compress(text[3:].encode()),
    lambda text: lzma.compress(text.encode()),
    lambda text: bz2.compress(text.encode()),
    lambda text: zipped(dir__one=text.encode(), **{".DS_Store": b"\0"}),
    lambda text: text.encode("utf-16"),
    lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    lambda text: text.encode("utf-32"),
    lambda text: gzip.compress(text.encode("utf-16")),
  ],
)
def test_text_is_the_same_however_it_is_packed(tmp_path, pack):
  file = written(tmp_path, pack(TEXT), "named.wrongly")
  content = TEXT.encode()

  with opened.stream(file) as data:
    assert data.read() == content
    data.seek(9)
    assert data.read(5) == content[9:14]
    data.seek(1)
    assert data.read(2) == content[1:3]
    data.seek(0)
    result = list(opened.lines(data))

  assert [line.data.decode() for line in result] == LINES
  assert [content[line.offset :][: line.size].decode() for line in result] == LINES
  assert opened.size(file) == len(content) and opened.text(file) == TEXT
  assert opened.read_at(opened.Member(file), 4, 6) == content[4:10]


@pytest.mark.parametrize(
  ("content", "says"),
  [
    (tarred(), "a tar archive of 2 files .a.txt, b.txt"),
    (gzip.compress(tarred()), "a tar archive of 2 files"),
    (zipped(a=tarred()), "a tar archive in a zip archive"),
    (gzip.compress(gzip.compress(b"a")), "gzip in gzip"),
    (b"\x28\xb5\x2f\xfd" + b"0" * 20, "(cannot read|needs backports.zstd)"),
    (b"\x04\x22\x4d\x18" + b"0" * 20, "LZ4"),
    (b"PAR1\x15\x04\0\0", "Parquet, .*to_json"),
    (b"ARROW1\0\0", "an Arrow file, .*datasets.load_from_disk"),
    (b"\xff\xff\xff\xff\x10\x01\0\0\x10\0", "an Arrow stream"),
    (pickle.dumps({"a": 1}), "a Python pickle"),
    (arrays(np.save, np.ones(3)), "a NumPy array"),
    (arrays(np.savez, a=np.ones(3)), "NumPy arrays .*npz"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
    ((64).to_bytes(8, "little") + b'{"a"', "a safetensors file"),
    (b"%PDF-1.7\n", "a PDF document"),
    (zipped(**{"[Content_Types].xml": b"<a/>"}), "an Office document"),
    (b"\x89PNG\r\n\x1a\n\0", "a PNG image"),
    (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    (zipped(a=b"1", b=b"2"), "a zip archive of 2 files .a, b, "),
    (b"PK\x03\x04damaged", "cannot read .*not a zip file"),
    (gzip.compress(b"some text " * 99)[:-9], "cannot read .*ended before"),
    (lzma.compress(b"some text")[:-9], "cannot read .*ended before"),
    (b"\x1f\x8b\x08\0\0\0\0\0\0\0\xff\xff", "cannot read .*invalid"),
    (b"a\nb\0c", "binary bytes, the first NUL at byte 3"),
    ("some text".encode("utf-16-le"), "looks like utf-16-le without"),
    (b"\xff\xfea\xd8b\0", "is not utf"),
  ],
  ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_text_is_refused_by_name(tmp_path, content, says):
  file = written(tmp_path, content)

  with pytest.raises(DataError, match=says) as raised:
    with opened.stream(file) as data:
      data.read()

  assert "file.txt" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["ORCs are", "ID3 tags", "BZh no", "RIFFS", "Obj", ""])
def test_a_text_that_begins_like_another_format_is_text(tmp_path, text):
  assert opened.text(written(tmp_path, text.encode())) == text


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(unpacked, "_ALWAYS_ALLOWED", 1 << 16)
  few = written(tmp_path, gzip.compress(b"a" * (1 << 15)), "few")
  many = written(tmp_path, gzip.compress(b"a" * (1 << 22)), "many")

  assert opened.size(few) == 1 << 15
  with pytest.raises(DataError, match="many unpacks to more than 200 times its"):
    opened.size(many)


def test_a_line_too_long_is_passed_over(tmp_path, monkeypatch):
  monkeypatch.setattr(opened, "LONGEST", 50)
  monkeypatch.setattr(opened, "BLOCK", 16)
  file = written(tmp_path, b"a" * 40 + b"\r\n" + b"b" * 99 + b"\nc")

  with opened.stream(file) as data:
    result = [(line.number, line.size, line.data) for line in opened.lines(data)]

  assert result == [(1, 40, b"a" * 40), (2, 99, None), (3, 1, b"c")]


def test_bytes_that_no_declared_encoding_has_are_named(tmp_path):
  file = written(tmp_path, "naïve".encode("latin-1"))

  assert opened.text(file, "latin-1") == "naïve"
  with pytest.raises(DataError, match="not UTF-8 at byte 2"):
    opened.text(file)
  for encoding in ("none", "rot13", "base64"):
    with pytest.raises(DataError, match=f"no encoding '{encoding}'"):
      opened.text(file, encoding)


# --- tables


@pytest.mark.parametrize(
  ("name", "content", "header", "rows"),
  [
    # a table with tabs has no quotes
    (
      "t.tsv",
      'text\tlabel\n"good start\tx\nfine\ty\nbad end"\ty\n',
      ("text", "label"),
      [['"good start', "x"], ["fine", "y"], ['bad end"', "y"]],
    ),
    (
      "t.csv",
      'text,label\r\n"a\nb",x\r\n\r\n"say ""hi""",y',
      ("text", "label"),
      [["a\nb", "x"], ['say "hi"', "y"]],
    ),
    ("T.CSV", "a;b\n1,5;2\n2,7;3\n", ("a", "b"), [["1,5", "2"], ["2,7", "3"]]),
    ("t.csv", "a;b,c\n1;2,3\n", ("a;b", "c"), [["1;2", "3"]]),
    ("t.csv", "a\tb\n1,2\t3\n", ("a", "b"), [["1,2", "3"]]),
    ("t", "a|b\n1|2\n", ("a", "b"), [["1", "2"]]),
    ("t.csv", 'text\none\n"two, three"\n', ("text",), [["one"], ["two, three"]]),
    ("t.csv", "2020-01-01,5\r2020-01-02,6\r", None, None),
    ("t.csv", "\ufeffa,b\n1,2\n", ("a", "b"), [["1", "2"]]),
    ("t.csv", f"a,b\n{'x' * 200_000},2\n", ("a", "b"), [["x" * 200_000, "2"]]),
  ],
)
def test_rows_of_tables(tmp_path, name, content, header, rows):
  table = tables.read(written(tmp_path, content.encode(), name), header=None)

  result = [row.cells for row in table.rows if not row.fault]
  assert table.header == header
  assert result == (rows or [["2020-01-01", "5"], ["2020-01-02", "6"]])


def test_faults_of_tables_have_their_line(tmp_path):
  content = b'text,label\n"a\nb",x\nz\nfine,y\n"w" v,c\n\xff,d\ngood,e\n"open,c\nd,e\n'
  rows = list(tables.read(written(tmp_path, content, "t.csv")).rows)

  assert [row.line for row in rows] == [2, 4, 5, 6, 7, 8, 9]
  faults = {row.line: row.fault for row in rows if row.fault}
  assert [*faults] == [4, 6, 7, 9]
  assert "has 1 cells, not the 2 of the header" in faults[4]
  assert "double a quote" in faults[6] and "not UTF-8 at byte 36" in faults[7]
  assert "never closed" in faults[9]
  with pytest.raises(DataError, match="column 'a' twice"):
    tables.read(written(tmp_path, b"a,b,a\n1,2,3\n"))
  with pytest.raises(DataError, match="is empty"):
    tables.read(written(tmp_path, b"\n"))


@pytest.mark.parametrize(
  "cell", ["1_000", "１２", "nan", "inf", "1e999", "", "0x1", "1,5"]
)
def test_what_is_no_number_in_a_table(cell):
  assert tables.number(cell) is None
  assert tables.number(" -1.5e3 ") == -1500.0
