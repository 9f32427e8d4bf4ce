"""What a file is, by its first bytes: never by its name alone.

`RECOGNISED` is the one table of formats. A new format is added here: a `Format` with
its first bytes, and either `unpack` (returns a stream of the bytes, for compression) or
`remedy` (what to do instead, for what is not read as text). A reader of the records of
such a format belongs in `jaxmem.data.records.READERS`, under its name here; all other
readers of text still refuse it.
"""

import bz2
import codecs
import gzip
import io
import lzma
from collections.abc import Callable
from typing import NamedTuple

from jaxmem.core.extras import require

HEAD = 8192  # how many first bytes of a file decide what it is


class Format(NamedTuple):
  """A kind of file.

  Attributes:
    name: its name in words, as it follows "it is".
    magic: its first bytes, any of several.
    offset: where these bytes stand.
    remedy: what to do with a file that is refused; empty if it is read.
    unpack: opens a stream of what a compressed file holds; None for other files.
  """

  name: str
  magic: tuple[bytes, ...]
  offset: int = 0
  remedy: str = ""
  unpack: Callable[[io.IOBase], io.IOBase] | None = None


class _Zstandard(io.RawIOBase):
  """What a file of Zstandard holds; damage raises ValueError, as other formats do."""

  def __init__(self, file: io.IOBase):
    try:
      from compression import zstd  # Python 3.14
    except ImportError:
      require("backports.zstd", extra="data")
      from backports import zstd
    self._inner, self._error = zstd.ZstdFile(file), zstd.ZstdError

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return self._inner.seekable()

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    try:
      return self._inner.seek(offset, whence)
    except self._error as error:
      raise ValueError(str(error)) from error

  def readinto(self, buffer) -> int:
    try:
      return self._inner.readinto(buffer)
    except self._error as error:
      raise ValueError(str(error)) from error


_UNPACK = "unpack it first"
_TEXT = "leave it out, or save its text as a file of UTF-8"
_LINES = "save its records as JSON Lines or CSV"
_PARQUET = (
  "convert it: pandas.read_parquet(FILE).to_json(OUT, orient='records', lines=True), "
  "or .to_csv(OUT, index=False) for a table of series"
)
_ARROW = "convert it: datasets.load_from_disk(FOLDER).to_json(OUT), or pyarrow's csv"
_NUMBERS = "save its numbers as CSV, or its records as JSON Lines"
_MEDIA = "leave it out of the source: only text is read"

ZIP, TAR = ARCHIVES = "a zip archive", "a tar archive"
GZIP, XZ, BZIP2, ZSTANDARD = "gzip", "xz", "bzip2", "Zstandard (zstd)"
PARQUET, ARROW, ARROW_STREAM = "Parquet", "an Arrow file", "an Arrow stream"

RECOGNISED = (
  Format(GZIP, (b"\x1f\x8b",), unpack=lambda file: gzip.GzipFile(fileobj=file)),
  Format(XZ, (b"\xfd7zXZ\0",), unpack=lzma.LZMAFile),
  Format(BZIP2, (b"BZh",), unpack=bz2.BZ2File),
  Format(ZIP, (b"PK\x03\x04", b"PK\x05\x06")),
  Format(
    ZSTANDARD,
    (b"\x28\xb5\x2f\xfd",),
    unpack=lambda file: io.BufferedReader(_Zstandard(file)),
  ),
  Format("LZ4", (b"\x04\x22\x4d\x18",), remedy="run lz4 -d on it first"),
  Format("framed Snappy", (b"\xff\x06\0\0sNaPpY",), remedy=_UNPACK),
  Format("compress (.Z)", (b"\x1f\x9d",), remedy="run uncompress on it first"),
  Format("a 7-Zip archive", (b"7z\xbc\xaf\x27\x1c",), remedy=_UNPACK),
  Format("a RAR archive", (b"Rar!\x1a\x07",), remedy=_UNPACK),
  Format(TAR, (b"ustar",), 257),
  Format(PARQUET, (b"PAR1", b"PARE"), remedy=_PARQUET),
  Format(ARROW, (b"ARROW1",), remedy=_ARROW),
  Format(ARROW_STREAM, (b"\xff\xff\xff\xff",), remedy=_ARROW),
  Format("a Feather file", (b"FEA1",), remedy="convert it to CSV with pandas"),
  Format("an ORC file", (b"ORC",), remedy=_LINES),
  Format("an Avro file", (b"Obj\x01",), remedy=_LINES),
  Format(
    "a Python pickle", tuple(bytes([0x80, n]) for n in (2, 3, 4, 5)), remedy=_LINES
  ),
  Format("a NumPy array (.npy)", (b"\x93NUMPY",), remedy=_NUMBERS),
  Format("a MATLAB file", (b"MATLAB 5.0",), remedy=_NUMBERS),
  Format("an SQLite database", (b"SQLite format 3\0",), remedy=_LINES),
  Format("an HDF5 file", (b"\x89HDF\r\n\x1a\n",), remedy=_NUMBERS),
  Format("a safetensors file", (b'{"',), 8, remedy="it holds weights, no data"),
  Format("a GGUF file", (b"GGUF",), remedy="it holds weights, no data"),
  Format("a PDF document", (b"%PDF-",), remedy=_TEXT),
  Format("an RTF document", (b"{\\rtf",), remedy=_TEXT),
  Format(
    "an old Office document (doc, xls, ppt)",
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    remedy=_TEXT,
  ),
  Format("a PNG image", (b"\x89PNG\r\n\x1a\n",), remedy=_MEDIA),
  Format("a JPEG image", (b"\xff\xd8\xff",), remedy=_MEDIA),
  Format("a GIF image", (b"GIF87a", b"GIF89a"), remedy=_MEDIA),
  Format("a TIFF image", (b"II*\0", b"MM\0*"), remedy=_MEDIA),
  Format("audio, video or an image (RIFF)", (b"RIFF",), remedy=_MEDIA),
  Format("audio (FLAC, Ogg)", (b"fLaC", b"OggS"), remedy=_MEDIA),
  Format("audio (MP3)", (b"ID3",), remedy=_MEDIA),
  Format("video (MP4)", (b"ftyp",), 4, remedy=_MEDIA),
  Format("a program (ELF)", (b"\x7fELF",), remedy=_MEDIA),
  Format(
    "a pointer of Git LFS, without the file itself",
    (b"version https://git-lfs.github.com/spec/",),
    remedy="run git lfs pull",
  ),
)

