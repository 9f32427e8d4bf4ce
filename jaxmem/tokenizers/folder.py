"""The tokenizer of a model's folder, as its files and not its code describe it.

    tokenizer = folder.load("models/qwen3")
    tokenizer.encode(b"def main"), tokenizer.start_id, tokenizer.end_ids

It reads `tokenizer.json`; else `tokenizer.model` (SentencePiece), `vocab.txt`
(WordPiece) or `vocab.json` with `merges.txt` (byte-level BPE). The ids are those that
transformers gives, with special tokens that a text spells read as text.
"""

import base64
import json
from pathlib import Path
from typing import Any

from jaxmem.core import files
from jaxmem.core.errors import DataError, reason
from jaxmem.tokenizers import folder_files, plain_files
from jaxmem.tokenizers.folder_files import FolderSettings
from jaxmem.tokenizers.folder_tokenizer import JSON, SENTENCEPIECE, FolderTokenizer

# Names of SentencePiece models in folders.
_MODELS = (SENTENCEPIECE, "spiece.model", "sentencepiece.bpe.model")


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


def write(kept: bytes, folder: str | Path) -> list[str]:
  """Writes the files of a tokenizer that a run kept; returns their names.

  Args:
    kept: the content of the file of the run, see `FolderTokenizer`.
    folder: where the files are written.
  """
  folder, parts = Path(folder), json.loads(kept)["parts"]
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
