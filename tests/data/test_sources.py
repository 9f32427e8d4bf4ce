"""JSON Lines, TFDS and mixtures; and every awkward byte, exact or named."""

import gzip
import json
import zipfile

import grain
import numpy as np
import pytest

from jaxmem import cli, data, tokenizers
from jaxmem.data import mixture, sources
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tokenizers import sentencepiece
from support import runs

BYTE = tokenizers.get("byte")


@pytest.fixture(scope="module")
def subwords():
  text = "memory state reset lane token forget \n" * 50
  return sentencepiece.train([text], 300)


def contents(documents) -> dict[str, bytes]:
  return {document.name: document.text for document in documents}


def write_lines(path, *objects):
  path.write_text("".join(json.dumps(o) + "\n" for o in objects))
  return str(path)


# --- awkward bytes


def test_bytes_are_exact_for_the_byte_tokenizer_up_to_lines_of_megabytes(tmp_path):
  texts = {
    "bom": b"\xef\xbb\xbfmark",
    "crlf": b"a\r\nb\r",
    "long": b"x" * 5_000_000,
    "mixed": "\u6625 \u0441\u043b\u043e\u0432\u043e \u05d0 \U0001f600".encode(),
    "nul": b"a" * 9000 + b"\0a\0",
  }
  for name, text in texts.items():
    (tmp_path / name).write_bytes(text)
  texts["bom"] = b"mark"  # a byte-order mark is no text
  (tmp_path / "held").mkdir()
  (tmp_path / "held" / "x").write_bytes(b"x")

  corpus = data.prepare(f"{tmp_path}/*", f"{tmp_path}/held")
  stream = data.TokenStream.from_corpus(corpus, BYTE, "train")

  assert contents(corpus.train) == texts
  for i, name in enumerate(stream.names):
    ids = stream.tokens[stream.starts[i] : stream.starts[i + 1]]
    assert BYTE.decode(ids) == texts[name]


def test_what_is_not_utf8_is_named_with_its_offset(tmp_path, subwords):
  (tmp_path / "good").write_text("state " * 9)
  (tmp_path / "bad").write_bytes(b"ab\xff" + b"." * 20)
  tokenizer = sentencepiece.SentencePieceTokenizer(subwords, "x")
  corpus = data.prepare(f"{tmp_path}/bad", f"{tmp_path}/good")

  with pytest.raises(data.DataError, match="document bad is not UTF-8 at byte 2"):
    data.TokenStream.from_corpus(corpus, tokenizer, "train")
  assert not [p for p in corpus.directory.iterdir() if p.suffix in (".tmp", ".npy")]


def test_a_book_is_cut_between_characters(tmp_path):
  book = "\u6625\u7720" * 501
  (tmp_path / "book").write_text(book)

  parts = sources.split(str(tmp_path))

  assert "".join(p.read().decode() for p in parts["train"] + parts["heldout"]) == book


class Broken:
  vocab_size, eos_id, fingerprint = 100, 99, "broken"

  def __init__(self, bad):
    self.bad = bad

  def encode(self, text: bytes) -> np.ndarray:
    return np.array([1, self.bad], np.int32)

  def decode(self, ids: np.ndarray) -> bytes:
    return b""


@pytest.mark.parametrize("bad", [-1, 99, 100])
def test_ids_outside_the_vocabulary_never_reach_a_batch(tmp_path, bad):
  (tmp_path / "a").write_bytes(b"a" * 100)
  corpus = data.prepare(str(tmp_path))

  with pytest.raises(data.DataError, match=f"broken gave id {bad} for a"):
    data.TokenStream.from_corpus(corpus, Broken(bad), "train")


def test_ids_outside_the_vocabulary_on_disk_are_damage(tmp_path):
  (tmp_path / "a").write_bytes(b"a" * 100)
  corpus = data.prepare(str(tmp_path), data_dir=tmp_path / "cache")
  stream = data.TokenStream.from_corpus(corpus, BYTE, "train")
  tokens = np.array(stream.tokens)
  tokens[7] = 999
  np.save(corpus.directory / "tokens-byte-257-train.npy", tokens)

  with pytest.raises(data.DataError, match="damaged"):
    data.TokenStream.from_corpus(corpus, BYTE, "train")


# --- JSON Lines


