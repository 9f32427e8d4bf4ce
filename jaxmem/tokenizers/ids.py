"""Token ids: how many there may be, which are valid, and the bytes they stand for."""

from collections.abc import Sequence

import numpy as np

# The most ids of a vocabulary: an embedding of more would not fit a device.
MOST_IDS = 10_000_000
# The format in the file in which a run keeps the tokenizer of a `.gguf`.
BYTE_PAIRS = "byte pairs 1"
# And that of a model's folder.
FOLDER = "folder 1"


def check_ids(ids: np.ndarray, vocab_size: int) -> list[int]:
  """Returns the ids as a list, in row order.

  Raises:
    ValueError: if an id is outside 0 .. vocab_size - 1.
  """
  ids = np.asarray(ids).ravel()
  outside = ids[(ids < 0) | (ids >= vocab_size)]
  if outside.size:
    raise ValueError(f"id {outside[0]} is outside 0 .. {vocab_size - 1}")
  return ids.tolist()


class OldNames:
  """Special ids by the names that they had before 0.2; these go in 0.3."""

  boundary = property(lambda self: self.eos_id)
  begin = property(lambda self: self.cls_id)
  mask = property(lambda self: self.mask_id)
  unknown = property(lambda self: self.unk_id)


class ByteDecoder(OldNames):
  """The half of a tokenizer that decodes: each of its ids stands for some bytes.

  A subclass sets `vocab_size` and `_bytes`, the bytes of every id; an EOS token or
  another control piece has none.
  """

  vocab_size: int
  _bytes: Sequence[bytes]

  def decode(self, ids: np.ndarray) -> bytes:
    """Returns the bytes of `ids`; EOS tokens and other control pieces are left out.

    Args:
      ids: integers of any shape, 0 .. vocab_size - 1, read in row order.

    Returns:
      Exactly the bytes that were encoded. Ids that a model drew may spell bytes that
      are not UTF-8.

    Raises:
      ValueError: if an id is outside the vocabulary.
    """
    return b"".join([self._bytes[i] for i in check_ids(ids, self.vocab_size)])
