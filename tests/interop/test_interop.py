"""Models that others have trained: the way in, the way out, and what they then say."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.core.errors import UserError
from jaxmem.data import DataError
from jaxmem.interop import measure, smollm

# A vocabulary in the spelling of byte-level BPE: all bytes but one, and some merges.
MERGES = ["a n", "Ġ an", "Ġan d", "1 2", "Ã ©"]
ABSENT = 4


def test_missing_package_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "gguf", None)

  for call in (lambda: smollm.load("x.gguf"), lambda: tokenizers.get("x.gguf")):
    with pytest.raises(UserError, match=r"needs gguf.*pip install 'jaxmem\[interop\]'"):
      call()


@pytest.fixture(scope="module")
def bytepairs():
  return pytest.importorskip(
    "jaxmem.tokenizers.bpe", reason="needs the package tokenizers", exc_type=ImportError
  )


def _pieces(bytepairs):
  spelt = bytepairs.spelling()
  spelt = [c for b, c in enumerate(spelt) if b != ABSENT]
  return ["<|end|>", "<|other|>", *spelt, *(m.replace(" ", "") for m in MERGES)]


@pytest.fixture(scope="module")
def tokenizer(bytepairs):
  pieces = _pieces(bytepairs)
  return bytepairs.BytePairTokenizer(pieces, MERGES, [0, 1], 0, split_digits=True)


@pytest.mark.parametrize(
  "text",
  ["", "an and 12 é\n\n\tand\r\n  ", "<|end|>\0", "\u6625\u7720 \U0001f600\u200b"],
)
def test_byte_pairs_give_the_text_back(tokenizer, text):
  ids = tokenizer.encode(text.encode())

  assert isinstance(tokenizer, tokenizers.Tokenizer)
  assert ids.dtype == np.int32 and not np.isin(ids, [0, 1]).any()
  assert tokenizer.decode(np.r_[0, ids, 1]) == text.encode()


def test_byte_pairs_merge_and_part_digits(tokenizer, bytepairs):
  pieces = _pieces(bytepairs)

  ids = tokenizer.encode("an and 12 é".encode())

  assert [pieces[i] for i in ids] == ["an", "Ġand", "Ġ", "1", "2", "Ġ", "Ã©"]


def test_byte_pairs_refuse_what_they_cannot_spell(tokenizer, bytepairs):
  with pytest.raises(DataError, match="no piece for byte 0x04, at 2"):
    tokenizer.encode(b"ab\x04")
  with pytest.raises(DataError, match="not UTF-8 at byte 1"):
    tokenizer.encode(b"a\xff")
  with pytest.raises(ValueError, match="id -1 is outside"):
    tokenizer.decode(np.array([-1]))
  pieces = _pieces(bytepairs)
  for bad in (
    (pieces, [*MERGES, "z nowhere"], [0], 0),
    (pieces, MERGES, [1], 0),
    ([*pieces, "a"], MERGES, [0], 0),
  ):
    with pytest.raises(DataError, match="the tokenizer is damaged"):
      bytepairs.BytePairTokenizer(*bad, split_digits=False)


def test_byte_pairs_know_their_content(tokenizer, bytepairs):
  same, other = (
    bytepairs.BytePairTokenizer(_pieces(bytepairs), MERGES, [0, 1], 0, digits)
    for digits in (True, False)
  )

  assert same.fingerprint == tokenizer.fingerprint != other.fingerprint


def test_what_is_no_gguf_file_is_refused(tmp_path):
  pytest.importorskip("gguf", reason="needs the package gguf")
  pytest.importorskip("tokenizers", reason="needs the package tokenizers")
  (tmp_path / "a.gguf").write_bytes(b"GGUF and then nothing of the kind" * 4)

  for name, message in {
    "a.gguf": "damaged or no GGUF",
    "b.gguf": "cannot read",
  }.items():
    with pytest.raises(DataError, match=message):
      tokenizers.get(str(tmp_path / name))


@pytest.fixture(scope="module")
def real():
  """Loads SmolLM2-135M itself, for texts of up to 64 tokens."""
  pytest.importorskip("gguf", reason="needs the package gguf")
  pytest.importorskip("tokenizers", reason="needs the package tokenizers")
  try:
    path = smollm.installed()
  except DataError as error:
    pytest.skip(str(error))
  return smollm.load(str(path), capacity=64)


def _likeliest(real, text):
  ids = real.tokenizer.encode(text)[None]
  logits, _ = real.model.apply(
    {"params": real.params}, jnp.asarray(ids), real.model.init_state(1)
  )
  return real.tokenizer.decode(np.asarray(logits[0, -1].argmax()))


@pytest.mark.full
def test_smollm_knows_the_capital_of_france(real):
  assert _likeliest(real, b"The capital of France is") == b" Paris"


@pytest.mark.full
def test_smollm_reads_in_pieces_what_it_reads_at_once(real):
  text = b"Everything a model can use to carry information over time: cells and caches."
  ids = real.tokenizer.encode(text)[None]

  once, pieces = (measure.logits(real, ids, n) for n in (64, 7))

  np.testing.assert_allclose(pieces, once, atol=5e-4)