def test_lines_are_documents(tmp_path):
  objects = [{"text": "one \u00e9"}, {"text": ""}, {"text": "three", "b": "3"}]
  path = write_lines(tmp_path / "d.jsonl", *objects)
  content = (tmp_path / "d.jsonl").read_bytes()
  (tmp_path / "d.jsonl").write_bytes(b"\xef\xbb\xbf" + content + b"\n")
  heldout = write_lines(tmp_path / "h.jsonl", {"body": "held"})

  corpus = data.prepare(path, f"{heldout}#body")

  assert contents(corpus.train) == {
    "d.jsonl:00000001": "one \u00e9".encode(),
    "d.jsonl:00000003": b"three",
  }
  assert contents(corpus.heldout) == {"h.jsonl:00000001": b"held"}


def test_lines_are_parted_by_line(tmp_path):
  path = write_lines(
    tmp_path / "d.jsonl", *[{"text": f"{i:04}" * 5} for i in range(99)]
  )

  parts = sources.split(path)

  assert 5 <= len(parts["heldout"]) <= 9
  assert len(parts["heldout"]) + len(parts["train"]) == 99


@pytest.mark.parametrize(
  ("line", "why"),
  [
    (b'{"text": ', "Expecting value"),
    (b"[1]", "it is no object"),
    (b'{"txt": "a"}', "no field 'text', only txt"),
    (b'{"text": 3}', "is no string"),
    (b'{"text": "\xff"}', "not UTF-8 at byte 24 of the file"),
    (b'{"text": "\\ud800"}', "surrogate"),
    (b"[" * 99_999, "nested too deeply"),
  ],
)
def test_a_bad_line_is_named(tmp_path, line, why):
  (tmp_path / "d.jsonl").write_bytes(b'{"text": "a"}\n' + line + b"\n")

  with pytest.raises(data.DataError, match=f"d.jsonl line 2 is bad: .*{why}"):
    data.prepare(str(tmp_path / "d.jsonl"))


# --- TFDS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """Prepares a dataset as TFDS does, with two features of text and one of a number."""
  import tensorflow_datasets as tfds

  class Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.2.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=n) for n in ("one", "two")]

    def _info(self):
      features = {"text": tfds.features.Text(), "n": tfds.features.Scalar(np.int64)}
      if self.builder_config.name == "two":
        features["title"] = tfds.features.Text()
        features["kind"] = tfds.features.ClassLabel(names=["even", "odd"])
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples(50), "test": self._generate_examples(5)}

    def _generate_examples(self, count):
      for i in range(count):
        example = {"text": f"text {i} \u00e9", "n": i, "title": f"title {i}"}
        example["kind"] = i % 2
        yield i, {key: example[key] for key in self.info.features}

  directory = str(tmp_path_factory.mktemp("tfds"))
  options = tfds.download.DownloadConfig(try_download_gcs=False)
  for name in ("one", "two"):
    builder = Tiny(config=name, data_dir=directory, file_format="array_record")
    builder.download_and_prepare(download_config=options)
  return directory


def test_records_are_documents(prepared, monkeypatch):
  test = f"tfds:tiny/one:1.2.0[test]@{prepared}"
  corpus = data.prepare(f"tfds:tiny/one:1.2.0@{prepared}", test)

  # the first five stand in the split "test" too
  assert {d.text for d in corpus.train} == {
    f"text {i} \u00e9".encode() for i in range(5, 50)
  }
  assert corpus.repeats.left_out == 5
  assert len(corpus.heldout) == 5 and corpus.heldout[0].name == "test:000000000"
  monkeypatch.setenv("TFDS_DATA_DIR", prepared)
  parts = sources.split("tfds:tiny/two#title")
  assert all(p.read().startswith(b"title") for p in parts["train"])
  assert 1 <= len(parts["heldout"]) <= 5


def test_labels_of_a_dataset_are_names(prepared):
  reader = LabelsConfig(label="kind", other="title").reader()
  examples = reader.read(f"tfds:tiny/two:1.2.0[test]@{prepared}")
  assert {(e.texts[1], e.label) for e in examples} == {
    (f"title {i}", ("even", "odd")[i % 2]) for i in range(5)
  }


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("tiny/two", "names no feature; its text features: text, title"),
    ("tiny/one#n", "has no text feature 'n'"),
    ("tiny/one[valid]", "cannot read split 'valid'"),
    ("tiny/one:9.9.9", "cannot open dataset 'tiny/one:9.9.9'"),
    ("nosuchthing", "cannot open dataset 'nosuchthing'.*not found"),
    ("", "is not tfds:NAME"),
  ],
)
def test_dataset_mistakes_are_named(prepared, name, words):
  name, mark, feature = name.partition("#")
  with pytest.raises(data.DataError, match=words):
    sources.find(f"tfds:{name}@{prepared}{mark}{feature}")


