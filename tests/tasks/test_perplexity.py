"""The three ways of reading, on documents whose cost is counted by hand."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core import finite
from jaxmem.core.errors import UserError
from jaxmem.data import excerpts
from jaxmem.data.excerpts import Excerpt
from jaxmem.tasks import baselines
from jaxmem.tasks.language_modeling import perplexity, reader
from jaxmem.tasks.language_modeling.perplexity import WAYS, TextScorer
from jaxmem.tokenizers import ByteTokenizer

DOCUMENTS = [
  Excerpt("a", bytes(range(40)), True),
  Excerpt("b", b"xyz", True),
  Excerpt("c", bytes(range(100)) * 2, True),
  Excerpt("cut", b"no end", False),
]
SEGMENT = 16
# The positions of the tokens of each document.
POSITION = [np.arange(d.size + d.whole) for d in DOCUMENTS]


def _losses(tokens, targets, state, reset):
  """A model whose loss is how many tokens it has read since the last reset."""
  out = []
  for t in range(tokens.shape[1]):
    state = np.where(reset[:, t], 0, state) + 1
    out.append(state)
  return jnp.asarray(np.stack(out, 1), jnp.float32) * np.log(2), state


def _scored(losses=_losses, documents=DOCUMENTS, rows=2):
  scorer = TextScorer(
    losses,
    np.zeros,
    documents,
    ByteTokenizer(),
    rows=rows,
    length=32,
    ways=WAYS,
    segment=SEGMENT,
    by_segment=True,
  )
  return scorer.read()


@pytest.fixture(scope="module")
def result():
  return _scored()


def _cost(way, position):
  """Returns how many tokens since the last reset, itself included, a token reads."""
  if way == "carried":
    return position + 1
  within = position % SEGMENT + 1
  return within + np.where((way == "re-read") & (position >= SEGMENT), SEGMENT, 0)


@pytest.mark.parametrize("way", WAYS)
def test_way_reads_the_document_the_segment_or_the_one_before_too(result, way):
  position = np.concatenate(POSITION)
  bucket = np.where(position < 128, 0, 1)
  expected = np.bincount(bucket, _cost(way, position))

  np.testing.assert_allclose(result.sums.bits[way][:2], expected, rtol=1e-6)
  assert not result.sums.bits[way][2:].any()


def test_each_byte_and_each_real_end_is_scored_once(result):
  assert result.num_tokens == sum(map(len, POSITION))
  assert result.num_bytes == sum(d.size for d in DOCUMENTS)
  assert result.num_documents == len(DOCUMENTS)
  total = sum(n * (n + 1) / 2 for n in (41, 4, 201, 6))
  np.testing.assert_allclose(
    result.bits_per_byte()["carried"], total / result.num_bytes, rtol=1e-6
  )


def test_cut_document_is_followed_by_the_next_ones_first_token():
  """Its last token is no input, and later documents of the lane are not shifted."""
  cut = [Excerpt("a", b"abc", False), Excerpt("b", b"xy", True)]
  lane = reader.Reader(cut, ByteTokenizer()).lanes[0]
  parts = [lane.fill(3), lane.fill(4)]

  tokens, targets, reset, position = map(np.concatenate, zip(*parts, strict=True))
  assert tokens[:6].tolist() == [256, *b"ab", 256, *b"xy"]
  assert targets[:6].tolist() == [*b"abc", *b"xy", 256]
  assert position.tolist() == [0, 1, 2, 0, 1, 2, -1]
  assert np.flatnonzero(reset[:6]).tolist() == [0, 3]


def test_buckets_pair_gain_with_position(result):
  document = result.gain_by_document_position("reset")
  segment = result.gain_by_segment_position("re-read")
  position = np.concatenate(POSITION)
  gain = _cost("reset", position) - _cost("carried", position)

  assert document.count.sum() == len(position)
  np.testing.assert_allclose(
    np.nansum(document.mean * document.count), gain.sum(), rtol=1e-6
  )
  first = gain[position < 128]
  np.testing.assert_allclose(document.error[0], first.std() / len(first) ** 0.5, 1e-6)
  assert document.edges.tolist() == [0, 128, 256]
  assert segment.count.sum() == (position >= SEGMENT).sum()
  inside = (position >= SEGMENT) & (position % SEGMENT == 3)
  gain_by_reread = _cost("re-read", position) - _cost("carried", position)
  np.testing.assert_allclose(segment.mean[3], gain_by_reread[inside].mean(), rtol=1e-6)
  assert segment.edges.tolist() == list(range(SEGMENT + 1))


def test_lanes_do_not_depend_on_the_order_of_the_documents():
  """The longest go first, to the lane with the fewest bytes; one lane keeps order."""
  documents = [Excerpt(f"{i}", b"x" * (1 + i % 5), True) for i in range(20)]

  dealt = reader.deal(documents, 3)

  assert dealt == reader.deal(documents[::-1], 3)
  sizes = [sum(d.size for d in lane) for lane in dealt]
  assert max(sizes) - min(sizes) <= 2 and sum(map(len, dealt)) == 20
  assert all(lane[0].size >= lane[-1].size for lane in dealt)
  assert reader.deal(documents, 1) == [documents]


def test_documents_are_chosen_by_name_alone():
  documents = [Text(f"f{i}", bytes(100)) for i in range(20)]

  first = excerpts.choose(documents, 450)
  from_reversed = excerpts.choose(documents[::-1], 450)

  assert first == from_reversed
  assert [len(text) for _, text, _ in first] == [100, 100, 100, 100, 50]
  assert [is_whole for _, _, is_whole in first] == [True] * 4 + [False]


def test_compressors_count_bits_of_whole_and_files():
  bits = baselines.compressors([b"a" * 1000, b"a" * 1000])
  assert bits["gzip, whole"] < bits["gzip, per file"] < 1
  assert set(bits) == {
    "gzip, whole", "gzip, per file", "xz, whole", "xz, per file",
  }  # fmt: skip


class Text(NamedTuple):
  name: str
  text: bytes


@pytest.mark.parametrize("character", ["a", "é", "字", "𝄞"])
def test_at_least_one_character_is_scored(character):
  documents = [Text("empty", b""), Text("short", (character * 3).encode())]
  for size in (1, len(character.encode())):
    assert excerpts.choose(documents, size) == [("short", character.encode(), False)]
  with pytest.raises(UserError, match="no text"):
    excerpts.choose(documents[:1], 10)


def test_a_nan_score_is_reported_in_a_sentence_and_raises_nothing():
  def nan(tokens, targets, state, reset):
    return jnp.full(tokens.shape, jnp.nan), state

  result = _scored(nan)
  bits = result.bits_per_byte()

  assert all(np.isnan(list(bits.values())))
  assert np.isnan(result.gain()["reset"]["error"])
  assert "Not finite: carried, reset, re-read." in finite.said(bits)[1]
  assert finite.plain(bits) == {"carried": None, "reset": None, "re-read": None}
  assert finite.said({"bits": 1.5, "by_class": [0.5, {"f1": 1}]}) == []
  assert finite.not_finite({"a": [1.0, {"b": np.inf}]}) == ["a.1.b"]


def test_buckets_of_positions_double():
  edges = perplexity.document_edges(4)
  position = np.arange(1024)

  bucket = perplexity.document_bucket(position)

  assert edges.tolist() == [0, 128, 256, 512, 1024]
  assert (edges[bucket] <= position).all() and (position < edges[bucket + 1]).all()
