"""Reads what the writers of a run have written: TensorBoard's events, W&B's records."""

import struct
from pathlib import Path

# Both formats are framed records. The reader of W&B's is not part of its package.
_BLOCK = 32_768


def tensorboard(directory: Path) -> dict[str, list]:
  """Returns the values of each tag, as `tensorboardX` has them, in their order."""
  from tensorboardX.proto.event_pb2 import Event

  values: dict[str, list] = {}
  for path in sorted(directory.glob("events.*")):
    content = path.read_bytes()
    while content:
      (size,) = struct.unpack("<Q", content[:8])
      for value in Event.FromString(content[12 : 12 + size]).summary.value:
        values.setdefault(value.tag, []).append(value)
      content = content[16 + size :]  # checksums follow the size and the record
  return values


def wandb(path: Path) -> list:
  """Returns the records of an offline run of Weights & Biases, in their order."""
  from wandb.proto.wandb_internal_pb2 import Record

  content, at, parts, records = path.read_bytes(), 7, b"", []
  while at + 7 <= len(content):
    if _BLOCK - at % _BLOCK < 7:  # no header fits: the rest of the block is empty
      at += _BLOCK - at % _BLOCK
      continue
    size, kind = struct.unpack("<HB", content[at + 4 : at + 7])
    parts += content[at + 7 : at + 7 + size]
    at += 7 + size
    if kind in (1, 4):  # whole, or the last part
      records.append(Record.FromString(parts))
      parts = b""
  return records
