"""All documents of a split as one flat run of tokens on disk."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Int64, UInt

from jaxmem.core import files
from jaxmem.core.errors import DataError, NotUTF8, raised_as
from jaxmem.core.progress import DELAY, Progress
from jaxmem.core.ranges import check_word
from jaxmem.data.corpora import Corpus, Document
from jaxmem.data.mixture import Share
from jaxmem.data.rows import fingerprint
from jaxmem.tokenizers import Tokenizer, start_id, start_ids

# Part of every fingerprint, in case the content of a token stream ever changes.
_FORMAT = "jaxmem tokens 2"


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStream:
  """Documents end to end, each `[eos_id] + ids`.

  With a tokenizer that puts another token before a document, or none, a document is
  `[start_id] + ids + [eos_id]`; see `tokenizers.start_id`.

  Attributes:
    tokens: every token, uint16 where the vocabulary fits and else uint32; on disk.
    starts: where each document begins, with the token before it; the last entry is the
      number of tokens.
    names: the documents' names.
    num_bytes: bytes of all the text, before it became tokens.
    fingerprint: SHA-256 over corpus, split and tokenizer.
    tokenizer: the tokenizer's fingerprint alone, which tells a changed tokenizer from
      changed documents.
    shares: the components of a mixture in the order of the documents; else empty.
    counted: which tokens are to be predicted; None is all of them.
    predicts_first: whether the first token of a document is to be predicted: it is the
      EOS token of the document before, and not a token that only begins one.
  """

  tokens: UInt[np.ndarray, " N"]
  starts: Int64[np.ndarray, " starts"]
  names: tuple[str, ...]
  num_bytes: int
  fingerprint: str
  tokenizer: str = ""
  shares: tuple[Share, ...] = ()
  counted: Bool[np.ndarray, " N"] | None = None
  predicts_first: bool = True

  @property
  def num_documents(self) -> int:
    """How many documents there are."""
    return len(self.names)

  @property
  def bytes_per_token(self) -> float:
    """Bytes of text for each token that is read; EOS tokens count as tokens."""
    if not self.shares:
      return self.num_bytes / len(self.tokens)
    borders = self.starts[np.cumsum([0] + [share.documents for share in self.shares])]
    rates = [
      share.weight * share.num_bytes / size
      for share, size in zip(self.shares, np.diff(borders), strict=True)
    ]
    return float(sum(rates))

  @classmethod
  def from_corpus(
    cls, corpus: Corpus, tokenizer: Tokenizer, split: str
  ) -> "TokenStream":
    """Tokenizes a split once; later calls map the file beside the corpus.

    Args:
      corpus: from `prepare`.
      tokenizer: any `Tokenizer`.
      split: "train" or "heldout".

    Returns:
      The stream, its tokens mapped from disk and read as they are needed.

    Raises:
      DataError: if the split is unknown, if the tokenizer cannot read a document or
        gives ids outside its vocabulary, or if files cannot be written or are damaged.
    """
    with raised_as(DataError):
      check_word(split, "split", ("train", "heldout"))
    path = corpus.directory / f"tokens-{tokenizer.fingerprint}-{split}.npy"
    if not path.exists():
      _write(path, getattr(corpus, split), tokenizer)
    tokens, index = _read(path)
    # JAX would silently clamp or wrap an id outside the embedding, or give NaN.
    if tokens.max() >= tokenizer.vocab_size:
      raise _damaged(path)
    parts = (_FORMAT, corpus.fingerprint, split, tokenizer.fingerprint)
    return cls(
      tokens=tokens,
      starts=np.asarray(index["starts"], np.int64),
      names=tuple(index["names"]),
      num_bytes=index["bytes"],
      fingerprint=fingerprint(parts),
      tokenizer=tokenizer.fingerprint,
      shares=corpus.shares if split == "train" else (),
      predicts_first=start_id(tokenizer) == tokenizer.eos_id,
    )


def _write(path: Path, documents: Sequence[Document], tokenizer: Tokenizer) -> None:
  """Writes the tokens of documents to `path`, and an index beside it."""
  try:
    # Two processes at once write the same bytes, so either may win.
    with files.replacing(path) as temporary:
      with open(temporary, "wb") as file:
        index = _tokenize(file, documents, tokenizer)
      # The index is written first: where there are tokens, there is an index.
      files.write_text(path.with_suffix(".json"), json.dumps(index))
  except OSError as error:
    raise DataError(
      f"cannot write the tokens {path}: {error}; free or mend the directory, or set "
      "JAXMEM_DATA_DIR to another"
    ) from error


def _tokenize(
  file: IO[bytes], documents: Sequence[Document], tokenizer: Tokenizer
) -> dict[str, Any]:
  """Writes an .npy file of tokens, and returns its index."""
  dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32)
  # One document is in memory at a time. numpy leaves room in the header for any length,
  # so it is written again at the end, when the length is known.
  _write_header(file, dtype, 0)
  starts, names, num_bytes = [0], [], 0
  begin, end = np.array(start_ids(tokenizer), dtype), np.zeros(0, dtype)
  if start_id(tokenizer) != tokenizer.eos_id:
    end = np.array([tokenizer.eos_id], dtype)
  with Progress(len(documents), "documents", delay=DELAY) as progress:
    for document in documents:
      ids = _encode(document, tokenizer)
      for part in (begin, ids.astype(dtype), end):
        part.tofile(file)
      starts.append(starts[-1] + len(begin) + len(ids) + len(end))
      names.append(document.name)
      num_bytes += len(document.text)
      progress.advance(1, "tokenized")
  file.seek(0)
  _write_header(file, dtype, starts[-1])
  return {"starts": starts, "names": names, "bytes": num_bytes}


def _encode(document: Document, tokenizer: Tokenizer) -> np.ndarray:
  """Returns the ids of a document; refuses ids that no text may have."""
  try:
    ids = tokenizer.encode(document.text)
  except NotUTF8 as error:
    raise DataError(f"document {document.name} is {error}") from error
  wrong = ids[(ids < 0) | (ids >= tokenizer.vocab_size) | (ids == tokenizer.eos_id)]
  if wrong.size:
    raise DataError(
      f"tokenizer {tokenizer.fingerprint} gave id {wrong[0]} for {document.name}: ids "
      f"of text are 0 .. {tokenizer.vocab_size - 1} without the EOS id "
      f"{tokenizer.eos_id}; mend the tokenizer"
    )
  return ids


def _write_header(file: IO[bytes], dtype: np.dtype, length: int) -> None:
  descr = np.lib.format.dtype_to_descr(dtype)
  header = {"descr": descr, "fortran_order": False, "shape": (length,)}
  np.lib.format.write_array_header_1_0(file, header)


def _read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
  """Maps the tokens and reads their index; refuses a torn file."""
  try:
    tokens = np.load(path, mmap_mode="r")
    index = files.read_json(path.with_suffix(".json"))
    is_whole = index["starts"][-1] == len(tokens)
  except (OSError, EOFError, ValueError, LookupError) as error:
    raise _damaged(path) from error
  if not is_whole:
    raise _damaged(path)
  return tokens, index


def _damaged(path: Path) -> DataError:
  return DataError(
    f"the tokens {path} are damaged: delete that file and they are made again"
  )