# First bytes that a text may have too; the file is binary only if a NUL follows.
_WEAK = (
  b"ustar",
  b"ORC",
  b"ID3",
  b"RIFF",
  b"ftyp",
  b'{"',
  b"PAR1",
  b"FEA1",
  b"GGUF",
  b"PARE",
)

# Longer marks come first: that of UTF-32 begins with that of UTF-16.
MARKS = (
  (codecs.BOM_UTF32_LE, "utf-32-le"),
  (codecs.BOM_UTF32_BE, "utf-32-be"),
  (codecs.BOM_UTF8, "utf-8"),
  (codecs.BOM_UTF16_LE, "utf-16-le"),
  (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def recognise(head: bytes) -> Format | None:
  """Returns the format that a file's first bytes show, or None if they may be text.

  Args:
    head: the first `HEAD` bytes of the file, fewer if it is shorter.
  """
  for candidate in RECOGNISED:
    for magic in candidate.magic:
      matches = head[candidate.offset :].startswith(magic)
      if matches and _is_certain(candidate, magic, head):
        return candidate
  return None


def _is_certain(candidate: Format, magic: bytes, head: bytes) -> bool:
  """Returns whether no text begins like this; a few magic bytes are letters."""
  if candidate.name == BZIP2:  # a block size, then the mark of a block or of the end
    return head[3:4].isdigit() and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")
  if candidate.name == ARROW_STREAM:  # the length of a message follows
    return len(head) > 8 and b"\0" in head[4:8]
  if candidate.name == "a safetensors file":  # the length of its header comes first
    return int.from_bytes(head[:8], "little") < 1 << 32 and b"\0" in head[:8]
  if candidate.name == "a Python pickle":  # "." is the opcode that stops
    return b"\0" in head or head.rstrip().endswith(b".")
  return magic not in _WEAK or b"\0" in head


def mark(head: bytes) -> tuple[bytes, str]:
  """Returns the byte-order mark of a file and its encoding; b"" and "" without one."""
  return next(((m, name) for m, name in MARKS if head.startswith(m)), (b"", ""))


def unmarked(head: bytes) -> str:
  """Guesses the encoding of a file with NULs and without a mark; "" is none.

  In text of few scripts the high bytes of UTF-16 and UTF-32 are mostly NUL, and the
  others hardly ever: which of every four bytes are NUL gives the encoding away.
  """
  head = head[: len(head) // 4 * 4]
  if len(head) < 4:
    return ""
  shares = [head[i::4].count(0) / (len(head) / 4) for i in range(4)]
  patterns = {
    "utf-32-le": (False, True, True, True),
    "utf-32-be": (True, True, True, False),
    "utf-16-le": (False, True, False, True),
    "utf-16-be": (True, False, True, False),
  }
  for name, pattern in patterns.items():
    pairs = zip(shares, pattern, strict=True)
    if all(share > 0.7 if is_nul else share < 0.1 for share, is_nul in pairs):
      return name
  return ""
