"""The tokenizer of a GGUF file, written as the `tokenizer.json` that it means.

GGUF names two kinds: `gpt2`, byte-level BPE with its merges and the name of the way
that text is cut before them, and `llama`, SentencePiece's BPE, whose merges are in the
order of the scores of what they make.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.tokenizers import folder
from jaxmem.tokenizers.folder_files import DEFAULT, FolderSettings

_KEY = "tokenizer.ggml."
# Kinds of pieces.
_UNKNOWN, _CONTROL, _USER, _BYTE = 2, 3, 4, 6
_SPACE = "\u2581"
# What stands before and after a run of letters, and how many digits are one piece.
_WORDS = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Name of a way to cut text -> the pattern of what is between the cuts.
_LLAMA3 = ("llama-bpe", "llama3")
CUTS = dict.fromkeys(_LLAMA3, _WORDS % "{1,3}") | {"qwen2": _WORDS % ""}


def tokenizer(metadata: Mapping[str, Any], path: str) -> folder.FolderTokenizer:
  """Returns the tokenizer of a GGUF file of the kind `llama`, or `gpt2` with a cut.

  Args:
    metadata: that of the file.
    path: that of the file, for messages.

  Raises:
    DataError: if the file has another kind, or is not whole.
  """
  try:
    pieces, kinds = metadata[_KEY + "tokens"], metadata[_KEY + "token_type"]
    if metadata[_KEY + "model"] == "llama":
      config = _sentencepiece(metadata, pieces, kinds)
    else:
      config = _byte_level(metadata, pieces)
    numbers = {
      role: metadata[f"{_KEY}{key}_token_id"]
      for role, key in _ROLES.items()
      if f"{_KEY}{key}_token_id" in metadata
    }
    roles = {role: pieces[i] for role, i in numbers.items() if 0 <= i < len(pieces)}
    config["added_tokens"] = [
      _added(i, piece, kind != _USER)
      for i, (piece, kind) in enumerate(zip(pieces, kinds, strict=True))
      if kind in (_UNKNOWN, _CONTROL, _USER)
    ]
  except (LookupError, TypeError, ValueError) as error:
    raise DataError(
      f"the tokenizer of {path} is not whole ({error}): fetch the file again"
    ) from error
  template = metadata.get("tokenizer.chat_template")
  # Llamas have a BOS token where a file says nothing
  is_llama = metadata[_KEY + "model"] == "llama" or metadata[_KEY + "pre"] in _LLAMA3
  turn = metadata.get(_KEY + "eot_token_id")  # what ends a turn of a chat
  settings = FolderSettings(
    roles=roles,
    added=[],
    adds_bos=bool(metadata.get(_KEY + "add_bos_token", is_llama)),
    end_ids=[turn] if isinstance(turn, int) and 0 <= turn < len(pieces) else [],
    pad_id=None,
    templates={DEFAULT: template} if isinstance(template, str) else {},
    options={},
  )
  content = json.dumps(config)
  parts = {"kind": folder.JSON, "content": content, "settings": settings._asdict()}
  return folder.make(parts, path)


_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}


def _byte_level(metadata: Mapping[str, Any], pieces: Sequence[str]) -> dict[str, Any]:
  """A `tokenizer.json` of byte-level BPE."""
  merges = [merge.split(" ") for merge in metadata[_KEY + "merges"]]
  cut = {"Regex": CUTS[metadata[_KEY + "pre"]]}
  byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
  split = {"type": "Split", "pattern": cut, "behavior": "Isolated", "invert": False}
  parts = [split, byte_level | {"use_regex": False}]
  return {
    "version": "1.0",
    # Qwen composes accents, Llama 3 does not
    "normalizer": {"type": "NFC"} if metadata[_KEY + "pre"] == "qwen2" else None,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts},
    "decoder": byte_level | {"use_regex": True},
    "model": {
      "type": "BPE",
      "vocab": {piece: i for i, piece in enumerate(pieces)},
      "merges": merges,
      # Llama 3 has words that no merges make
      "ignore_merges": metadata[_KEY + "pre"] in _LLAMA3,
    },
  }


def _sentencepiece(
  metadata: Mapping[str, Any], pieces: Sequence[str], kinds: Sequence[int]
) -> dict[str, Any]:
  """A `tokenizer.json` of SentencePiece's BPE."""
  vocab = {piece: i for i, piece in enumerate(pieces)}
  plain = {p for p, kind in zip(pieces, kinds, strict=True) if kind not in _NO_MERGE}
  scores = metadata[_KEY + "scores"]
  # the highest score first; of equal ones the earlier piece
  order = sorted((vocab[piece] for piece in plain), key=lambda i: (-scores[i], i))
  merges = [
    [piece[:at], piece[at:]]
    for piece in (pieces[i] for i in order)
    for at in range(1, len(piece))
    if piece[:at] in plain and piece[at:] in plain
  ]
  has_prefix = bool(metadata.get(_KEY + "add_space_prefix", True))
  replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
  before = [{"type": "Prepend", "prepend": _SPACE}] * has_prefix
  decoders: list[dict[str, Any]] = [
    {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
  ]
  decoders += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * has_prefix
  unknown = [p for p, kind in zip(pieces, kinds, strict=True) if kind == _UNKNOWN]
  return {
    "version": "1.0",
    "normalizer": {"type": "Sequence", "normalizers": [*before, replace]},
    "decoder": {"type": "Sequence", "decoders": decoders},
    "model": {
      "type": "BPE",
      "unk_token": unknown[0] if unknown else None,
      "fuse_unk": True,
      "byte_fallback": _BYTE in kinds,
      "vocab": vocab,
      "merges": merges,
    },
  }


_NO_MERGE = (_UNKNOWN, _CONTROL, _USER, _BYTE)


def _added(i: int, content: str, special: bool) -> dict[str, Any]:
  flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
  return {"id": i, "content": content, "special": special, **flags}