def test_old_layout_names_and_failed_downloads(tmp_path, monkeypatch):
  from jaxmem.data import datasets

  def fail(builder):
    raise OSError(f"cannot download {builder.name}")

  monkeypatch.setattr(datasets, "_prepare", fail)
  # "glue" is found only once its module was imported.
  with pytest.raises(data.DataError, match="cannot download glue; check name"):
    sources.find(f"tfds:glue/cola@{tmp_path}")


# --- mixtures

SIZES = ((37, 1, 120, 5, 64, 3, 88, 2, 51), (9, 4, 30), (700,))


def make_stream(weights) -> data.TokenStream:
  """A mixture whose every token is unique, so that a token says where it is from."""
  sizes = [size for part in SIZES for size in part]
  starts = np.cumsum([0] + [size + 1 for size in sizes])
  return data.TokenStream(
    tokens=np.arange(starts[-1], dtype=np.uint16),
    starts=starts.astype(np.int64),
    names=tuple(f"d{i}" for i in range(len(sizes))),
    num_bytes=sum(sizes),
    fingerprint=f"unique {weights}",
    shares=tuple(
      mixture.Share(w, len(s), sum(s)) for w, s in zip(weights, SIZES, strict=True)
    ),
  )


def read(lanes, epochs: int) -> np.ndarray:
  """Reads the tokens of whole epochs, in the order of the mixture."""
  steps, parts = lanes.steps_per_epoch, []
  for epoch in range(epochs):
    batches = [lanes[epoch * steps + i]["tokens"] for i in range(steps)]
    parts.append(np.concatenate(batches, axis=1).ravel())
  return np.concatenate(parts)


@pytest.mark.parametrize("weights", [(0.7, 0.2, 0.1), (0.02, 0.9, 0.08)])
def test_shares_are_the_weights_and_each_epoch_an_exact_cover(weights):
  stream = make_stream(weights)
  tokens = read(data.Lanes(stream, 4, 9, seed=3), epochs=60)

  borders = stream.starts[np.cumsum([0] + [len(part) for part in SIZES])]
  which = np.searchsorted(borders, tokens, side="right") - 1
  shares = np.bincount(which) / len(tokens)
  assert np.abs(shares - weights).max() < 0.02
  orders = set()
  for k, (low, high) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
    component = tokens[which == k]
    epochs = component[: len(component) // (high - low) * (high - low)].reshape(
      -1, high - low
    )
    np.testing.assert_array_equal(
      np.sort(epochs, axis=1), np.broadcast_to(np.arange(low, high), epochs.shape)
    )
    orders |= {tuple(epoch) for epoch in epochs.tolist()} if k == 0 else set()
  assert len(orders) > 1
  # Documents are whole: a token follows its neighbour, or begins a document.
  begins = np.isin(tokens[1:], stream.starts[:-1])
  assert ((np.diff(tokens.astype(int)) == 1) | begins).all()


def test_mixtures_continue_from_step_to_step_at_any_process_count():
  stream = make_stream((0.7, 0.2, 0.1))
  single = data.Lanes(stream, 4, 9, seed=0)

  for step in (0, 7, single.steps_per_epoch, 1000, len(single) - 1):
    fresh = data.Lanes(stream, 4, 9, seed=0)[step]
    for count in (1, 2, 4):
      parts = [data.Lanes(stream, 4, 9, 0, i, count)[step] for i in range(count)]
      for key in fresh:
        joined = np.concatenate([part[key] for part in parts])
        np.testing.assert_array_equal(joined, single[step][key])
        np.testing.assert_array_equal(fresh[key], single[step][key])
  for step in range(single.steps_per_epoch - 1):
    batch, next_batch = single[step], single[step + 1]
    np.testing.assert_array_equal(batch["targets"][:, -1], next_batch["tokens"][:, 0])
    starts = np.isin(next_batch["tokens"], stream.starts[:-1])
    np.testing.assert_array_equal(next_batch["reset"], starts)


def test_mixtures_pass_the_checkpoint_test_of_grain():
  lanes = data.Lanes(make_stream((0.5, 0.25, 0.25)), 4, 8, seed=2)
  options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=3)

  dataset = grain.MapDataset.source(lanes)[:40].to_iter_dataset(options)

  grain.experimental.assert_equal_output_after_checkpoint(dataset)


