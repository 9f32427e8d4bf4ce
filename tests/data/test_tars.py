"""Tar archives are read where they lie: as files, as labels, and by key."""

import io
import tarfile

import pytest

from jaxmem.data import DataError, archives, bad_records, documents, opened, records

JPEG = b"\xff\xd8\xff\0\0"


def tar(path, files, pack=""):
  with tarfile.open(path, f"w:{pack}") as archive:
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return path


def shard(count, begin=0):
  files = {}
  for i in range(begin, begin + count):
    files[f"./{i:04}.jpg"] = JPEG
    files[f"./{i:04}.txt"] = f"text {i}".encode()
    files[f"./{i:04}.json"] = b'{"lang": "en", "n": %d}' % i
  return files


@pytest.mark.parametrize("pack", ["", "gz", "xz", "bz2"])
def test_every_file_of_a_plain_archive_is_a_document(tmp_path, pack):
  files = {
    "./books/b.txt": b"bee",
    "books/a.txt": "höt".encode("utf-16"),
    "rows.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "big.txt": b"line\n" * 9999,
    "._hidden": b"\0",
  }
  path = tar(tmp_path / "named.wrongly", files, pack)

  found = {d.name: d.read() for d in documents.find(str(path))}

  assert found.pop("big.txt") == b"line\n" * 9999
  assert found == {
    "books/a.txt": "höt".encode(),
    "books/b.txt": b"bee",
    "rows.jsonl:00000001": b"one",
    "rows.jsonl:00000002": b"two",
  }


@pytest.mark.parametrize("pack", ["", "gz"])
def test_the_files_of_a_key_are_one_record(tmp_path, pack):
  path = tar(tmp_path / "s.tar", shard(30), pack)

  rows = [r.fields for r in records.read(str(path), "")]
  texts = [d.read().decode() for d in documents.find(f"{path}#txt")]
  both = documents.find(f"{path}#{{lang}}: {{txt}}")

  assert rows[7] == {"__key__": "0007", "txt": "text 7", "lang": "en", "n": 7}
  assert texts == [f"text {i}" for i in range(30)]
  assert both[3].read() == b"en: text 3" and both[3].part(4, 4) == b"text"


def test_shards_are_named_by_a_pattern(tmp_path):
  for i in range(2):
    tar(tmp_path / f"s{i}.tar", shard(5, 5 * i))

  found = documents.find(f"{tmp_path}/s*.tar#txt")

  assert [d.name for d in found][4:6] == ["s0.tar/0004", "s1.tar/0005"]
  assert len(list(records.read(f"{tmp_path}/s*.tar", ""))) == 10


def test_folders_of_an_archive_are_labels(tmp_path):
  path = tar(tmp_path / "a.tar", {"pos/1.txt": b"good", "neg/1.txt": b"bad"})
  rows = [r.fields for r in records.read(str(path), "")]
  assert rows == [{"label": "neg", "text": "bad"}, {"label": "pos", "text": "good"}]


def test_an_archive_of_one_file_is_that_file(tmp_path):
  path = tar(tmp_path / "a.tgz", {"d/a.csv": b"text,label\ngood,x\n"}, "gz")
  assert [r.fields for r in records.read(str(path), "")] == [
    {"text": "good", "label": "x"}
  ]
  assert opened.text(path) == "text,label\ngood,x\n"


def test_a_compressed_archive_is_unpacked_once_a_pass(tmp_path, monkeypatch):
  files = {f"{i:04}.txt": bytes([65 + i]) * 30_000 for i in range(9)}
  path = tar(tmp_path / "a.tar", files, "gz")
  places = []
  read = archives._read

  def recorded(path, offset, size, *stamp):
    places.append(offset)
    return read(path, offset, size, *stamp)

  monkeypatch.setattr(archives, "_read", recorded)
  found = documents.find(str(path))
  places.clear()
  archives._beginning.cache_clear()
  assert [d.read() for d in found] == list(files.values())
  assert places == sorted(places)  # never a step back


def test_bad_records_follow_the_policy(tmp_path):
  files = shard(3) | {"./0001.json": b"[1]", "./0002.txt": b"\xffno"}
  path = tar(tmp_path / "s.tar", files)

  with pytest.raises(DataError, match="0001.json is bad: it is no object"):
    documents.find(f"{path}#txt")
  with bad_records.policy("skip") as skipped:
    assert [d.read() for d in documents.find(f"{path}#txt")] == [b"text 0"]
  assert len(skipped) == 2
  with pytest.raises(DataError, match="has no field 'caption', only __key__, lang, n"):
    documents.find(f"{tar(tmp_path / 't.tar', shard(1))}#caption")


def test_damage_is_named(tmp_path):
  path = tar(tmp_path / "a.tar", {"a.txt": b"a" * 5000, "b.txt": b"b"}, "gz")
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(DataError, match="cannot read .*a.tar.*fetch or pack it again"):
    documents.find(str(path))
  with tarfile.open(tmp_path / "empty.tar", "w") as archive:
    archive.addfile(tarfile.TarInfo(".hidden"))
  with pytest.raises(DataError, match="a tar archive without a file"):
    documents.find(str(tmp_path / "empty.tar"))
