"""A SentencePiece model of a folder: text to ids, and the bytes of each id.

This file imports sentencepiece; the calls that need it import this file.
"""

import functools
import itertools
import re
from typing import Any

import sentencepiece

from jaxmem.core.errors import DataError, reason
from jaxmem.tokenizers.folder_files import FolderSettings

# SentencePiece writes a space as this character.
_SPACE = "\u2581"
# normalizer_spec { add_dummy_prefix: false }: a message of Protocol Buffers that is
# written after another of its type replaces the fields that it has.
_NO_PREFIX = b"\x1a\x02\x18\x00"
# The first words of the classes whose ids are those of the model; others, such as
# XLM-R and Pegasus, count from elsewhere in code that is not run.
_PLAIN = ("Llama", "CodeLlama", "Gemma", "Mistral", "T5", "PreTrained", "Tokenizers")


class SentencePieceEngine:
  """The pieces of a model; its attributes and calls are those of `JsonEngine`."""

  def __init__(
    self, model: bytes, settings: FolderSettings, name: str, exact: bool = False
  ):
    """Loads a model.

    Args:
      model: the content of the file.
      settings: of the folder.
      name: of the file, for messages.
      exact: see `JsonEngine`.

    Raises:
      DataError: if it is damaged, or of a class that counts its ids otherwise.
    """
    kind = settings.options.get("tokenizer_class") or "PreTrainedTokenizer"
    if not kind.startswith(_PLAIN):
      raise DataError(
        f"{name} is of {kind}, whose ids are not those of the model: load it with "
        "transformers and call save_pretrained, which writes tokenizer.json"
      )
    self._model = model
    try:
      self._whole = whole = sentencepiece.SentencePieceProcessor(model_proto=model)
      self._count: int = whole.vocab_size() if model else 0
    except Exception as error:  # a damaged model may make the package raise anything
      raise DataError(
        f"{name} is damaged or no SentencePiece model ({reason(error)}): fetch it again"
      ) from error
    if not self._count:
      raise DataError(f"{name} is empty: fetch it again")
    self._added = {t["id"]: t for t in settings.added if t["id"] >= self._count}
    pieces = {whole.id_to_piece(i): i for i in range(self._count)}
    self._ids = pieces | {t["content"]: i for i, t in self._added.items()}
    self.vocab_size = max(self._ids.values()) + 1
    numbers = {r: getattr(whole, f"{r}_id")() for r in ("bos", "eos", "unk", "pad")}
    self.roles = {r: whole.id_to_piece(i) for r, i in numbers.items() if i >= 0}
    special = [whole.id_to_piece(i) for i in range(self._count) if self._is_special(i)]
    special += [t["content"] for t in settings.added if t["special"]]
    special += settings.roles.values()
    self.special = {token: self._ids[token] for token in special if token in self._ids}
    # pieces that the model finds in any text, such as Gemma's <start_of_turn>
    found = [t for t in self.special if whole.encode(t)[-1:] == [self._ids[t]]]
    self._found = re.compile("|".join(map(re.escape, found)) or "(?!)")
    self.stripped = {t["content"]: (t["lstrip"], t["rstrip"]) for t in settings.added}
    # T5, and Llama unless it says otherwise, put a space before each text
    llama = kind.startswith(("Llama", "CodeLlama"))
    self._joins_spaces = llama and not exact
    self.prefixes_all = bool(settings.options.get("legacy", False)) if llama else True
    self._adds_bos = kind.startswith(("Llama", "CodeLlama", "Gemma", "Mistral"))

  def id(self, token: str) -> int | None:
    """Returns the id of a piece, if there is one."""
    return self._ids.get(token)

  def unknown(self) -> str | None:
    """Returns the piece that stands for what has none."""
    i = self._whole.unk_id()
    return self._whole.id_to_piece(i) if i >= 0 else None

  def encode(self, text: str, begins: bool) -> list[int]:
    """Returns the ids of a text, see `JsonEngine.encode`."""
    # for Llama transformers puts no space before one, where SentencePiece itself does
    if self._joins_spaces and text.startswith((" ", _SPACE)):
      begins = False
    cuts = [0, *(m.start() + 1 for m in self._found.finditer(text)), len(text)]
    ids: list[int] = []
    for begin, end in itertools.pairwise(cuts):
      model = self._whole if begins and not begin else self._continued
      ids += model.encode(text[begin:end])
    return ids

  def around(self) -> tuple[list[int], list[int]]:
    """Returns the ids that stand before a text and after it, by the folder's class."""
    bos = self._whole.bos_id()
    return [bos] if self._adds_bos and bos >= 0 else [], []

  def bytes_of(self) -> tuple[list[bytes], list[bytes]]:
    """Returns the bytes of each id where it begins a text, and where it does not."""
    later = [b""] * self.vocab_size
    special = set(self.special.values())
    for piece, i in self._ids.items():
      if i in special:
        continue
      if i < self._count and self._whole.is_byte(i):
        later[i] = bytes([int(piece[3:5], 16)])
      else:
        later[i] = (
          piece.replace(_SPACE, " ").encode() if i < self._count else piece.encode()
        )
    return [self._first(data) for data in later], later

  def _first(self, data: bytes) -> bytes:
    return data.removeprefix(b" ") if self._has_prefix else data

  @functools.cached_property
  def _has_prefix(self) -> bool:
    """Whether the model puts a space before a text."""
    return self._whole.encode("a") != self._continued.encode("a")

  @functools.cached_property
  def _continued(self) -> Any:
    """The same model without the space that it puts before a text."""
    model = self._model + _NO_PREFIX
    return sentencepiece.SentencePieceProcessor(model_proto=model)

  def _is_special(self, i: int) -> bool:
    return self._whole.is_control(i) or self._whole.is_unknown(i)