def test_a_mixture_is_prepared_with_its_weights(tmp_path):
  for name, letter in (("a", "x"), ("b", "y")):
    (tmp_path / name).mkdir()
    for i in range(20):
      (tmp_path / name / f"{i:02}").write_text(f"{letter}{i:02}" * 10)

  def corpus(weight_a, weight_b):
    source = f"mix:{weight_a}*{tmp_path}/a,{weight_b}*{tmp_path}/b"
    return data.prepare(source, data_dir=tmp_path / "cache")

  first, same, other = corpus(7, 3), corpus(0.7, 0.3), corpus(1, 1)

  assert first.fingerprint == same.fingerprint != other.fingerprint
  assert first.directory == other.directory  # of the same documents
  assert [share.weight for share in first.shares] == [0.7, 0.3]
  assert {d.name[:2] for d in first.heldout} == {"0/", "1/"}
  assert sum(share.documents for share in first.shares) == len(first.train)
  stream = data.TokenStream.from_corpus(first, BYTE, "train")
  assert stream.bytes_per_token == pytest.approx(30 / 31)


@pytest.mark.parametrize(
  ("source", "words"),
  [
    ("mix:", "'' in source 'mix:' is not WEIGHT"),
    ("mix:stdlib", "'stdlib' in source"),
    ("mix:0*stdlib", "weight above 0"),
    ("mix:nan*stdlib", "weight above 0"),
    ("mix:1*{0}/a,-1*{0}/b", "weight above 0"),
    ("mix:1*mix:1*stdlib", "mixture in it"),
    ("mix:1*{0}/no", "no' does not exist"),
    ("mix:1*{0},1*{0}/a", "training in one component"),
  ],
)
def test_mixture_mistakes_are_named(tmp_path, source, words):
  (tmp_path / "a").mkdir()
  (tmp_path / "a" / "x").write_text("text " * 20)
  (tmp_path / "b").write_text("text " * 20)

  with pytest.raises(data.DataError, match=words):
    data.prepare(source.format(tmp_path))


def test_a_run_on_a_mixture_resumes_and_refuses_other_data(tmp_path, subwords, capsys):
  first, second = (runs.write_corpus(tmp_path / name, 12) for name in ("one", "two"))
  model = tmp_path / "t.model"
  model.write_bytes(subwords)
  config = runs.write_config(
    tmp_path / "mixed.py",
    "from dataclasses import replace\n"
    f"config = config('mix:0.6*{first},0.4*{second}', eval_bytes=256, model=SMALL)\n"
    f"config = replace(config, task=replace(config.task, tokenizer={str(model)!r}))\n",
  )

  def train(steps):
    flags = ["--workdir", str(tmp_path / "run"), "--steps", str(steps)]
    return cli.run(["train", str(config), *flags])

  assert train(4) == 0 and train(8) == 0
  assert "resumed from step 4" in capsys.readouterr().out
  ledger = (tmp_path / "run" / "ledger.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in ledger] == list(range(8))

  text = "memory state reset lane token forget\n" * 40 + "other words\n" * 40
  model.write_bytes(sentencepiece.train([text], 300))
  assert train(9) == 2
  assert f"the tokenizer {model} is not what step 8" in capsys.readouterr().err
  model.write_bytes(subwords)
  (first / "file00.txt").write_bytes(b"regenerated " * 40)
  assert train(9) == 2
  assert "the data is not what step 8" in capsys.readouterr().err


def test_records_in_a_directory_are_read_as_records(tmp_path, capsys):

  def record(i):
    return json.dumps({"text": f"text {i}"}) + "\n"

  def texts(source):
    return {document.read().decode() for document in sources.find(source)}

  (tmp_path / "a.JSONL").write_text(record(0) + record(1))
  (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress((record(2) + "\n").encode()))
  (tmp_path / "c.json").write_text(json.dumps([{"text": "text 3"}]))
  (tmp_path / "d.txt").write_text("text 4")
  with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
    archive.writestr("f.jsonl", record(5))
  expected = {f"text {i}" for i in range(6)}
  assert texts(str(tmp_path)) == texts(str(tmp_path / "*")) == expected
  assert capsys.readouterr().err == ""

  # without a text they are read whole, which is said once
  (tmp_path / "g.jsonl").write_text('{"body": "x"}\n')
  (tmp_path / "h.json").write_text('{"body": "x"}\n')
  assert texts(str(tmp_path)) == expected | {'{"body": "x"}\n'}
  stderr = capsys.readouterr().err
  assert (
    stderr.count("\n") == 1
    and "1 files of JSON Lines" in stderr
    and "g.jsonl" in stderr
  )
