"""Sources, documents on disk and the token stream: what is read is what was there."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxmem import data, tokenizers
from jaxmem.data import corpora, sources

BYTE = tokenizers.get("byte")


def write_tree(root: Path, **files: bytes) -> str:
  """Files below `root`; `__` in a name stands for a directory."""
  for name, text in files.items():
    path = root / name.replace("__", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
  return str(root)


def contents(documents) -> dict[str, bytes]:
  return {document.name: document.text for document in documents}


@pytest.fixture
def awkward(tmp_path):
  rng = np.random.default_rng(0)
  return write_tree(
    tmp_path / "awkward",
    all_bytes=bytes(range(1, 256)),
    invalid_utf8=b"\xc3(\xff\xfe",
    control=b"\x01",
    late_nul=b"a" * 9000 + b"\0\0\0",
    random=rng.integers(1, 256, 50_000).astype(np.uint8).tobytes(),
    newline=b"\r\n",
  )


# --- tokenizers


def test_byte_tokenizer_is_exact_on_any_bytes():
  text = np.random.default_rng(0).bytes(4096) + bytes(range(256))

  ids = BYTE.encode(text)

  assert ids.dtype == np.int32 and len(ids) == len(text)
  assert BYTE.eos_id not in ids
  assert BYTE.decode(ids) == text
  assert BYTE.decode(np.concatenate([[256], ids[:5], [256], ids[5:], [256]])) == text
  assert BYTE.decode(BYTE.encode(b"")) == b""


def test_byte_tokenizer_refuses_ids_outside_the_vocabulary():
  for bad in (-1, 257):
    with pytest.raises(ValueError, match=f"id {bad} is outside 0 .. 256"):
      BYTE.decode(np.array([7, bad]))


def test_tokenizers_get_names_the_nearest_or_the_known():
  assert isinstance(BYTE, tokenizers.Tokenizer)
  with pytest.raises(ValueError, match="'bytes': did you mean 'byte'"):
    tokenizers.get("bytes")
  with pytest.raises(ValueError, match="known: byte"):
    tokenizers.get("sentencepiece")


# --- sources


def test_sources_name_documents_below_their_root_in_order(tmp_path):
  root = write_tree(tmp_path / "s", b=b"1", a__c=b"2", a__d__e=b"3", x=b"", _h=b"4")
  write_tree(tmp_path / "s", **{".hidden": b"5", ".git__x": b"6"})

  def names(source):
    return [piece.name for piece in sources.find(source)]

  assert names(root) == ["_h", "a/c", "a/d/e", "b"]
  assert names(f"{root}/a/d/e") == ["e"]
  assert names(f"{root}/a/*") == ["c"]
  assert names(f"{root}/**/[ce]") == ["c", "d/e"]


def test_stdlib_parts_groups_near_a_tenth_of_the_bytes():
  parts = sources.split("stdlib")

  sizes = {side: sum(piece.size for piece in parts[side]) for side in parts}
  groups = {side: {piece.group for piece in parts[side]} for side in parts}
  components = {
    part for side in parts for p in parts[side] for part in Path(p.name).parts
  }

  assert 0.05 < sizes["heldout"] / sum(sizes.values()) < 0.11
  assert not groups["train"] & groups["heldout"]
  assert len(groups["heldout"]) > 5
  skipped = {"test", "tests", "site-packages", "dist-packages", "idle_test"}
  assert not components & (skipped | {"__pycache__"})
  assert all(piece.size for side in parts for piece in parts[side])
  assert "dataclasses.py" in components


def test_split_is_by_group_and_skips_groups_too_large(tmp_path):
  files = {f"g{i}__f{j}": b"x" * 10 for i in range(30) for j in range(3)}
  root = write_tree(tmp_path / "s", **files, large__f=b"x" * 500)

  parts = sources.split(root)

  train, heldout = ({piece.group for piece in parts[side]} for side in parts)
  assert not train & heldout and "large" in train
  assert sum(piece.size for piece in parts["heldout"]) == 120  # of 1,400, 30 a group


def test_split_cuts_the_last_tenth_off_a_single_book(tmp_path):
  book = np.random.default_rng(0).integers(1, 256, 1007).astype(np.uint8).tobytes()
  root = write_tree(tmp_path, book=book)

  for source in (f"{root}/book", root):
    parts = sources.split(source)
    assert [piece.read() for piece in parts["train"]] == [book[:-100]]
    assert [piece.read() for piece in parts["heldout"]] == [book[-100:]]


def test_split_cuts_where_every_group_is_too_large(tmp_path):
  root = write_tree(tmp_path, a=b"a" * 30, b=b"b" * 30, c=b"c" * 1, d=b"d" * 4)
  (tmp_path / "c").unlink()

  parts = sources.split(f"{root}/[ab]")

  assert [p.read() for p in parts["train"]] == [b"a" * 30, b"b" * 24]
  assert [p.read() for p in parts["heldout"]] == [b"b" * 6]


def test_heldout_source_replaces_the_rule(tmp_path):
  train = write_tree(tmp_path / "train", a=b"1" * 50, b=b"2" * 50)
  heldout = write_tree(tmp_path / "held", c=b"3")

  corpus = data.prepare(train, f"{heldout}/*", data_dir=tmp_path / "cache")

  assert contents(corpus.train) == {"a": b"1" * 50, "b": b"2" * 50}
  assert contents(corpus.heldout) == {"c": b"3"}


def test_source_mistakes_are_named_with_their_remedy(tmp_path):
  root = write_tree(tmp_path / "s", a__x=b"", b__one=b"1", c__y=b"1", c__z=b"2")
  cases = {
    ("/no/such",): "'/no/such' does not exist: give a file",
    ("",): "'' does not exist",
    (f"{root}/*.txt",): r"\*.txt' matches 0 files",
    (f"{root}/a",): "all 1 files of source .* are empty",
    (f"{root}/b",): "holds 1 byte, too little",
    (root, f"{root}/c"): "2 files stand in both .* first is y",
  }

  for arguments, message in cases.items():
    with pytest.raises(data.DataError, match=message):
      data.prepare(*arguments, data_dir=tmp_path / "cache")

  assert not (tmp_path / "cache").exists()


# --- documents on disk


def test_prepare_keeps_any_bytes_names_and_order(tmp_path, awkward):
  name = os.fsdecode(b"not\xffutf8")
  Path(awkward, name).write_bytes(b"named oddly")
  heldout = write_tree(tmp_path / "held", x=b"\x02")

  corpus = data.prepare(awkward, heldout, data_dir=tmp_path / "cache")

  expected = {p.name: p.read_bytes() for p in Path(awkward).iterdir()}
  assert contents(corpus.train) == expected
  assert [document.name for document in corpus.train] == sorted(expected)
  assert corpus.train[-1] == corpus.train[len(expected) - 1]
  assert contents(corpus.heldout) == {"x": b"\x02"}
  assert corpus.directory == tmp_path / "cache" / corpus.fingerprint


def test_fingerprint_changes_with_bytes_names_and_split(tmp_path):
  root = write_tree(tmp_path / "s", a=b"1" * 20, b=b"2" * 20)
  heldout = write_tree(tmp_path / "held", c=b"3")

  def fingerprint(*arguments):
    return data.prepare(*arguments, data_dir=tmp_path / "cache").fingerprint

  first = fingerprint(root, heldout)
  again = fingerprint(f"{root}/*", heldout)  # the same documents by another road
  swapped = fingerprint(heldout, root)
  Path(root, "a").write_bytes(b"1" * 19 + b"0")
  edited = fingerprint(root, heldout)
  Path(root, "a").rename(Path(root, "A"))
  renamed = fingerprint(root, heldout)

  assert first == again and len(first) == 64
  assert len({first, swapped, edited, renamed}) == 4


def test_prepare_reuses_what_is_there(tmp_path, awkward, monkeypatch):
  first = data.prepare(awkward, data_dir=tmp_path / "cache")
  monkeypatch.setattr(corpora, "_write", lambda *_: pytest.fail("prepared again"))

  second = data.prepare(awkward, data_dir=tmp_path / "cache")

  assert second.directory == first.directory
  assert contents(second.train) == contents(first.train)


def test_prepare_reads_beside_what_an_older_version_left(tmp_path, awkward):
  first = data.prepare(awkward, data_dir=tmp_path / "new")
  old = tmp_path / "old" / first.fingerprint
  write_tree(old, documents__1=b"another layout")

  second = data.prepare(awkward, data_dir=tmp_path / "old")

  assert contents(second.train) == contents(first.train)
  (old / "train.array_record").write_bytes(b"damaged" * 99)
  with pytest.raises(data.DataError, match="train.array_record is damaged.*delete"):
    data.prepare(awkward, data_dir=tmp_path / "old")


def test_prepare_never_reads_what_a_killed_run_left(tmp_path, awkward, monkeypatch):
  from jaxmem.data import arrayrecord

  fingerprint = data.prepare(awkward, data_dir=tmp_path / "other").fingerprint
  cache = tmp_path / "cache"
  write_tree(cache / f"{fingerprint}.0123.tmp" / "documents", half=b"half")

  # A run that dies while it writes leaves nothing under the final name.
  with monkeypatch.context() as patch:
    patch.setattr(
      arrayrecord, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
      data.prepare(awkward, data_dir=cache)
  assert not (cache / fingerprint).exists()

  corpus = data.prepare(awkward, data_dir=cache)

  assert len(corpus.train) + len(corpus.heldout) >= 6


def test_prepare_of_two_at_once_ends_well(tmp_path, awkward, monkeypatch):
  from jaxmem.data import arrayrecord

  write = arrayrecord.write

  def write_as_the_slower(directory, splits):
    write(directory, splits)
    monkeypatch.setattr(arrayrecord, "write", write)
    data.prepare(awkward, data_dir=tmp_path / "cache")  # the faster one, meanwhile

  monkeypatch.setattr(arrayrecord, "write", write_as_the_slower)
  corpus = data.prepare(awkward, data_dir=tmp_path / "cache")

  assert os.listdir(tmp_path / "cache") == [corpus.fingerprint]
  assert len(corpus.train) + len(corpus.heldout) >= 6


def test_prepare_refuses_a_file_that_changes_meanwhile(tmp_path, awkward, monkeypatch):
  reads = iter(range(100))
  monkeypatch.setattr(sources.FileSlice, "read", lambda _: bytes([next(reads)]))

  with pytest.raises(data.DataError, match="changed while it was being read"):
    data.prepare(awkward, data_dir=tmp_path / "cache")

  assert os.listdir(tmp_path / "cache") == []


def test_prepare_names_a_directory_it_cannot_write(tmp_path, awkward):
  write_tree(tmp_path, file=b"in the way")

  with pytest.raises(data.DataError, match="cannot write .* set JAXMEM_DATA_DIR"):
    data.prepare(awkward, data_dir=tmp_path / "file")


def test_prepare_takes_its_directory_from_the_environment(
  tmp_path, awkward, monkeypatch
):
  monkeypatch.setenv("JAXMEM_DATA_DIR", str(tmp_path / "env"))

  assert data.prepare(awkward).directory.parent == tmp_path / "env"


def test_prepare_names_the_missing_extra(tmp_path, awkward, monkeypatch):
  monkeypatch.setitem(sys.modules, "array_record", None)

  with pytest.raises(data.DataError, match=r"array_record.*'jaxmem\[train\]'"):
    data.prepare(awkward, data_dir=tmp_path)


def test_prepare_is_silent_and_never_imports_tensorflow(tmp_path, awkward):
  program = f"""
