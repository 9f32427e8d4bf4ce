"""SentencePiece tokenizers: exact, deterministic, and refused where they are not."""

import codecs
import gzip
import io
import sys

import numpy as np
import pytest

from jaxmem import cli, data, tokenizers
from jaxmem.core import utf8
from jaxmem.core.errors import NotUTF8
from jaxmem.data import DataError
from jaxmem.tokenizers import sentencepiece as sentencepieces
from jaxmem.tokenizers import trained

TEXT = "the quick brown fox jumps over the lazy dog\n\n  def f(x):\n\treturn x\r\n" * 40
AWKWARD = [
  "",
  "\0a\0\0",
  "\ufeffwith a mark",
  "a\r\nb\rc\n\n\n",
  "  two  spaces and a tab\t ",
  "\u2581 spaced \u2581\u2581",
  "<s></s><unk><0x41>\u2047\u2585",
  "\u6625\u7720\u4e0d\u89c9 \u0633\u0644\u0627\u0645 \U0001f600\u200b \ufb01\u212b",
]


@pytest.fixture(scope="module")
def model():
  return sentencepieces.train([TEXT], 320)


@pytest.fixture(scope="module")
def tokenizer(model):
  return sentencepieces.SentencePieceTokenizer(model, "x.model")


@pytest.mark.parametrize("text", AWKWARD)
def test_round_trip_is_exact(tokenizer, text):
  ids = tokenizer.encode(text.encode())

  assert isinstance(tokenizer, tokenizers.Tokenizer)
  assert ids.dtype == np.int32 and tokenizer.eos_id not in ids
  assert tokenizer.decode(np.r_[2, ids, 2]) == text.encode()


def test_round_trip_is_exact_on_random_characters_and_long_lines(tokenizer):
  draw = np.random.default_rng(0)
  points = draw.integers(0, 0x10FFFF, 20_000)
  text = "".join(chr(p) for p in points if not 0xD800 <= p < 0xE000)
  for each in (text, "the quick " * 60_000):  # the second longer than a chunk
    assert tokenizer.decode(tokenizer.encode(each.encode())) == each.encode()


def test_ids_outside_the_vocabulary_are_refused(tokenizer):
  for bad in (-1, 320):
    with pytest.raises(ValueError, match=f"id {bad} is outside 0 .. 319"):
      tokenizer.decode(np.array([5, bad]))


def test_what_is_not_utf8_is_refused_with_its_offset(tokenizer):
  with pytest.raises(NotUTF8, match="not UTF-8 at byte 5") as caught:
    tokenizer.encode(b"fine \xff")
  assert caught.value.offset == 5


def test_fingerprint_is_of_the_content(model, tokenizer, tmp_path):
  (tmp_path / "a.model").write_bytes(model)
  again = tokenizers.get(str(tmp_path / "a.model"))
  other = sentencepieces.SentencePieceTokenizer(sentencepieces.train([TEXT], 321), "y")

  assert again.fingerprint == tokenizer.fingerprint != other.fingerprint


def test_models_that_lose_text_or_are_damaged_are_refused(model, tmp_path):
  import sentencepiece

  lossy = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([TEXT]), model_writer=lossy, vocab_size=36, minloglevel=4
  )
  for content, words in {
    lossy.getvalue(): "does not give back",
    b"": "damaged",
    b"no model": "damaged",
    model[:-100]: "damaged",
  }.items():
    (tmp_path / "bad.model").write_bytes(content)
    with pytest.raises(data.DataError, match=f"bad.model {words}|bad.model is {words}"):
      tokenizers.get(str(tmp_path / "bad.model"))
  with pytest.raises(data.DataError, match="cannot read tokenizer no.model"):
    tokenizers.get("no.model")


def test_missing_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "sentencepiece", None)
  with pytest.raises(data.DataError, match=r"jaxmem\[text\]"):
    tokenizers.get("x.model")


def test_training_names_the_vocabulary_that_is_possible():
  with pytest.raises(data.DataError, match="vocab_size 90000 .* at most [0-9]+"):
    sentencepieces.train([TEXT], 90_000)
  with pytest.raises(data.DataError, match="vocab_size 100 .* at least [0-9]+"):
    sentencepieces.train([TEXT], 100)
  with pytest.raises(data.DataError, match="no text"):
    sentencepieces.train([""], 300)


def test_training_reads_long_lines_whole():
  # Cut, not left out: the rare character at its end is a piece.
  line = "long line " * 5_000 + "\u6625"
  model = sentencepieces.train([TEXT, line], 320)
  tokenizer = sentencepieces.SentencePieceTokenizer(model, "x")

  assert len(tokenizer.encode("\u6625".encode())) == 1
  cut = list(sentencepieces._lines([line]))
  assert "".join(cut) == line and all(len(c.encode()) < 4096 for c in cut)


