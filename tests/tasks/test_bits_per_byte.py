"""The three ways of reading, on documents whose cost is known."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core import finite
from jaxmem.core.errors import UserError
from jaxmem.tasks.language_modeling import bits_per_byte as bpb
from jaxmem.tokenizers import ByteTokenizer

DOCUMENTS = [
  ("a", bytes(range(40)), True),
  ("b", b"xyz", True),
  ("c", bytes(range(100)) * 2, True),
  ("cut", b"no end", False),
]


def _counting_losses(tokens, targets, state, reset):
  """A model whose loss is how many tokens it has read since the last reset."""
  out = []
  for t in range(tokens.shape[1]):
    state = np.where(reset[:, t], 0, state) + 1
    out.append(state)
  return jnp.asarray(np.stack(out, 1), jnp.float32) * np.log(2), state


@pytest.fixture(scope="module")
def scores():
  return bpb.score(
    _counting_losses,
    lambda rows: np.zeros(rows),
    DOCUMENTS,
    ByteTokenizer(),
    segment=16,
    rows=2,
    length=32,
  )


def test_carried_reads_the_whole_document(scores):
  np.testing.assert_allclose(scores.bits["carried"], scores.position + 1, rtol=1e-6)


def test_reset_reads_the_segment(scores):
  np.testing.assert_allclose(scores.bits["reset"], scores.position % 16 + 1, rtol=1e-6)


def test_re_read_reads_the_segment_before_too(scores):
  before = np.where(scores.position >= 16, 16, 0)
  want = scores.position % 16 + 1 + before
  np.testing.assert_allclose(scores.bits["re-read"], want, rtol=1e-6)


def test_every_byte_and_every_real_end_is_scored_once(scores):
  assert len(scores.position) == sum(len(text) + end for _, text, end in DOCUMENTS)
  assert scores.num_bytes == sum(len(text) for _, text, _ in DOCUMENTS)
  total = sum(n * (n + 1) / 2 for n in (41, 4, 201, 6))
  np.testing.assert_allclose(
    scores.bits_per_byte()["carried"], total / scores.num_bytes, rtol=1e-6
  )


def test_buckets_pair_gain_with_position(scores):
  document = bpb.by_document_position(scores, "reset")
  segment = bpb.by_segment_position(scores, 16, "re-read")

  assert document.count.sum() == len(scores.position)
  np.testing.assert_allclose(
    np.nansum(document.mean * document.count), scores.gain("reset").sum(), rtol=1e-6
  )
  assert segment.count.sum() == (scores.position >= 16).sum()


def test_documents_are_chosen_by_name_alone():
  class Document:
    def __init__(self, name, text):
      self.name, self.text = name, text

  documents = [Document(f"f{i}", bytes(100)) for i in range(20)]

  first = bpb.choose(documents, 450)
  again = bpb.choose(documents[::-1], 450)

  assert first == again
  assert [len(text) for _, text, _ in first] == [100, 100, 100, 100, 50]
  assert [whole for _, _, whole in first] == [True] * 4 + [False]


def test_compressors_count_bits_of_whole_and_files():
  bits = bpb.compressors([b"a" * 1000, b"a" * 1000])
  assert bits["gzip, whole"] < bits["gzip, per file"] < 1
  assert set(bits) == {
    "gzip, whole", "gzip, per file", "xz, whole", "xz, per file",
  }  # fmt: skip


class Text(NamedTuple):
  name: str
  text: bytes


@pytest.mark.parametrize("character", ["a", "é", "字", "𝄞"])
def test_one_character_is_scored_whatever_the_budget(character):
  documents = [Text("empty", b""), Text("short", (character * 3).encode())]
  for size in (1, len(character.encode())):
    assert bpb.choose(documents, size) == [("short", character.encode(), False)]
  with pytest.raises(UserError, match="no text"):
    bpb.choose(documents[:1], 10)


def test_score_that_is_nan_is_a_number_and_a_sentence_and_no_assertion():
  nan = lambda tokens, targets, state, reset: (jnp.full(tokens.shape, jnp.nan), state)
  found = bpb.score(
    nan, np.zeros, DOCUMENTS, ByteTokenizer(), segment=16, rows=2, length=32
  )
  bits = found.bits_per_byte()

  assert all(np.isnan(list(bits.values())))
  assert "Not finite: carried, reset, re-read." in finite.said(bits)[1]
  assert finite.plain(bits) == {"carried": None, "reset": None, "re-read": None}
  assert finite.said({"bits": 1.5, "by_class": [0.5, {"f1": 1}]}) == []
  assert finite.not_finite({"a": [1.0, {"b": np.inf}]}) == ["a.1.b"]