import sys
from jaxmem import data
heavy = {{"jax", "grain", "tensorflow_datasets", "tensorflow"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
corpus = data.prepare({awkward!r}, data_dir={str(tmp_path / "cache")!r})
stream = data.TokenStream.from_corpus(corpus, data.tokenizers.get("byte"), "train")
with data.batches(data.Lanes(stream, 2, 8, 0)) as batches:
  next(batches)
assert not {{"tensorflow_datasets", "tensorflow"}} & set(sys.modules)
"""
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, env=environment
  )

  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the token stream


def test_stream_is_every_document_after_an_eos(tmp_path, awkward):
  corpus = data.prepare(awkward, data_dir=tmp_path / "cache")

  for split in ("train", "heldout"):
    stream = data.TokenStream.from_corpus(corpus, BYTE, split)
    documents = list(getattr(corpus, split))
    assert stream.names == tuple(document.name for document in documents)
    assert stream.num_documents == len(stream.starts) - 1 == len(documents)
    assert stream.tokens.dtype == np.uint16 and stream.starts.dtype == np.int64
    assert stream.starts[-1] == len(stream.tokens)
    np.testing.assert_array_equal(
      np.flatnonzero(stream.tokens == BYTE.eos_id), stream.starts[:-1]
    )
    for i, document in enumerate(documents):
      ids = stream.tokens[stream.starts[i] : stream.starts[i + 1]]
      assert BYTE.decode(ids) == document.text


class WideTokenizer:
  vocab_size, eos_id, fingerprint = 70_000, 69_999, "wide"

  def encode(self, text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).astype(np.int32) + 69_000

  def decode(self, ids: np.ndarray) -> bytes:
    return (ids[ids != self.eos_id] - 69_000).astype(np.uint8).tobytes()


def test_stream_is_tokenised_once_for_each_tokenizer_and_split(tmp_path, awkward):
  corpus = data.prepare(awkward, data_dir=tmp_path / "cache")
  arguments = [(BYTE, "train"), (BYTE, "heldout"), (WideTokenizer(), "train")]
  streams = [data.TokenStream.from_corpus(corpus, *pair) for pair in arguments]
  files = {path: path.stat().st_mtime_ns for path in corpus.directory.iterdir()}

  again = [data.TokenStream.from_corpus(corpus, *pair) for pair in arguments]

  assert {path: path.stat().st_mtime_ns for path in corpus.directory.iterdir()} == files
  assert {f.name for f in files} >= {
    "tokens-byte-257-train.npy",
    "tokens-wide-train.npy",
  }
  assert not [path for path in files if path.suffix == ".tmp"]
  assert len({stream.fingerprint for stream in streams}) == 3
  assert streams[2].tokens.dtype == np.uint32 and streams[2].tokens[0] == 69_999
  for first, second in zip(streams, again, strict=True):
    assert first.fingerprint == second.fingerprint
    assert isinstance(second.tokens, np.memmap)
    np.testing.assert_array_equal(first.tokens, second.tokens)


def test_stream_names_damaged_files_and_unknown_splits(tmp_path, awkward):
  corpus = data.prepare(awkward, data_dir=tmp_path / "cache")
  data.TokenStream.from_corpus(corpus, BYTE, "train")
  path = corpus.directory / "tokens-byte-257-train.npy"
  content = path.read_bytes()

  with pytest.raises(data.DataError, match="split is 'test': one of train, heldout"):
    data.TokenStream.from_corpus(corpus, BYTE, "test")
  for damage in (b"", content[:50], content[:-2]):
    path.write_bytes(damage)
    with pytest.raises(data.DataError, match="damaged: delete that file"):
      data.TokenStream.from_corpus(corpus, BYTE, "train")
  path.unlink()
  data.TokenStream.from_corpus(corpus, BYTE, "train")

  assert path.read_bytes() == content


def test_stream_of_two_at_once_is_one(tmp_path, awkward):
  corpus = data.prepare(awkward, data_dir=tmp_path / "cache")
  streams = []
  threads = [
    threading.Thread(
      target=lambda: streams.append(data.TokenStream.from_corpus(corpus, BYTE, "train"))
    )
    for _ in range(4)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()

  assert len(streams) == 4
  assert all(np.array_equal(s.tokens, streams[0].tokens) for s in streams)
