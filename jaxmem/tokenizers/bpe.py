"""Byte-level BPE as a tokenizer: GPT-2's spelling of bytes, and SmolLM2's.

This file imports the package tokenizers; the calls that need it import this file.

Source: Sennrich et al. 2016, arXiv:1508.07909, section 3.2; Radford et al. 2019,
"Language Models are Unsupervised Multitask Learners", section 2.2 (bytes).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32
from tokenizers import Tokenizer, models, pre_tokenizers

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.tokenizers.ids import BYTE_PAIRS, ByteDecoder


def spelling() -> list[str]:
  """Returns the character that stands for each byte: itself, or one from 256 on.

  GPT-2 keeps vocabularies as text, in which spaces and control bytes would get lost.
  """
  printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
  replacements = iter(range(256, 512))
  return [chr(b if b in printable else next(replacements)) for b in range(256)]


class BytePairTokenizer(ByteDecoder):
  """A vocabulary and its merges as a `Tokenizer`.

  Text that spells a control piece, such as <|im_end|>, is text: `encode` never yields
  one. Bytes that the vocabulary has no piece for are refused, not left out.

  Attributes:
    vocab_size: the number of pieces.
    eos_id: the id before every document.
    fingerprint: "bpe-" and the SHA-256 of all that decides the ids.
    kept: name and content of the file that a run keeps, see `make`.
  """

  def __init__(
    self,
    pieces: Sequence[str],
    merges: Sequence[str],
    control: Sequence[int],
    eos_id: int,
    split_digits: bool,
  ):
    """Builds the merger.

    Args:
      pieces: the pieces in the order of their ids, spelt as `spelling` says.
      merges: "left right", the earliest first.
      control: ids that no text yields.
      eos_id: the control id that ends a document.
      split_digits: whether every digit is a piece of its own, as in SmolLM.

    Raises:
      DataError: if these do not fit together.
    """
    ids = {piece: i for i, piece in enumerate(pieces)}
    text = {p: i for p, i in ids.items() if i not in set(control)}
    pairs = [tuple(merge.split(" ")) for merge in merges]
    are_pieces = all(len(p) == 2 and {*p, "".join(p)} <= text.keys() for p in pairs)
    if len(ids) != len(pieces) or not are_pieces or eos_id not in control:
      raise DataError(
        "the tokenizer is damaged: a piece twice, a merge of unknown pieces, or an "
        "EOS id that text could spell; fetch the file again"
      )
    self.vocab_size, self.eos_id = len(pieces), eos_id
    parts = [list(pieces), list(merges), sorted(control), eos_id, split_digits]
    self.fingerprint = f"bpe-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"
    content = json.dumps({"jaxmem": BYTE_PAIRS, "parts": parts}) + "\n"
    self.kept = "tokenizer.json", content.encode()
    byte = {character: b for b, character in enumerate(spelling())}
    try:
      self._bytes = [
        b"" if i in set(control) else bytes(byte[c] for c in piece)
        for i, piece in enumerate(pieces)
      ]
    except KeyError as error:
      raise DataError(
        f"the tokenizer spells a byte as {error}: byte-level BPE spells none so"
      ) from error
    self._absent = {b for c, b in byte.items() if c not in text}
    self._merger = Tokenizer(models.BPE(vocab=text, merges=pairs))
    digits = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    self._merger.pre_tokenizer = pre_tokenizers.Sequence(
      [*digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text; no EOS token is added.

    Raises:
      NotUTF8: with the offset of the first bad byte.
      DataError: for a byte that the vocabulary has no piece for.
    """
    text = utf8.text(data)
    for byte in self._absent & set(data):  # the merger would leave it out silently
      raise DataError(
        f"the vocabulary has no piece for byte 0x{byte:02x}, at {data.index(byte)}: "
        "take it out of the text"
      )
    return np.array(self._merger.encode(text).ids, np.int32)


def make(parts: Any, name: str) -> BytePairTokenizer:
  """Returns a tokenizer of the parts that a file holds.

  Args:
    parts: the arguments of `BytePairTokenizer`, whose types are not checked yet.
    name: the name of the file, for messages.

  Raises:
    DataError: if they do not fit together; names the file.
  """
  try:
    return BytePairTokenizer(*parts)
  except DataError as error:
    raise DataError(f"{name}: {error}") from error
  except Exception as error:  # a damaged file may make the package raise anything
    raise DataError(
      f"{name} holds no byte-level BPE ({error}): fetch the file again"
    ) from error