def test_borders_are_between_characters():
  text = "a\u00e9\u4e2d\U0001f600".encode()
  assert [utf8.border(text, at) for at in range(11)] == [
    0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10,
  ]  # fmt: skip
  assert utf8.border(b"\x80\x80\x80", 2) == 2
  wholes = [utf8.whole(text[:at]) for at in range(11)]
  assert wholes == [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10]
  assert utf8.whole(b"\x80\x80\x80\x80") == 4


def test_a_line_longer_than_a_piece_is_read_whole(tokenizer, tmp_path):
  from jaxmem.data import sources
  from jaxmem.tasks.language_modeling import reader

  # a byte before, so that no piece ends with a character
  for head in ("", "a", "ab"):
    text = head + "\u4e2d\u6587" * 40_000
    (tmp_path / "t.txt").write_bytes(text.encode())
    pieces = sources.find(str(tmp_path / "t.txt"))
    row = reader.Reader(pieces, tokenizer).lanes[0]
    tokens = row.fill(400_000)[1]
    end = int(np.argmax(tokens == tokenizer.eos_id))
    assert tokenizer.decode(tokens[:end]) == text.encode()


def test_command_trains_encodes_and_decodes(tmp_path, capsys):
  (tmp_path / "t.txt").write_text(TEXT + AWKWARD[-1], newline="")
  path = {name: str(tmp_path / name) for name in ("a.model", "b.model", "ids", "back")}
  source = str(tmp_path / "t.txt")
  for name in ("a.model", "b.model"):
    flags = ["--out", path[name], "--vocab-size", "300"]
    assert cli.run(["tokenizer", "train", source, *flags]) == 0
  encode = ["tokenizer", "encode", path["a.model"], source, "--out", path["ids"]]
  decode = ["tokenizer", "decode", path["a.model"], path["ids"], "--out", path["back"]]

  assert cli.run(encode) == cli.run(decode) == 0
  assert (tmp_path / "back").read_bytes() == (tmp_path / "t.txt").read_bytes()
  assert (tmp_path / "a.model").read_bytes() == (tmp_path / "b.model").read_bytes()
  capsys.readouterr()
  (tmp_path / "latin").write_bytes(b"caf\xe9 au lait, caf\xe9 noir")
  (tmp_path / "words").write_text("1 two")
  for argv, words in {
    ("train", source, "--out", "x"): "does not end in .model",
    ("train", source, "--out", path["ids"] + ".model", "--vocab-size", "9"): "at least",
    ("train", str(tmp_path / "latin"), "--out", "x.model"): "latin",
    ("encode", path["a.model"], str(tmp_path / "latin")): "not UTF-8 at byte 3",
    ("decode", path["a.model"], str(tmp_path / "words")): "'two'",
    ("decode", "bite", source): "did you mean 'byte'",
  }.items():
    assert cli.run(["tokenizer", *argv]) == 2
    assert words in capsys.readouterr().err


def test_command_trains_on_what_has_no_spaces_and_on_a_part_of_one_book(
  tmp_path, capsys
):
  text = "".join(chr(0x4E00 + i * i % 200) for i in range(5_000))
  (tmp_path / "zh.txt").write_text(text, encoding="utf-8")
  source, model = str(tmp_path / "zh.txt"), str(tmp_path / "zh.model")
  # the one document is larger than the part
  flags = ["--out", model, "--vocab-size", "320", "--max-bytes", "3001"]
  assert cli.run(["tokenizer", "train", source, *flags]) == 0
  assert "320 pieces from 3,000 of 13,500 bytes" in capsys.readouterr().out
  tokenizer = tokenizers.get(model)
  mixed = f"{text[:9]} and \u2581 spaces\n".encode()
  assert tokenizer.decode(tokenizer.encode(mixed)) == mixed


@pytest.mark.parametrize(
  "argv, says",
  [
    (
      ("train", "x", "--out", "x.model", "--vocab-size", "0"),
      "--vocab-size is 0: it must be",
    ),
    (
      ("train", "x", "--out", "x.model", "--max-bytes", "-1"),
      "--max-bytes is -1: it must be",
    ),
    (("encode", "sp:300"), "made by a run"),
    (("decode", "byte", "1_0 2"), "'1_0' is no number"),
    (("decode", "byte", "-1"), "id -1 is outside"),
    (("decode", "byte", "9" * 30), f"id {'9' * 30} is outside"),
  ],
)
def test_command_refuses_in_one_sentence(argv, says, tmp_path, capsys):
  if argv[0] == "decode":
    (tmp_path / "ids").write_text(argv[-1])
    argv = (*argv[:-1], str(tmp_path / "ids"))
  assert cli.run(["tokenizer", *argv]) == 2
  assert says in capsys.readouterr().err


