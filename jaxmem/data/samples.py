"""A part of a corpus that a vocabulary is made of, small enough for memory."""

from collections.abc import Iterator

from jaxmem.core import utf8
from jaxmem.data.corpora import Corpus, Documents
from jaxmem.data.mixture import shuffled

# Bytes of text that a vocabulary is made of, at most.
MOST = 1 << 26


def sample(corpus: Corpus, most: int = MOST) -> Iterator[bytes]:
  """Training documents in their order: all, or as many as `most` bytes hold.

  Which ones depends on the corpus alone. Of a mixture each component has its share. The
  document that does not fit is cut, between characters.

  Args:
    corpus: from `prepare`.
    most: bytes.

  Yields:
    Texts, of training documents only.
  """
  first = 0
  whole = [(len(corpus.train), most)]
  shares = [(share.documents, int(share.weight * most)) for share in corpus.shares]
  for count, size in shares or whole:
    chosen = _chosen(corpus.train, range(first, first + count), size)
    yield from (chosen[i] for i in sorted(chosen))
    first += count


def _chosen(documents: Documents, places: range, most: int) -> dict[int, bytes]:
  """Place -> text."""
  found = {}
  for i in shuffled(len(places), 0).tolist():
    if most <= 0:
      break
    text = documents[places[i]].text
    found[i] = text if len(text) <= most else text[: utf8.border(text, most)]
    most -= len(text)
  return found
