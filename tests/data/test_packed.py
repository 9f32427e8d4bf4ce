"""Packed files are read as they are unpacked: bzip2 and Zstandard, archives too."""

import bz2
import io
import sys
import tarfile

import pytest

from jaxmem.data import DataError, documents, opened, records

zstd = pytest.importorskip(
  "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
)
LINES = b'{"text": "one"}\n{"text": "two"}\n'
PACKS = {"bz2": bz2.compress, "zst": zstd.compress}


@pytest.mark.parametrize("pack", PACKS)
def test_records_are_the_same_however_they_are_packed(tmp_path, pack):
  path = tmp_path / f"a.jsonl.{pack}"
  path.write_bytes(PACKS[pack](LINES[:16]) + PACKS[pack](LINES[16:]))  # two frames

  assert [d.read() for d in documents.find(str(path))] == [b"one", b"two"]
  assert [r.fields["text"] for r in records.read(str(path), "")] == ["one", "two"]
  with opened.stream(path) as data:
    assert data.read() == LINES
    data.seek(3)
    assert data.read(4) == LINES[3:7]
  with open(path, "rb") as file, opened.attached(file) as data:
    assert data.read() == LINES


@pytest.mark.parametrize("pack", PACKS)
def test_a_packed_text_is_a_document(tmp_path, pack):
  (tmp_path / "a.txt").write_bytes(PACKS[pack]("höt\n".encode("utf-16") * 9))
  (document,) = documents.find(str(tmp_path / "a.txt"))
  assert document.read().decode().replace("\ufeff", "") == "höt\n" * 9


def test_an_archive_may_be_packed_by_zstandard(tmp_path):
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode="w") as archive:
    for name in ("a.txt", "b.txt"):
      info = tarfile.TarInfo(name)
      info.size = 5
      archive.addfile(info, io.BytesIO(name.encode()))
  (tmp_path / "a.tar.zst").write_bytes(zstd.compress(content.getvalue()))
  found = documents.find(str(tmp_path / "a.tar.zst"))
  assert [d.read() for d in found] == [b"a.txt", b"b.txt"]


@pytest.mark.parametrize(
  "content, says",
  [
    (zstd.compress(LINES * 9)[:-5], "cannot read .*ended before"),
    (zstd.compress(LINES)[:6] + b"\xff" * 20, "cannot read .*fetch or pack it again"),
    (zstd.compress(zstd.compress(LINES)), r"Zstandard \(zstd\) in Zstandard"),
    (zstd.compress(b"a\0b"), "binary bytes"),
  ],
)
def test_damage_is_named(tmp_path, content, says):
  (tmp_path / "a.zst").write_bytes(content)
  with pytest.raises(DataError, match=says):
    opened.text(tmp_path / "a.zst")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
  (tmp_path / "a.zst").write_bytes(zstd.compress(LINES))
  monkeypatch.setitem(sys.modules, "compression.zstd", None)
  monkeypatch.setitem(sys.modules, "backports.zstd", None)
  with pytest.raises(DataError, match=r"needs backports.zstd.*jaxmem\[data\]"):
    opened.text(tmp_path / "a.zst")