def test_training_text_that_sentencepiece_would_leave_out_is_read():
  # lines with its signs for a space and for an unknown piece
  model = sentencepieces.train(["\u6625\u2585\u6625\u6625\u2581\u6625" * 9], 263)
  tokenizer = sentencepieces.SentencePieceTokenizer(model, "x")
  assert len(tokenizer.encode("\u6625\u6625".encode())) == 1


def test_characters_without_room_are_spelled_in_bytes():
  frequent = "\u4e00\u4e8c\u4e09" * 20_000
  rare = "".join(chr(0x5000 + i) for i in range(20))
  tokenizer = sentencepieces.SentencePieceTokenizer(
    sentencepieces.train([frequent, rare], 270), "x"
  )
  assert len(tokenizer.encode("\u4e00".encode())) == 1
  assert len(tokenizer.encode(rare.encode())) == 60
  assert tokenizer.decode(tokenizer.encode(rare.encode())) == rare.encode()


def test_what_may_be_at_most_can_be_had():
  for text in ("aaaa" * 100, "<s>" * 100, "\u4e2d\u6587" * 40, "a\tb\0c" * 10):
    with pytest.raises(data.DataError, match="at most") as caught:
      sentencepieces.train([text], 50_000)
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    model = sentencepieces.train([text], most)
    tokenizer = sentencepieces.SentencePieceTokenizer(model, "x")
    assert tokenizer.vocab_size == most
    assert tokenizer.decode(tokenizer.encode(text.encode())) == text.encode()


@pytest.mark.parametrize("ids", [(-1, 3, -1), (-1, -1, 0), (-1, -1, -1), (5, 1, 2)])
def test_models_of_others_need_no_beginning_of_sentence(ids):
  import sentencepiece

  bos, eos, pad = ids
  model = io.BytesIO()
  options = sentencepieces._OPTIONS | {
    "unk_id": 4, "bos_id": bos, "eos_id": eos, "pad_id": pad
  }  # fmt: skip
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter([TEXT]),
    model_writer=model,
    vocab_size=300,
    **options,
  )
  tokenizer = sentencepieces.SentencePieceTokenizer(model.getvalue(), "x")
  eos_id = next((i for i in ids if i >= 0), 300)
  assert tokenizer.eos_id == eos_id
  assert tokenizer.vocab_size == max(300, eos_id + 1)
  assert eos_id not in tokenizer.encode(TEXT.encode())
  ids = np.r_[eos_id, tokenizer.encode(TEXT.encode()), eos_id]
  assert tokenizer.decode(ids) == TEXT.encode()


def test_commands_read_files_as_training_does(tmp_path, capsys, monkeypatch):
  text = "caf\u00e9 au lait\r\n"
  ids = " ".join(map(str, text.encode()))
  files = {
    "plain": text.encode(),
    "marked": codecs.BOM_UTF8 + text.encode(),
    "packed": gzip.compress(text.encode()),
    "wide": codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
  }
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
    assert cli.run(["tokenizer", "encode", "byte", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == f"{ids}\n"
  # as some shells write it
  (tmp_path / "ids").write_bytes(codecs.BOM_UTF16_LE + ids.encode("utf-16-le"))
  back = ["decode", "byte", str(tmp_path / "ids"), "--out", str(tmp_path / "back")]
  assert cli.run(["tokenizer", *back]) == 0
  assert (tmp_path / "back").read_bytes() == text.encode()
  (tmp_path / "table").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
  (tmp_path / "numbers").write_text("9" * 5000)
  for action, name, says in (
    ("encode", "table", "is Parquet"),
    ("decode", "numbers", "is no number"),
  ):
    assert cli.run(["tokenizer", action, "byte", str(tmp_path / name)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
  "name", ["sp:" + "9" * 5000, "words:\u00b2", "words:\u0663\u0660\u0660"]
)
def test_numbers_that_are_none_are_named(name):
  with pytest.raises(ValueError, match="is not (sp|words):N with N of at least"):
    trained.size(name)


def test_text_of_control_characters_alone_is_no_text_to_learn():
  with pytest.raises(DataError, match="no text to train a tokenizer on"):
    trained.make("sp:300", [b"\0\0\0"])
  with pytest.raises(DataError, match="cannot read tokenizer"):
    tokenizers.get("\0.model")
