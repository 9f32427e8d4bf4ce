"""Tokenizers of foreign folders: the ids and the texts of transformers."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.generation import text_stream
from jaxmem.tokenizers import folder, trained

FOLDERS = Path(__file__).parent / "folders"
NAMES = sorted(path.name for path in FOLDERS.iterdir())
# Name -> EOS, what stands before a text, what ends a text that is drawn.
SPECIAL = {
  "bert": (3, 2, (3,)),
  "gemma": (2, 1, (2,)),
  "gpt2": (0, 0, (0,)),  # one token parts documents
  "llama2": (2, 1, (2,)),
  "llama3": (504, 500, (504, 501)),  # that of a turn and that of a document
  "mistral": (2, 1, (2,)),
  "qwen": (502, None, (502,)),
  "t5": (1, None, (1,)),
}


class Answers:
  """What transformers answered, see `make_folders.answers`."""

  def __init__(self, name):
    arrays = np.load(FOLDERS / name / "answers.npz")
    self.strings = json.loads(arrays["strings"].tobytes())
    self.around = arrays["around"].tolist()
    self.ids, self.texts = {}, {}
    for kind in ("plain", "control"):
      borders = np.cumsum(arrays[f"{kind} sizes"].astype(int))[:-1]
      self.ids[kind] = np.split(arrays[f"{kind} ids"], borders)
      changed = json.loads(arrays[f"{kind} texts"].tobytes())
      self.texts[kind] = [changed.get(str(i), s) for i, s in enumerate(self.strings)]


@pytest.fixture(scope="module", params=NAMES)
def case(request):
  name = request.param
  return name, folder.load(FOLDERS / name), Answers(name)


@pytest.mark.parametrize("kind", ["plain", "control"])
def test_ids_and_texts_are_those_of_transformers(case, kind):
  name, tokenizer, answers = case
  special = {*tokenizer.special.values()} - {getattr(tokenizer, "unk_id", None)}
  assert len(answers.strings) > 1000
  for text, ids, back in zip(
    answers.strings, answers.ids[kind], answers.texts[kind], strict=True
  ):
    ours = tokenizer.encode(text.encode(), control=kind == "control").tolist()
    if kind == "plain" and special & {*ids.tolist()}:
      # a unigram model finds its special tokens in text; here a text spells none
      assert name == "t5" and not special & {*ours}, text
    else:
      assert ours == ids.tolist(), text
    assert tokenizer.decode(ids).decode() == back, text


def test_special_ids_are_those_of_the_files(case):
  name, tokenizer, answers = case
  eos, start, ends = SPECIAL[name]
  assert isinstance(tokenizer, tokenizers.Tokenizer)
  assert (tokenizer.eos_id, tokenizers.start_id(tokenizer)) == (eos, start)
  assert tokenizers.end_ids(tokenizer) == ends
  if name != "gpt2":  # whose own tokenizer adds nothing
    assert (answers.around[0] == start) == (start is not None)
  assert hasattr(tokenizer, "mask_id") == (name == "bert")


def test_exact_says_whether_text_comes_back(case):
  _, tokenizer, answers = case
  same = [
    t.encode() == tokenizer.decode(tokenizer.encode(t.encode()))
    for t in answers.strings
  ]
  assert tokenizers.is_exact(tokenizer) == all(same)


def test_what_is_not_utf8_is_refused_with_its_offset(case):
  _, tokenizer, _ = case
  for each in (tokenizer, tokenizers.continuation(tokenizer)):
    with pytest.raises(NotUTF8) as caught:
      each.encode(b"fine \xff")
    assert caught.value.offset == 5
  for bad in (-1, tokenizer.vocab_size):
    with pytest.raises(ValueError, match="is outside"):
      tokenizer.decode(np.array([bad]))


def test_the_exact_form_gives_back_all_text_and_has_the_same_ids(case, tmp_path):
  name, tokenizer, answers = case
  form = tokenizers.exact_form(tokenizer)
  assert (form is None) == (name in ("bert", "t5"))
  if form is None:
    with pytest.raises(ValueError, match="loses text"):
      trained.make(str(FOLDERS / name), [], exact=True)
    return
  for text, ids in zip(answers.strings, answers.ids["plain"], strict=True):
    ours = form.encode(text.encode())
    assert form.decode(ours).decode() == text
    if tokenizer.decode(ids).decode() == text:
      assert ours.tolist() == ids.tolist(), text
  made = trained.make(str(FOLDERS / name), [], exact=True)
  trained.keep(made, tmp_path)
  kept = trained.kept(str(FOLDERS / name), tmp_path)
  assert tokenizers.is_exact(kept) and kept.fingerprint == form.fingerprint


@pytest.mark.parametrize("kind", ["plain", "control"])
def test_streamed_pieces_are_the_text_and_split_no_character(case, kind):
  _, tokenizer, answers = case
  for text, ids in zip(answers.strings, answers.ids[kind], strict=True):
    decoder = tokenizers.Decoder(tokenizer)
    pieces = [decoder.feed(ids[i : i + 1]) for i in range(len(ids))]
    assert b"".join(pieces) == tokenizer.decode(ids), text
    # as `TextStream.write` yields them
    shown = [*text_stream._decoded(iter(pieces))]
    assert "".join(shown) == tokenizer.decode(ids).decode(), text
    assert "\ufffd" in tokenizer.decode(ids).decode() or "\ufffd" not in "".join(shown)


def test_what_continues_a_text_has_no_space_of_its_own(case):
  name, tokenizer, _ = case
  more = tokenizers.continuation(tokenizer)
  for first, second in ((b"def main", b" and then"), (b"a word", b"s of it")):
    ids = np.r_[tokenizer.encode(first), more.encode(second)]
    # words are all that these two know of text: a part begins with a word of its own
    space = b" " if name in ("bert", "t5") and not second.startswith(b" ") else b""
    assert tokenizer.decode(ids) == first + space + second


def test_a_run_keeps_the_tokenizer_of_a_folder(case, tmp_path):
  name, tokenizer, answers = case
  path = shutil.copytree(FOLDERS / name, tmp_path / name)
  first = trained.make(str(path), [])
  trained.keep(first, tmp_path)
  shutil.rmtree(path)
  again = trained.kept(str(path), tmp_path)
  assert again.fingerprint == first.fingerprint == tokenizer.fingerprint
  assert (again.vocab_size, again.end_ids) == (first.vocab_size, first.end_ids)
  for text in answers.strings[::50]:
    assert again.encode(text.encode()).tolist() == first.encode(text.encode()).tolist()


def _gguf(name):
  """The metadata of a GGUF file with the tokenizer of a folder."""
  import sentencepiece

  key, metadata = "tokenizer.ggml.", {}
  if name == "llama2":
    path = str(FOLDERS / name / "tokenizer.model")
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    ids = range(model.vocab_size())
    metadata |= {key + "model": "llama", key + "scores": [*map(model.get_score, ids)]}
    metadata[key + "tokens"] = [*map(model.id_to_piece, ids)]
    kinds = {0: 2, 1: 3, 2: 3}
    metadata[key + "token_type"] = [
      kinds.get(i, 6 if model.is_byte(i) else 1) for i in ids
    ]
    return metadata | {key + f"{r}_token_id": i for r, i in (("bos", 1), ("eos", 2))}
  config = json.loads((FOLDERS / name / "tokenizer.json").read_text())
  vocab = config["model"]["vocab"]
  added = {t["content"]: t for t in config["added_tokens"]}
  metadata[key + "tokens"] = [*vocab, *added]
  metadata[key + "token_type"] = [1] * len(vocab) + [
    3 if token["special"] else 4 for token in added.values()
  ]
  cut = {"llama3": "llama-bpe", "qwen": "qwen2"}[name]
  metadata[key + "merges"] = [" ".join(pair) for pair in config["model"]["merges"]]
  metadata |= {key + "model": "gpt2", key + "pre": cut}
  if name == "llama3":
    metadata[key + "bos_token_id"], metadata[key + "eot_token_id"] = 500, 501
  ends = {"llama3": 504, "qwen": 502}
  return metadata | {key + "eos_token_id": ends[name]}


@pytest.mark.parametrize("name", ["llama2", "llama3", "qwen"])
def test_the_tokenizer_of_a_gguf_file_is_that_of_a_folder(name):
  from jaxmem.tokenizers import gguf_file

  metadata = _gguf(name) | {"tokenizer.chat_template": "{{ messages[0].content }}!"}
  tokenizer = gguf_file.tokenizer(metadata, "m.gguf")
  # the older form of Llama 2 is that of GGUF
  answers = Answers("mistral" if name == "llama2" else name)
  for text, ids in zip(answers.strings, answers.ids["plain"], strict=True):
    assert tokenizer.encode(text.encode()).tolist() == ids.tolist(), text
    assert tokenizer.decode(ids) == folder_of(name).decode(ids)
  assert (tokenizer.eos_id, tokenizer.start_id, tokenizer.end_ids) == SPECIAL[name]
  template = tokenizer.chat_template()
  assert template.render([{"role": "user", "content": "x"}]) == "x!"
  for key in metadata:
    if key.startswith("tokenizer.ggml.") and not key.endswith("_id"):
      damaged = {k: v for k, v in metadata.items() if k != key}
      with pytest.raises(DataError, match="m.gguf"):
        gguf_file.tokenizer(damaged, "m.gguf")


@functools.cache
def folder_of(name):
  return folder.load(FOLDERS / name)


@pytest.mark.parametrize(
  "files, says",
  [
    ({}, "has no tokenizer: no tokenizer.json, tokenizer.model"),
    ({"tokenizer.json": "{"}, "tokenizer.json is damaged or no tokenizer.json"),
    ({"tokenizer.json": b"\xff"}, "not UTF-8 at byte 0"),
    ({"tokenizer.model": b""}, "is empty|is damaged"),
    ({"tokenizer.model": b"no model"}, "damaged or no SentencePiece model"),
    ({"vocab.txt": "a\nb\n"}, "names no token that ends a text"),
    ({"vocab.json": "[]", "merges.txt": ""}, "holds no JSON object"),
    ({"vocab.txt": "[SEP]\n", "tokenizer_config.json": "{"}, "is not JSON"),
    (
      {"vocab.txt": "[SEP]\n", "generation_config.json": '{"eos_token_id": [true]}'},
      "no id",
    ),
    (
      {"vocab.txt": "[SEP]\n", "added_tokens.json": '{"x": "y"}'},
      "adds a piece .* with the id 'y'",
    ),
    (
      {
        "vocab.json": '{"a": 0}',
        "merges.txt": "",
        "tokenizer_config.json": '{"tokenizer_class": "Qwen2Tokenizer"}',
      },
      "Qwen2Tokenizer, which splits text in a way that only a tokenizer.json says",
    ),
    (
      {
        "tokenizer.model": b"x",
        "tokenizer_config.json": '{"tokenizer_class": "XLMRo"}',
      },
      "XLMRo, whose ids are not those of the model",
    ),
  ],
)
def test_a_folder_that_cannot_be_read_is_refused(files, says, tmp_path):
  for name, content in files.items():
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
  with pytest.raises(DataError, match=says):
    tokenizers.get(str(tmp_path))
  with pytest.raises(ValueError, match="no tokenizer|no folder"):
    tokenizers.get(str(tmp_path / "missing"))


def test_a_tokenizer_json_that_is_not_of_a_known_kind_is_refused(tmp_path):
  config = json.loads((FOLDERS / "qwen" / "tokenizer.json").read_text())
  for key, value, says in (
    ("decoder", None, "decodes by nothing"),
    ("decoder", {"type": "BPEDecoder", "suffix": "</w>"}, "decodes by BPEDecoder"),
    ("model", {"type": "None"}, "is damaged"),
  ):
    text = json.dumps(config | {key: value})
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(DataError, match=says):
      folder.load(tmp_path)
  kept = {"jaxmem": "folder 1", "parts": {"kind": "tokenizer.json"}}
  (tmp_path / "tokenizer.json").write_text(json.dumps(kept))
  with pytest.raises(DataError, match="tokenizer.json is damaged"):
    trained.get(str(tmp_path / "tokenizer.json"))
