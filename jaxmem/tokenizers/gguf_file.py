"""GGUF files: what they say of a model, its tensors one by one, its tokenizer.

The only file that knows the package gguf; imported by the calls that need it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

from jaxmem.core.errors import DataError
from jaxmem.tokenizers import bpe
from jaxmem.tokenizers.bpe import BytePairTokenizer

# Pre-tokenizers by the file's name for them: whether every digit stands alone.
_SPLIT_DIGITS = {"gpt-2": False, "smollm": True}
_DAMAGE = (
  *(ValueError, LookupError, TypeError, AttributeError),
  *(ArithmeticError, AssertionError, MemoryError),
)
_CONTROL = 3  # the type of a piece that no text yields


class Tensors(Mapping):
  """Name -> float32 array, outputs before inputs; made when it is asked for."""

  def __init__(self, reader: GGUFReader):
    self._tensors = {tensor.name: tensor for tensor in reader.tensors}

  def __getitem__(self, name: str) -> np.ndarray:
    tensor = self._tensors[name]
    shape = tensor.shape.tolist()[::-1]
    return dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32)

  def __iter__(self) -> Iterator[str]:
    return iter(self._tensors)

  def __len__(self) -> int:
    return len(self._tensors)


class File(NamedTuple):
  """A GGUF file.

  Attributes:
    metadata: key -> number, text or list of these.
    tensors: see `Tensors`.
  """

  metadata: dict[str, Any]
  tensors: Mapping[str, np.ndarray]


def read(path: str | Path) -> File:
  """The file, its tensors not read yet.

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


def tokenizer(metadata: Mapping[str, Any], path: str) -> BytePairTokenizer:
  """The tokenizer of a GGUF file; a document begins with its first control piece.

  Args:
    metadata: of the file.
    path: of the file, for messages.

  Raises:
    DataError: if it is none, damaged, or not byte-level BPE as this library knows it.
  """
  key = "tokenizer.ggml."
  model, split = metadata.get(key + "model"), metadata.get(key + "pre")
  if model != "gpt2" or split not in _SPLIT_DIGITS:
    raise DataError(
      f"the tokenizer of {path} is {model!r} with {split!r} before it: only 'gpt2' "
      f"(byte-level BPE) with one of {', '.join(_SPLIT_DIGITS)} can be read"
    )
  try:
    kinds = metadata[key + "token_type"]
    control = [i for i, kind in enumerate(kinds) if kind == _CONTROL]
    given = metadata[key + "tokens"], metadata[key + "merges"], control, control[0]
  except (LookupError, TypeError) as error:
    raise DataError(
      f"the tokenizer of {path} is not whole ({error}): fetch the file again"
    ) from error
  return bpe.make((*given, _SPLIT_DIGITS[split]), path)
