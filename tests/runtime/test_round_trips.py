"""More than a thousand awkward strings through every tokenizer and back."""

import functools
import json
import random

import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.data import DataError
from jaxmem.tokenizers import is_exact, trained
from support import awkward

STRINGS = awkward.strings()
ENGLISH = (
  b"The quick brown fox didn't jump over 12 lazy dogs, <s> or </s>?\n\tyes\n" * 20
)
CHINESE = "中文文本没有空格，字与字相连。测试文字文本中文。".encode() * 20
THAI = "สวัสดีครับผมชื่อสมชาย".encode() * 20
AWKWARD = "\n".join(STRINGS).encode()


def byte_pairs():
  from jaxmem.tokenizers import bpe

  letters = bpe.spelling()
  merges = ["t h", "th e", "\u0120 the", "\u0120 a", "\u010a \u010a"]
  pieces = ["<|endoftext|>", "<|im_end|>", *letters]
  pieces += ["".join(merge.split(" ")) for merge in merges]
  return bpe.BytePairTokenizer(pieces, merges, [0, 1], 0, split_digits=True)


def word_pieces():
  import tokenizers as huggingface
  from tokenizers import decoders, models, normalizers, pre_tokenizers

  from jaxmem.tokenizers import wordpiece

  marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
  pieces = [*marks, "the", "a", "##a", "b", "##b", "12", "?", "'", "中", "文", "don"]
  reader = huggingface.Tokenizer(
    models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]")
  )
  reader.normalizer = normalizers.BertNormalizer()
  reader.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  reader.decoder = decoders.WordPiece()
  reader.add_special_tokens(marks)
  return wordpiece.WordPieceTokenizer(reader.to_str().encode(), "tokenizer.json")


# name -> what makes it
MAKERS = {
  "byte": lambda: tokenizers.get("byte"),
  "sp of English": lambda: trained.make("sp:300", [ENGLISH]),
  "sp of Chinese": lambda: trained.make("sp:285", [CHINESE]),
  "sp of Thai": lambda: trained.make("sp:285", [THAI]),
  "sp of one character": lambda: trained.make("sp:262", [b"aaaa" * 99]),
  "sp of all": lambda: trained.make("sp:4000", [AWKWARD]),
  "words of English": lambda: trained.make("words:300", [ENGLISH], exact=True),
  "words of all": lambda: trained.make("words:900", [AWKWARD], exact=True),
  "words of none": lambda: trained.make("words:300", [], exact=True),
  "byte pairs": byte_pairs,
  "lossy words of English": lambda: trained.make("words:300", [ENGLISH]),
  "lossy words of all": lambda: trained.make("words:900", [AWKWARD]),
  "word pieces": word_pieces,
}
LOSSY = {"lossy words of English", "lossy words of all", "word pieces"}


@functools.cache
def tokenizer(name):
  return MAKERS[name]()


def test_there_are_more_than_a_thousand():
  assert len({*STRINGS}) > 1000


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_encoded_comes_back(name):
  codec = tokenizer(name)
  assert isinstance(codec, tokenizers.Tokenizer)
  assert is_exact(codec) == (name not in LOSSY)
  for text in STRINGS:
    ids = codec.encode(text.encode())
    assert ids.dtype == np.int32 and codec.eos_id not in ids
    assert not len(ids) or 0 <= ids.min() <= ids.max() < codec.vocab_size
    back = codec.decode(ids)
    if is_exact(codec):
      assert back == text.encode()
    else:  # what is lost is lost once
      assert codec.decode(codec.encode(back)) == back


@pytest.mark.parametrize("name", [n for n in MAKERS if n not in LOSSY])
def test_texts_end_to_end_come_back(name):
  codec = tokenizer(name)
  ids = codec.encode(AWKWARD)
  assert codec.decode(ids) == AWKWARD
  # generation decodes id by id
  assert b"".join(codec.decode(ids[i : i + 1]) for i in range(2000)) == codec.decode(
    ids[:2000]
  )


@pytest.mark.parametrize("name", MAKERS)
def test_ids_outside_the_vocabulary_are_refused(name):
  codec = tokenizer(name)
  for bad in (-1, codec.vocab_size, 2**31):
    with pytest.raises(ValueError, match=f"id {bad} is outside 0 .. "):
      codec.decode(np.array([bad]))


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_keeps_what_reads_the_same_ids(name, tmp_path):
  codec = tokenizer(name)
  trained.keep(codec, tmp_path)
  files = [*tmp_path.iterdir()]
  assert len(files) == (name != "byte")
  for path in files:
    again = trained.get(str(path))
    assert again.fingerprint == codec.fingerprint
    assert again.vocab_size == codec.vocab_size and again.eos_id == codec.eos_id
    assert again.encode(ENGLISH).tolist() == codec.encode(ENGLISH).tolist()


def test_exact_words_read_any_bytes_and_spell_what_they_do_not_know():
  codec = tokenizer("words of English")
  latin = b"caf\xe9 the \xff\xfe fox \xc3"
  assert codec.decode(codec.encode(latin)) == latin
  assert len(codec.encode(b" fox")) == 1  # with the space before it
  assert len(codec.encode(b" fax")) == 4  # a byte each


@pytest.mark.parametrize(
  "content, says",
  [
    ("{", "is damaged"),
    ("", "is damaged"),
    ("[1, 2]", "no list of words"),
    ('["a", "a"]', "no list of words"),
    ("[" * 100_000, "is damaged"),
    (json.dumps({"jaxmem": "exact words 1"}), "no list of words"),
    (json.dumps({"jaxmem": "byte pairs 1", "parts": [["a"], ["b"], [0], 0, 1]}), "BPE"),
    (json.dumps({"jaxmem": "byte pairs 1", "parts": None}), "BPE"),
    ("{}", "no tokenizer.json"),
    (lambda d: d["model"].update(unk_token="other"), "cannot read every text"),
    (lambda d: d["model"]["vocab"].update(fox=4_000_000_000), "id 4,000,000,000"),
    (lambda d: d["model"].update(vocab=[]), "damaged"),
    (lambda d: d["model"]["vocab"].pop("[SEP]") and d["added_tokens"].pop(3), "SEP"),
    ('"text"', "no tokenizer.json"),
  ],
)
def test_damaged_files_are_named(content, says, tmp_path):
  path = tmp_path / "tokenizer.json"
  if callable(content):
    parts = json.loads(tokenizer("word pieces").kept[1])
    content(parts)
    content = json.dumps(parts)
  path.write_text(content, encoding="utf-8")
  with pytest.raises(DataError, match=says) as caught:
    trained.get(str(path))
  assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["sp of English", "word pieces", "byte pairs"])
def test_cut_or_changed_files_are_one_sentence_or_read(name, tmp_path):
  file, content = tokenizer(name).kept
  path, draw = tmp_path / file, random.Random(0)
  for _ in range(60):
    damaged = bytearray(content)
    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    path.write_bytes(damaged[: draw.choice([None, draw.randrange(len(damaged))])])
    try:
      trained.get(str(path)).encode(ENGLISH)
    except DataError as error:
      assert "\n" not in str(error)
