"""Tokenizers made from a sample of a corpus that is small enough for memory."""

import hashlib
import json
from collections.abc import Iterator

from jaxmem.core import utf8
from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.data.corpora import Corpus, Documents
from jaxmem.data.mixture import shuffled
from jaxmem.tokenizers import Tokenizer, trained

# The most bytes of text that a vocabulary is made from.
MOST = 1 << 26
# Part of the names of vocabularies that lie beside a corpus.
_FORMAT = "jaxmem vocabulary 1"


def tokenizer_of(name: str, corpus: Corpus, exact: bool = False) -> Tokenizer:
  """Returns a tokenizer that is made from a sample of a corpus and kept beside it.

  Args:
    name: see `tokenizers.trained`; a name of no such tokenizer is that of an existing
      one.
    corpus: from `prepare`; only a sample of its training documents is read.
    exact: see `trained.make`.

  Raises:
    DataError: if it cannot be made, written or read again.
    ValueError: see `trained.size`.
  """
  if not trained.is_made(name):
    return trained.make(name, (), exact)
  parts = json.dumps([_FORMAT, corpus.fingerprint, name, exact, MOST])
  # all that decides the vocabulary is in its name: a changed corpus makes another one
  key = hashlib.sha256(parts.encode()).hexdigest()
  path = corpus.directory / f"vocabulary-{key}" / trained.file_name(name)
  if not path.is_file():
    try:
      tokenizer = trained.make(name, sample(corpus), exact)
    except NotUTF8 as error:
      raise DataError(
        f"a document of the training text is {error}; {name!r} is made of text"
      ) from error
    try:
      path.parent.mkdir(exist_ok=True)
      trained.keep(tokenizer, path.parent)
    except OSError as error:
      raise DataError(
        f"cannot write {path}: {error.strerror}; free or mend the directory, or set "
        "JAXMEM_DATA_DIR to another"
      ) from error
  return trained.get(str(path))


def sample(corpus: Corpus, most: int = MOST) -> Iterator[bytes]:
  """Yields training documents in their order: all, or a sample of `most` bytes.

  The sample depends on the corpus alone. Each component of a mixture has its share. The
  document that does not fit is cut between two characters.

  Args:
    corpus: from `prepare`.
    most: bytes of the sample.

  Yields:
    The texts of training documents; held-out text never enters a vocabulary.
  """
  first = 0
  everything = [(len(corpus.train), most)]
  shares = [(share.documents, int(share.weight * most)) for share in corpus.shares]
  for count, size in shares or everything:
    texts = _sampled(corpus.train, range(first, first + count), size)
    yield from (texts[i] for i in sorted(texts))
    first += count


def _sampled(documents: Documents, indices: range, most: int) -> dict[int, bytes]:
  """Draws documents up to `most` bytes; maps positions in `indices` to texts."""
  texts = {}
  # a fixed order: equal corpora give equal vocabularies
  for i in shuffled(len(indices), 0).tolist():
    if most <= 0:
      break
    text = documents[indices[i]].text
    texts[i] = text if len(text) <= most else text[: utf8.border(text, most)]
    most -= len(text)
  return texts
