"""Recall where keys and values are several tokens each, a random number of them.

A run of key tokens is a key, a run of value tokens its value. For a key seen before,
answers are due at its last token and at all tokens of its value but the last: each
value token follows the right one, since the example continues with the right answer.

Source: Poli et al. 2024, arXiv:2403.17844 (MAD, fuzzy in-context recall, asked by
many keys).
"""

import numpy as np

from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=16, key_tokens=3, value_tokens=3),
  "paper": dict(length=128, vocab_size=16, key_tokens=3, value_tokens=3),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 16,
  key_tokens: int = 3,
  value_tokens: int = 3,
) -> Examples:
  """Draws random examples.

      0 0 a b x c y z a b x a x y c y z   ->   x at the second b, y z at the second c y

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least twice the longest pair; filler begins it.
    vocab_size: 0 is filler, the lower half are tokens of keys, the upper of values.
    key_tokens: the most tokens of a key; 1 to so many are equally likely, all
      different.
    value_tokens: the most tokens of a value, likewise.

  Returns:
    Examples; only the values of keys that were seen before count. The last key of an
    example always was.

  Raises:
    UserError: if the length or the vocabulary is too small for the longest pair.
  """
  kinds, pair = (vocab_size - 1) // 2, key_tokens + value_tokens
  parts.check_room(
    f"keys of {key_tokens} and values of {value_tokens} tokens need",
    (length, vocab_size),
    (2 * pair, 2 * max(key_tokens, value_tokens) + 1),
    "shorten them to 1 or more, or give them more room",
    possible=min(key_tokens, value_tokens) >= 1,
  )
  slots = length // 2
  keys, key_sizes = _motifs(rng, (rows, slots), kinds, key_tokens)
  values, value_sizes = _motifs(
    rng, (rows, slots), vocab_size - 1 - kinds, value_tokens
  )
  values = np.where(values > 0, values + kinds, 0)

  def repeat(whence):
    """Returns the values, [B, n, most], and sizes, [B, n], of the slots `whence`."""
    sizes = np.take_along_axis(value_sizes, whence, axis=1)
    return np.take_along_axis(values, whence[:, :, None], axis=1), sizes

  # equal keys get the number of the first slot that has them, token by token
  ids = np.zeros((rows, slots), np.int64)
  for n in range(key_tokens):
    ids = parts.first_alike(ids * (kinds + 1) + keys[:, :, n])
  values, value_sizes = repeat(ids)
  # Pairs after which there is room for another are used; the last one repeats one.
  ends = np.cumsum(key_sizes + value_sizes, axis=1)  # [B, slots]
  last = (ends <= length - pair).sum(axis=1)  # [B]
  whence = np.tile(np.arange(slots), (rows, 1))
  whence[np.arange(rows), last] = rng.integers(0, last)
  values, value_sizes = repeat(whence)
  keys = np.take_along_axis(keys, whence[:, :, None], axis=1)
  key_sizes = np.take_along_axis(key_sizes, whence, axis=1)
  ids = np.take_along_axis(ids, whence, axis=1)
  repeated = parts.first_alike(ids) < np.arange(slots)
  return _laid(keys, key_sizes, values, value_sizes, repeated, last, length)


def _motifs(rng, shape, kinds, largest):
  """Draws [B, n, most] different tokens of 1 .. kinds, then zeros; [B, n] sizes."""
  # the first places of a random order are a draw without replacement
  tokens = 1 + np.argsort(rng.random((*shape, kinds)), axis=2)[:, :, :largest]
  sizes = rng.integers(1, largest + 1, shape)
  return np.where(np.arange(largest) < sizes[:, :, None], tokens, 0), sizes


def _laid(keys, key_sizes, values, value_sizes, repeated, last, length):
  """Lays out pairs 0 .. last of each row, one after another, up to the row's end."""
  rows, slots, width = keys.shape
  ends = np.cumsum(key_sizes + value_sizes, axis=1)
  shift = length - ends[np.arange(rows), last]  # [B], the filler before the first pair
  values_at = ends - value_sizes + shift[:, None]
  used = np.arange(slots) <= last[:, None]
  tokens, targets = np.zeros((2, rows, length), np.int32)
  weights = np.zeros((rows, length), np.float32)

  def put(array, motifs, start, where):
    row, slot, n = np.nonzero(where)
    array[row, start[row, slot] + n] = motifs[row, slot, n]

  put(tokens, keys, values_at - key_sizes, (keys > 0) & used[:, :, None])
  put(tokens, values, values_at, (values > 0) & used[:, :, None])
  due = (values > 0) & (used & repeated)[:, :, None]
  # a target is due one token before its value: at the key, then at the value so far
  put(targets, values, values_at - 1, due)
  put(weights, np.ones_like(values), values_at - 1, due)
  return Examples(tokens, targets, weights)
