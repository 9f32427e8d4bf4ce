"""SentencePiece models as tokenizers: exact on all UTF-8 text, or refused.

This is the only file that imports sentencepiece; the calls that need it import this
file.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece
from jaxtyping import Int32

from jaxmem.core import utf8
from jaxmem.core.errors import DataError
from jaxmem.tokenizers.ids import ByteDecoder

# SentencePiece writes a space as this character, and so cannot tell the two apart. We
# spell the real one with its byte pieces, and a space too where a model has no piece
# for it: text in Chinese, Japanese or Thai need not have any.
_SPACE = "\u2581"
# SentencePiece leaves out training lines with this character, which it uses for unknown
# pieces. We cut lines there.
_UNKNOWN = "\u2585"
# Text is encoded in chunks of this many characters, cut after a newline where there is
# one: the memory of one call grows with the text.
_CHUNK = 1 << 18
# SentencePiece silently leaves out longer lines; we cut them.
_LINE = 4096
# The shares of the text whose characters become pieces; other characters are spelled in
# bytes. The second is tried if the first leaves no room, as in Chinese.
_COVERAGES = (1.0, 0.9995)
# The smallest vocabulary: bytes, control pieces, the newline and one character.
LEAST = 262
# A text that normalisation, a dummy prefix or missing byte pieces would change.
_PROBE = (
  "  Aa\u00c5\u212b  \ufb01\u2460\t\r\n\n\0\u200b\ufeff\u3000\u4e2d\U0001f600<s> "
)

_BREAKS = re.compile(f"[\n{_SPACE}{_UNKNOWN}]")
_NO_ROOM = re.compile(r"\d+ vs (\d+)")

_OPTIONS = dict(
  model_type="bpe",
  byte_fallback=True,
  normalization_rule_name="identity",
  add_dummy_prefix=False,
  remove_extra_whitespaces=False,
  allow_whitespace_only_pieces=True,
  user_defined_symbols=["\n"],
  pad_id=0,
  unk_id=1,
  bos_id=2,
  eos_id=3,
  max_sentence_length=_LINE,
  num_threads=1,
  minloglevel=4,
)


class SentencePieceTokenizer(ByteDecoder):
  """A `.model` file as a `Tokenizer`.

  Attributes:
    vocab_size: the pieces of the model, and one more if none of them can be `eos_id`.
    eos_id: the first id that the model has and no text yields: the beginning of a
      sentence, its end or the padding; else the first id after those of the model.
    fingerprint: "sp-" and the SHA-256 of the model's bytes.
    kept: name and content of the file that a run keeps: the model's bytes.
  """

  def __init__(self, model: bytes, name: str):
    """Loads a model and tries it on awkward text.

    Args:
      model: the content of a `.model` file.
      name: the name of the file, for messages.

    Raises:
      DataError: if it is damaged, or would not give back the text it encodes.
    """
    self.kept = "tokenizer.model", model
    self.fingerprint = f"sp-{hashlib.sha256(model).hexdigest()}"
    try:
      exact = self._read(model)
    except Exception as error:  # a damaged model may make the package raise anything
      raise DataError(
        f"tokenizer {name} is damaged or no SentencePiece model ({error}): train it "
        "again with jaxmem tokenizer train"
      ) from error
    if not exact:
      raise DataError(
        f"tokenizer {name} does not give back the text it is given, so bits per byte "
        "would mean nothing: train it with byte_fallback, normalization_rule_name "
        "'identity', and without add_dummy_prefix and remove_extra_whitespaces, as "
        "jaxmem tokenizer train does"
      )

  def _read(self, model: bytes) -> bool:
    """Reads a model, and returns whether awkward text comes back from it."""
    if not model:
      raise ValueError("it is empty")
    self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    count = self._processor.vocab_size()
    self.eos_id = self._find_eos(count)
    self.vocab_size = max(count, self.eos_id + 1)
    self._bytes = [self._spell(i) for i in range(count)] + [b""]
    pieces = {self._processor.id_to_piece(i): i for i in range(count)}
    bytes_ = [pieces.get(f"<0x{b:02X}>", -1) for b in range(256)]
    # these characters are spelled with byte pieces, see `_SPACE`
    spelled = [_SPACE] if _SPACE in pieces else [_SPACE, " "]
    self._spelled = {c: [bytes_[b] for b in c.encode()] for c in spelled}
    self._split = re.compile(f"([{''.join(spelled)}])")
    probe = (_PROBE + _SPACE).encode()
    return -1 not in bytes_ and self.decode(self.encode(probe)) == probe

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text; no EOS token is added.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    parts = [np.zeros(0, np.int32)]
    for chunk in _chunks(utf8.text(data)):
      for piece in self._split.split(chunk):
        ids = self._spelled.get(piece) or self._processor.encode(piece)
        parts.append(np.array(ids, np.int32))
    return np.concatenate(parts)

  def _find_eos(self, count: int) -> int:
    """Returns the id that parts documents; a model need not have one."""
    model = self._processor
    for i in (model.bos_id(), model.eos_id(), model.pad_id()):
      if 0 <= i < count and model.is_control(i):
        return i
    return count

  def _spell(self, i: int) -> bytes:
    """Returns the bytes of a piece; a control piece has none."""
    model = self._processor
    if model.is_control(i) or model.is_unknown(i) or model.is_unused(i):
      return b""
    piece = model.id_to_piece(i)
    if model.is_byte(i):
      return bytes([int(piece[3:5], 16)])
    return piece.replace(_SPACE, " ").encode()


def load(path: str | Path) -> SentencePieceTokenizer:
  """Returns the tokenizer of a `.model` file.

  Raises:
    DataError: if the file is missing, unreadable, damaged or not exact.
  """
  try:
    model = Path(path).expanduser().read_bytes()
  except (OSError, ValueError) as error:  # ValueError: a NUL in the path
    why = getattr(error, "strerror", None) or error
    raise DataError(
      f"cannot read tokenizer {path}: {why}; give the path of a .model file, or "
      "make one with jaxmem tokenizer train"
    ) from error
  return SentencePieceTokenizer(model, str(path))


def train(texts: Iterable[str], vocab_size: int) -> bytes:
  """Trains a byte-pair model; equal texts give equal bytes.

  Args:
    texts: documents.
    vocab_size: the number of pieces, 256 bytes and four control pieces included.

  Returns:
    The content of a `.model` file.

  Raises:
    DataError: if the vocabulary is too large or too small for the texts; names how
      large it may be, or must be.
  """
  texts = list(texts)  # they may be read twice
  for coverage in _COVERAGES:
    # A model holds the path that it was trained to, which would change its hash; one
    # that is trained into memory holds none.
    model = io.BytesIO()
    try:
      sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(texts),
        model_writer=model,
        vocab_size=vocab_size,
        character_coverage=coverage,
        **_OPTIONS,
      )
      return model.getvalue()
    except RuntimeError as error:
      message = str(error)
    if not _NO_ROOM.search(message):
      break
  raise _explained(message, vocab_size)


def _explained(message: str, vocab_size: int) -> DataError:
  """Returns the error that SentencePiece's message means."""
  if high := re.search(r"value <= (\d+)", message):
    return DataError(
      f"vocab_size {vocab_size} is more than the text has pieces for: at most "
      f"{high[1]}, or give more text"
    )
  if low := _NO_ROOM.search(message):
    return DataError(
      f"vocab_size {vocab_size} has no room for every byte and character of the text: "
      f"at least {low[1]}"
    )
  if "sentences_.empty()" in message or "all_chars_count" in message:
    return DataError("there is no text to train a tokenizer on: give more")
  return DataError(f"SentencePiece cannot train a tokenizer: {message}")


def _chunks(text: str) -> Iterator[str]:
  """Yields a text in chunks that end after a newline, where there is one."""
  begin = 0
  while begin < len(text):
    end = begin + _CHUNK
    if end < len(text):
      end = text.rfind("\n", begin, end) + 1 or end
    yield text[begin:end]
    begin = end


def _lines(texts: Iterable[str]) -> Iterator[str]:
  """Yields lines that are short enough to train on, cut at what cannot be read."""
  for text in texts:
    for line in _BREAKS.split(text):
      data, begin = line.encode(), 0
      while begin < len(data):
        end = utf8.border(data, min(begin + _LINE - 1, len(data)))
        yield data[begin:end].decode()
        begin = end
