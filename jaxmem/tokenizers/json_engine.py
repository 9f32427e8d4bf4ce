"""A `tokenizer.json` as a map of text to ids, and the bytes that each id stands for.

This file imports the package tokenizers; the calls that need it import this file.
"""

import functools
import json
import re
from collections.abc import Sequence
from typing import Any

import tokenizers

from jaxmem.core.errors import DataError, reason
from jaxmem.tokenizers.bpe import spelling
from jaxmem.tokenizers.ids import MOST_IDS

# Decoders that give each piece bytes of its own, the first piece of a text perhaps
# others; with any other a text could not be printed while it is drawn.
_BY_PIECE = {
  *("ByteLevel", "WordPiece", "Metaspace"),
  *("Replace", "ByteFallback", "Fuse", "Strip"),
}
# A piece that stands for a byte.
_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")


class JsonEngine:
  """The pieces of a `tokenizer.json`; text that spells a special token is text.

  Attributes:
    vocab_size: the largest id and one.
    special: text -> id of the special tokens.
    roles: role -> special token, as far as the file itself says it.
    stripped: text of a special token -> whether it takes the white space before it, and
      after it, away.
    prefixes_all: whether the text after a special token begins like a text, with the
      space that such tokenizers put before its first word.
  """

  def __init__(
    self,
    content: str,
    added: Sequence[dict[str, Any]],
    named: Sequence[str],
    name: str,
    exact: bool = False,
  ):
    """Loads the pieces.

    Args:
      content: the text of the file.
      added: further pieces, see `folder_files.FolderSettings`.
      named: pieces that are special wherever the model has them.
      name: of the file, for messages.
      exact: whether nothing of a text may be lost: accents are not composed, and a text
        that begins with a space gets the other one, too, that decoding takes away.

    Raises:
      DataError: if the file is damaged, or decodes as no known kind does.
    """
    self._added, self._named = added, named
    try:
      self._config = json.loads(content)
      kinds = [part["type"] for part in _parts(self._config.get("decoder"))]
      if exact and "ByteLevel" in kinds:
        self._config["normalizer"] = None  # as bytes are pieces, any text has some
      self._whole = self._load(self._config)
    except Exception as error:  # the package raises Exception itself
      raise DataError(
        f"{name} is damaged or no tokenizer.json ({reason(error)}): fetch it again"
      ) from error
    for token in added:
      if self._whole.token_to_id(token["content"]) != token["id"]:
        raise DataError(
          f"{name} gives {token['content']!r} the id "
          f"{self._whole.token_to_id(token['content'])}, and the folder's settings "
          f"{token['id']}"
        )
    pieces = self._whole.get_added_tokens_decoder()
    self.special = {t.content: i for i, t in pieces.items() if t.special}
    self.stripped = {t.content: (t.lstrip, t.rstrip) for t in pieces.values()}
    largest = max(self._whole.get_vocab().values(), default=-1)
    self.vocab_size = largest + 1  # ids need not be contiguous
    if self.vocab_size > MOST_IDS:
      raise DataError(f"{name} has the id {largest:,}: it is damaged, fetch it again")
    self.roles: dict[str, str] = {}
    self.prefixes_all = "first" not in json.dumps(self._config.get("pre_tokenizer"))
    self._decoders = kinds
    metaspace = "Metaspace" in json.dumps(self._config.get("pre_tokenizer"))
    self._adds_space = exact and metaspace and "Strip" in kinds
    unknown = [kind for kind in self._decoders if kind not in _BY_PIECE]
    if unknown or not self._decoders:
      raise DataError(
        f"{name} decodes by {', '.join(unknown) or 'nothing'}: "
        f"{', '.join(sorted(_BY_PIECE))} can be read"
      )

  def id(self, token: str) -> int | None:
    """Returns the id of a piece, if there is one."""
    return self._whole.token_to_id(token)

  def unknown(self) -> str | None:
    """Returns the piece that stands for what has none, as the model names it."""
    model = self._config.get("model", {})
    if isinstance(i := model.get("unk_id"), int):
      return self._whole.id_to_token(i)
    return model.get("unk_token")

  def encode(self, text: str, begins: bool) -> list[int]:
    """Returns the ids of a text.

    Args:
      text: any text; special tokens that it spells are text.
      begins: whether it begins a document, or continues one.
    """
    if self._adds_space and begins and text.startswith(" "):
      text, begins = " " + text, False
    backend = self._whole if begins else self._continued
    return backend.encode(text, add_special_tokens=False).ids

  def spans(self, text: str, begins: bool) -> tuple[list[int], list[tuple[int, int]]]:
    """Returns the ids of a text, and where in it each begins and ends."""
    backend = self._whole if begins else self._continued
    encoding = backend.encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets

  def around(self) -> tuple[list[int], list[int]]:
    """Returns the ids that the file says stand before a text, and after it."""
    text = next((c for c in "ab1.\n" if self._whole.encode(c).ids), "a")
    plain = self._whole.encode(text, add_special_tokens=False).ids
    whole = self._whole.encode(text).ids
    for at in range(len(whole) - len(plain) + 1):
      if plain and whole[at : at + len(plain)] == plain:
        return whole[:at], whole[at + len(plain) :]
    return [], []

  def bytes_of(self) -> tuple[list[bytes], list[bytes]]:
    """Returns the bytes of each id where it begins a text, and where it does not."""
    first, later = [b""] * self.vocab_size, [b""] * self.vocab_size
    special = set(self.special.values())
    to_bytes = self._spell if "ByteLevel" in self._decoders else self._ask
    for piece, i in self._whole.get_vocab(with_added_tokens=True).items():
      if i not in special:
        first[i], later[i] = to_bytes(piece)
    return first, later

  def _spell(self, piece: str) -> tuple[bytes, bytes]:
    """The bytes of a piece of byte-level BPE."""
    table = _byte_of()
    try:
      data = bytes(table[character] for character in piece)
    except KeyError:  # an added piece, which is written as it is
      data = piece.encode()
    return data, data

  def _ask(self, piece: str) -> tuple[bytes, bytes]:
    """The bytes of a piece as the package decodes it, alone and after another."""
    decode = self._whole.decoder.decode
    if "ByteFallback" in self._decoders and _BYTE.fullmatch(piece):
      data = bytes([int(piece[3:5], 16)])
      # of the bytes only the space may be taken away from the beginning of a text
      return decode([piece]).encode() if data == b" " else data, data
    return decode([piece]).encode(), decode(["a", piece])[1:].encode()

  @functools.cached_property
  def _continued(self) -> tokenizers.Tokenizer:
    """The same tokenizer without the space that it puts before a text."""
    config = dict(self._config)
    # where white space is thrown away first, as in T5, that space is all there is of it
    if "WhitespaceSplit" not in json.dumps(config.get("pre_tokenizer")):
      for key in ("normalizer", "pre_tokenizer"):
        config[key] = _without_prefix(config.get(key))
    return self._whole if config == self._config else self._load(config)

  def _load(self, config: dict[str, Any]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer.from_str(json.dumps(config))
    special = {
      t.content for t in backend.get_added_tokens_decoder().values() if t.special
    }
    for token in self._added:
      if token["content"] not in special:
        flags = {key: token[key] for key in ("lstrip", "rstrip", "special")}
        new = tokenizers.AddedToken(token["content"], normalized=False, **flags)
        (backend.add_special_tokens if token["special"] else backend.add_tokens)([new])
        special |= {token["content"]} if token["special"] else set()
    for content in self._named:
      if content not in special and backend.token_to_id(content) is not None:
        new = tokenizers.AddedToken(content, normalized=False, special=True)
        backend.add_special_tokens([new])
    # the file may say how a model cuts and pads its texts; here the caller does
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend


@functools.cache
def _byte_of() -> dict[str, int]:
  return {character: byte for byte, character in enumerate(spelling())}


def _parts(config: dict[str, Any] | None) -> list[dict[str, Any]]:
  """The parts of a decoder, those of a sequence one by one."""
  if not config:
    return []
  if config["type"] != "Sequence":
    return [config]
  return [part for each in config["decoders"] for part in _parts(each)]


def _without_prefix(config: dict[str, Any] | None) -> dict[str, Any] | None:
  """A normalizer or a pre-tokenizer that puts nothing before a text."""
  match config:
    case {"type": "Prepend"}:
      return None
    case {"type": "Metaspace"}:
      return config | {"prepend_scheme": "never"} | _if(config, "add_prefix_space")
    case {"type": "ByteLevel"}:
      return config | _if(config, "add_prefix_space")
    case {"type": "Sequence"}:
      key = next(key for key in config if key != "type")
      parts = [_without_prefix(part) for part in config[key]]
      return config | {key: [part for part in parts if part]}
  return config


def _if(config: dict[str, Any], key: str) -> dict[str, bool]:
  return {key: False} if key in config else {}
