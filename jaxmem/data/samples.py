"""Tokenizers made from a sample of a corpus that is small enough for memory."""

import hashlib
import json
from collections.abc import Iterator

from jaxmem.core import utf8
from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.data.corpora import Corpus, Documents
from jaxmem.data.mixture import shuffled
from jaxmem.tokenizers import Tokenizer, trained

# Bytes of text that a vocabulary is made of, at most.
MOST = 1 << 26
# Part of the names of vocabularies that lie by a corpus.
_FORMAT = "jaxmem vocabulary 1"


def tokenizer_of(name: str, corpus: Corpus, exact: bool = False) -> Tokenizer:
  """The tokenizer `name`, made from a sample of a corpus once and kept beside it.

  Args:
    name: see `tokenizers.trained`.
    corpus: from `prepare`; only a sample of its training documents is read.
    exact: see `trained.make`.

  Raises:
    DataError: if it cannot be made, written or read again.
    ValueError: see `trained.size`.
  """
  if not trained.is_made(name):
    return trained.get(name)
  parts = json.dumps([_FORMAT, corpus.fingerprint, name, exact, MOST])
  key = hashlib.sha256(parts.encode()).hexdigest()
  path = corpus.directory / f"vocabulary-{key}" / trained.file_name(name)
  if not path.is_file():
    try:
      made = trained.make(name, sample(corpus), exact)
    except NotUTF8 as error:
      raise DataError(
        f"a document of the training text is {error}; {name!r} is made of text"
      ) from error
    try:
      path.parent.mkdir(exist_ok=True)
      trained.keep(made, path.parent)
    except OSError as error:
      raise DataError(
        f"cannot write {path}: {error.strerror}; free or mend the directory, or set "
        "JAXMEM_DATA_DIR to another"
      ) from error
  return trained.get(str(path))


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
