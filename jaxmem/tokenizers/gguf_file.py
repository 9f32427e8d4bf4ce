"""GGUF files: the metadata of a model, its tensors one by one, its tokenizer.

This is the only file that imports the package gguf; the calls that need it import this
file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from jaxmem.core.errors import DataError
from jaxmem.tokenizers import Tokenizer, bpe, gguf_pieces

# The file's name of a pre-tokenizer -> whether it makes every digit a piece.
_SPLIT_DIGITS = {"gpt-2": False, "smollm": True}
# The errors that the package raises on damaged files.
_DAMAGE = (
  *(ValueError, LookupError, TypeError, AttributeError),
  *(ArithmeticError, AssertionError, MemoryError),
)
_CONTROL = 3  # the type of a piece that no text yields


class Tensors(Mapping):
  """Name -> float32 array, outputs before inputs; dequantized when it is read."""

  def __init__(self, reader: GGUFReader):
    self._tensors = {tensor.name: tensor for tensor in reader.tensors}

  @property
  def shapes(self) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor; nothing is read."""
    # GGUF lists the contiguous axis first
    return {k: tuple(t.shape.tolist()[::-1]) for k, t in self._tensors.items()}

  def __getitem__(self, name: str) -> np.ndarray:
    tensor = self._tensors[name]
    array = dequantize(tensor.data, tensor.tensor_type)
    return array.reshape(tensor.shape.tolist()[::-1]).astype(np.float32, copy=False)

  def __iter__(self) -> Iterator[str]:
    return iter(self._tensors)

  def __len__(self) -> int:
    return len(self._tensors)


class File(NamedTuple):
  """A GGUF file.

  Attributes:
    metadata: maps a key to a number, a text or a list of these.
    tensors: see `Tensors`.
  """

  metadata: dict[str, Any]
  tensors: Tensors


def read(path: str | Path) -> File:
  """Opens a file; its tensors are read later.

  Raises:
    DataError: if it is missing, unreadable or damaged.
  """
  try:
    reader = GGUFReader(Path(path).expanduser())
    metadata = {key: field.contents() for key, field in reader.fields.items()}
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; give a .gguf file"
    ) from error
  except _DAMAGE as error:
    raise DataError(
      f"{path} is damaged or no GGUF file ({error}): fetch it again"
    ) from error
  return File(metadata, Tensors(reader))


def tokenizer(metadata: Mapping[str, Any], path: str) -> Tokenizer:
  """Returns the tokenizer of a GGUF file.

  Of GPT-2's kind the first control piece is the EOS token, which parts documents;
  others are read as those of a model's folder, see `gguf_pieces`.

  Args:
    metadata: that of the file.
    path: that of the file, for messages.

  Raises:
    DataError: if the file has no tokenizer, a damaged one, or one that this library
      does not know.
  """
  key = "tokenizer.ggml."
  model, split = metadata.get(key + "model"), metadata.get(key + "pre")
  if model == "llama" or (model == "gpt2" and split in gguf_pieces.CUTS):
    return gguf_pieces.tokenizer(metadata, path)
  if model != "gpt2" or split not in _SPLIT_DIGITS:
    known = ", ".join([*_SPLIT_DIGITS, *gguf_pieces.CUTS])
    raise DataError(
      f"the tokenizer of {path} is {model!r} with {split!r} before it: only 'llama' "
      f"(SentencePiece), and 'gpt2' (byte-level BPE) with one of {known} can be read"
    )
  try:
    kinds = metadata[key + "token_type"]
    control = [i for i, kind in enumerate(kinds) if kind == _CONTROL]
    pieces, merges, eos_id = (
      metadata[key + "tokens"],
      metadata[key + "merges"],
      control[0],
    )
  except (LookupError, TypeError) as error:
    raise DataError(
      f"the tokenizer of {path} is not whole ({error}): fetch the file again"
    ) from error
  return bpe.make((pieces, merges, control, eos_id, _SPLIT_DIGITS[split]), path)
