"""The tokenizer of a model's folder, as its files and not its code describe it.

    tokenizer = folder.load("models/qwen3")
    tokenizer.encode(b"def main"), tokenizer.start_id, tokenizer.end_ids

It reads `tokenizer.json`; else `tokenizer.model` (SentencePiece), `vocab.txt`
(WordPiece) or `vocab.json` with `merges.txt` (byte-level BPE). The ids are those that
transformers gives, with special tokens that a text spells read as text.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxmem.core import files, utf8
from jaxmem.core.errors import DataError, reason
from jaxmem.core.extras import require
from jaxmem.tokenizers import folder_files, plain_files
from jaxmem.tokenizers.folder_files import FolderSettings
from jaxmem.tokenizers.ids import FOLDER, OldNames, check_ids

JSON, SENTENCEPIECE = "tokenizer.json", "tokenizer.model"
# Names of SentencePiece models in folders.
_MODELS = (SENTENCEPIECE, "spiece.model", "sentencepiece.bpe.model")
# SentencePiece writes a space as this character.
_SPACE = "\u2581"
# A text that a tokenizer changes unless it is exact: spaces at its ends and in its
# middle, capitals, accents apart, compatibility forms, a rare character, and the
# spelling of pieces; then characters that together have all bytes that UTF-8 has.
_PROBE = (
  "  Aa  \u00e9e\u0301\u212b \ufb01\u2460\t\r\n\n\u3000 \u2581 <s></s>[SEP] don 't . "
  "\U0010ffff"
)
_SAMPLES = [*range(0x800, 0xD800, 0x700), *range(0xE000, 0x110000, 0x7000)]


class FolderTokenizer(OldNames):
  """A foreign tokenizer as a `Tokenizer`.

  Text is UTF-8, and `NotUTF8` names the first byte that is not. Special tokens that a
  text spells are text unless `control` asks for them; pieces that a folder adds and
  does not call special, such as Qwen's <think>, are pieces.

  `exact_form` gives back all text, with the same ids for text that is not changed.

  Attributes:
    vocab_size: the largest id and one; an embedding may have more rows.
    eos_id: the EOS token, else what separates texts ([SEP]).
    start_id: what stands before a text, see `tokenizers.start_id`; None is nothing.
    end_ids: the ids that end a text in generation, `eos_id` first.
    pad_id: what rows are padded with, if the folder has such a token.
    cls_id: where the folder has it, and so `mask_id` and `unk_id`.
    special: text -> id of the special tokens.
    templates: name -> chat template, see `chat_template`.
    exact: whether decoding gives back all UTF-8 text. A tokenizer that composes accents
      (Qwen), writes spaces as U+2581 (Llama 2, Gemma), or lower-cases (BERT) does not.
    continuation: the same tokenizer for text that continues a text: see
      `tokenizers.continuation`.
    fingerprint: "folder-" and the SHA-256 of all that was read.
    kept: name and content of the file that a run keeps.
  """

  def __init__(self, parts: dict[str, Any], name: str):
    """Builds a tokenizer of what `load` read, or of what a run kept.

    Args:
      parts: `kind`, the name of a file of pieces; `content`, its text, or its bytes in
        base 64; `settings`, a `FolderSettings` as a dictionary; `exact`, whether it is
        the exact form, see `exact_form`.
      name: of the folder or the file, for messages.

    Raises:
      DataError: if these do not fit together.
    """
    self._name, settings = name, FolderSettings(**parts["settings"])
    self._parts, self._is_exact_form = parts, bool(parts.get("exact"))
    self._engine = engine = _engine(parts, settings, name)
    roles = engine.roles | settings.roles
    content = json.dumps({"jaxmem": FOLDER, "parts": parts}, sort_keys=True) + "\n"
    self.kept = JSON, content.encode()
    self.fingerprint = f"folder-{hashlib.sha256(self.kept[1]).hexdigest()}"
    self.vocab_size, self.special = engine.vocab_size, dict(engine.special)
    self.roles = {r: t for r, t in roles.items() if engine.id(t) is not None}
    ids = {role: engine.id(token) for role, token in self.roles.items()}
    for role in ids.keys() & {"cls", "mask", "unk"}:
      setattr(self, f"{role}_id", ids[role])
    self.pad_id = ids.get("pad", settings.pad_id)
    ends = [ids[r] for r in ("eos", "sep") if r in ids][:1] + list(settings.end_ids)
    if not ends:
      raise DataError(
        f"{name} names no token that ends a text: no eos_token, sep_token"
      )
    self.eos_id, self.end_ids = ends[0], tuple(dict.fromkeys(ends))
    self.start_id = self._start(settings.adds_bos, ids, name)
    self.templates = dict(settings.templates)
    self._silent = frozenset(self.special.values())
    # an unknown piece is special, and any text may have it
    unknown = engine.unknown()
    self._control = self._silent - {ids.get("unk"), unknown and engine.id(unknown)}
    spelled = sorted(map(re.escape, self.special), key=len, reverse=True)
    self._spelled = re.compile("|".join(spelled) or r"(?!)")
    self._tables: tuple[list[bytes], list[bytes]] | None = None
    self.continuation = Continuation(self)
    self._space = [engine.id(f"<0x{byte:02X}>") for byte in _SPACE.encode()]
    self.exact = self._is_exact()

  def encode(self, data: bytes, control: bool = False) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text; nothing is put before or after it.

    Args:
      data: the text.
      control: whether special tokens that it spells are those tokens.

    Raises:
      NotUTF8: with the offset of the first bad byte.
    """
    return self.encode_text(utf8.text(data), control)

  def encode_text(
    self, text: str, control: bool = False, begins: bool = True
  ) -> Int32[np.ndarray, " N"]:
    """Returns the ids of a text.

    Args:
      text: the text.
      control: whether special tokens that it spells are those tokens.
      begins: whether it begins a document, or continues one.
    """
    matches = self._spelled.finditer(text) if control else ()
    marks = [(m.start(), m.end(), m[0]) for m in matches]
    return self.encode_marked(text, marks, begins)

  def encode_marked(
    self, text: str, marks: Sequence[tuple[int, int, str]], begins: bool = True
  ) -> Int32[np.ndarray, " N"]:
    """Returns the ids of a text in which some places are special tokens.

    Args:
      text: the text.
      marks: begin, end, and the special token of each such place, in order.
      begins: whether it begins a document, or continues one.
    """
    ids: list[int] = []
    for stretch, token, is_first in _stretches(text, marks, self._engine.stripped):
      if stretch:
        at_begin = begins if is_first else self._engine.prefixes_all
        ids += self._plain(stretch, at_begin)
      if token is not None:
        ids.append(self.special[token])
    return np.array(ids, np.int32)

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the text of ids; special tokens are left out.

    Args:
      ids: integers of any shape, 0 .. vocab_size - 1, read in row order.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    return self.decode_ids(ids, begins=True)

  def decode_ids(self, ids: np.ndarray, begins: bool) -> bytes:
    """Returns the text of ids that begin a document, or continue one."""
    if self._tables is None:  # made when they are needed: there may be many pieces
      self._tables = self._engine.bytes_of()
    first, later = self._tables
    numbers = [i for i in check_ids(ids, self.vocab_size) if i not in self._silent]
    if not numbers or not begins:
      return b"".join([later[i] for i in numbers])
    return first[numbers[0]] + b"".join([later[i] for i in numbers[1:]])

  def exact_form(self) -> "FolderTokenizer | None":
    """Returns a tokenizer of the same ids that gives back all text, if there is one.

    It does not compose accents where bytes are pieces, keeps a space that a text begins
    with, and spells U+2581 in bytes: for such texts alone transformers has other ids.
    """
    if self.exact:
      return self
    form = FolderTokenizer({**self._parts, "exact": True}, self._name)
    return form if form.exact else None

  def chat_template(self, name: str = folder_files.DEFAULT) -> Any:
    """Returns the `ChatTemplate` of the folder.

    Args:
      name: of the template, where there are several, such as "tool_use".

    Raises:
      DataError: if there is no such template, or it is damaged.
    """
    require("jinja2", extra="interop")
    from jaxmem.tokenizers.chat_template import ChatTemplate

    return ChatTemplate.of(self, name, self._name)

  def offsets(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the ids of a text, and the characters where each begins and ends."""
    ids, spans = self._engine.spans(text, True)
    borders = np.array(spans, int).reshape(-1, 2)
    return np.array(ids, np.int32), borders[:, 0], borders[:, 1]

  def _plain(self, text: str, begins: bool) -> list[int]:
    """Returns the ids of a text, none of which is a special token."""
    if self._is_exact_form and _SPACE in text and None not in self._space:
      # the character that stands for spaces is spelled in bytes
      first, *parts = text.split(_SPACE)
      ids = self._plain(first, begins) if first else []
      for part in parts:
        ids += self._space + (self._plain(part, False) if part else [])
      return ids
    ids = self._engine.encode(text, begins)
    if self._control.isdisjoint(ids):
      return ids
    # A unigram model may have its special tokens among the pieces that it finds. The
    # first of them is cut within, and what it spelled is read as two texts.
    ids, spans = self._engine.spans(text, begins)
    begin, end = next(s for i, s in zip(ids, spans, strict=True) if i in self._control)
    cut = next((at for at in range(begin + 1, end)), None)
    if cut is None:
      raise DataError(f"{text[begin:end]!r} cannot be told from a special token")
    return self._plain(text[:cut], begins) + self._plain(text[cut:], False)

  def _start(self, adds_bos: bool | None, ids: dict[str, int], name: str) -> int | None:
    """Returns the id that stands before a text."""
    before, _ = self._engine.around()
    if len(before) > 1:
      raise DataError(
        f"{name} puts {len(before)} tokens before a text: one can be read"
      )
    # where one token is BOS and EOS, it parts documents, as in GPT-2
    if (bos := ids.get("bos")) is not None and bos == ids.get("eos"):
      return bos
    if adds_bos is None:
      return before[0] if before else None
    return bos if adds_bos else None

  def _is_exact(self) -> bool:
    """Returns whether awkward text comes back, with all bytes that UTF-8 has."""
    text = _PROBE + "".join(map(chr, [*range(0x800), *_SAMPLES]))
    return self.decode(self.encode_text(text)) == text.encode()


class Continuation(OldNames):
  """A folder's tokenizer for what continues a text.

  Such tokenizers put a space before the first word of a text, and take it away when
  they decode. A text that is read in parts, or printed while it is drawn, has one
  beginning: its other parts are read and written by this.

  Attributes:
    vocab_size: that of the tokenizer, and so all others.
  """

  def __init__(self, tokenizer: FolderTokenizer):
    self._tokenizer = tokenizer
    self.vocab_size, self.eos_id = tokenizer.vocab_size, tokenizer.eos_id
    self.fingerprint = tokenizer.fingerprint

  def encode(self, data: bytes) -> Int32[np.ndarray, " N"]:
    """Returns the ids of UTF-8 text, see `FolderTokenizer.encode`."""
    return self._tokenizer.encode_text(utf8.text(data), begins=False)

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the text of ids, see `FolderTokenizer.decode`."""
    return self._tokenizer.decode_ids(ids, begins=False)


def load(path: str | Path) -> FolderTokenizer:
  """Returns the tokenizer of a model's folder.

  Args:
    path: the folder, or the `tokenizer.json` or SentencePiece model in one.

  Raises:
    DataError: if there is no tokenizer, or one that is damaged or cannot be read.
  """
  path = Path(path).expanduser()
  folder = path if path.is_dir() else path.parent
  settings = folder_files.read(folder)
  kind, content, roles, where = _pieces(folder, path, settings)
  settings = settings._replace(roles=roles | settings.roles)
  parts = {"kind": kind, "content": content, "settings": settings._asdict()}
  return FolderTokenizer(parts, str(where))


def write(kept: bytes, folder: Path) -> list[str]:
  """Writes the files of a tokenizer that a run kept; returns their names.

  Args:
    kept: the content of the file of the run, see `FolderTokenizer`.
    folder: where the files are written.
  """
  parts = json.loads(kept)["parts"]
  content = parts["content"].encode()
  if parts["kind"] == SENTENCEPIECE:
    content = base64.b64decode(content)
  files.write_bytes(folder / parts["kind"], content)
  settings = FolderSettings(**parts["settings"])
  return [parts["kind"], *folder_files.write(folder, settings)]


def make(parts: Any, name: str) -> FolderTokenizer:
  """Returns the tokenizer that a run kept.

  Args:
    parts: the arguments of `FolderTokenizer`, whose types are not checked yet.
    name: the name of the file, for messages.

  Raises:
    DataError: if they do not fit together; names the file.
  """
  try:
    return FolderTokenizer(parts, name)
  except DataError:
    raise
  except Exception as error:  # a damaged file may make the package raise anything
    raise DataError(f"{name} is damaged ({reason(error)}): fetch it again") from error


def _pieces(
  folder: Path, path: Path, settings: FolderSettings
) -> tuple[str, str, dict[str, str], Path]:
  """Returns the kind of a folder's pieces, their content, their roles, and the file."""
  # a file that is asked for by its name is the one that is read
  asked = [path] if path.is_file() else [folder / name for name in (JSON, *_MODELS)]
  for file in filter(Path.is_file, asked):
    if file.suffix == ".model":
      return SENTENCEPIECE, _read_base64(file), {}, file
    return JSON, folder_files.read_text(file), {}, file
  if (file := folder / "vocab.txt").is_file():
    text = folder_files.read_text(file)
    return JSON, *plain_files.word_pieces(text, settings), file
  file, merges = folder / "vocab.json", folder / "merges.txt"
  if file.is_file() and merges.is_file():
    pieces, text = folder_files.read_object(file), folder_files.read_text(merges)
    return JSON, *plain_files.byte_pairs(pieces, text, settings, str(file)), file
  if path.exists():
    raise DataError(
      f"{path} has no tokenizer: no {JSON}, {', '.join(_MODELS)}, vocab.txt, or "
      "vocab.json with merges.txt"
    )
  raise DataError(f"no folder {path}")


def _read_base64(path: Path) -> str:
  try:
    return base64.b64encode(path.read_bytes()).decode()
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error


def _engine(parts: dict[str, Any], settings: FolderSettings, name: str) -> Any:
  """Returns the map of text to ids, see `json_engine`, `sentencepiece_engine`."""
  named, exact = [*settings.roles.values()], bool(parts.get("exact"))
  if parts["kind"] == JSON:
    require("tokenizers", extra="interop")
    from jaxmem.tokenizers.json_engine import JsonEngine

    return JsonEngine(parts["content"], settings.added, named, name, exact)
  require("sentencepiece", extra="interop")
  from jaxmem.tokenizers.sentencepiece_engine import SentencePieceEngine

  model = base64.b64decode(parts["content"])
  return SentencePieceEngine(model, settings, name, exact)


def _stretches(
  text: str,
  marks: Sequence[tuple[int, int, str]],
  strips: dict[str, tuple[bool, bool]],
) -> Iterator[tuple[str, str | None, bool]]:
  """Yields each stretch of plain text, the special token after it, and if it is first.

  Args:
    text: the text.
    marks: begin, end, and the special token of each place, in order.
    strips: a special token -> whether it takes white space before and after it away.
  """
  at, strips_left = 0, False
  for begin, end, token in [*marks, (len(text), len(text), None)]:
    stretch = text[at:begin]
    if strips_left:
      stretch = stretch.lstrip()
    strips_right, strips_next = strips.get(token, (False, False))
    if strips_right:
      stretch = stretch.rstrip()
    yield stretch, token, at == 0
    at, strips_left = end, strips_next
