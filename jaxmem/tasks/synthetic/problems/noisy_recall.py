"""Keys and values in a row with noise between them; a key seen before asks.

A key has the same value throughout an example. The answer is due at the key, from its
second occurrence on; the value follows the key in any case.

Source: Poli et al. 2024, arXiv:2403.17844 (MAD, noisy in-context recall, asked by
many keys).
"""

import numpy as np

from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.tasks.synthetic.problems import Examples, parts

SIZES = {
  "cpu": dict(length=64, vocab_size=33, noise_vocab=0, noise=0.2),
  "paper": dict(length=128, vocab_size=33, noise_vocab=16, noise=0.2),
}


def draw(
  rng: np.random.Generator,
  rows: int,
  length: int = 64,
  vocab_size: int = 33,
  noise_vocab: int = 0,
  noise: float = 0.2,
) -> Examples:
  """Draws random examples.

      a x b y n m a x n n b y ...   ->   x at the second a, y at the second b

  Args:
    rng: fixes the examples.
    rows: B.
    length: T, at least 3; two tokens are a pair or noise. An odd one ends in a key.
    vocab_size: 0 is not used (there is no filler). The highest ids are noise; of the
      others the lower half are keys, the upper half values.
    noise_vocab: how many ids are noise; 0 is `vocab_size` // 2.
    noise: the share of the pairs of tokens that are noise, 0 to below 1. One pair, and
      the last, which repeats a key, are never noise.

  Returns:
    Examples; only keys that were seen before count.

  Raises:
    UserError: if the length or the vocabulary is too small, or there is only noise.
  """
  noise_vocab = noise_vocab or vocab_size // 2
  quiet = vocab_size - noise_vocab  # 0, the keys, the values
  kinds = (quiet - 1) // 2
  parts.check_room(
    f"recall with {noise_vocab} tokens of noise needs",
    (length, vocab_size),
    (3, noise_vocab + 3),
    possible=noise_vocab >= 1,
  )
  with raised_as(UserError):
    check_number(noise, "noise", Range(at_least=0, below=1))
  slots = (length + 1) // 2
  keys = rng.integers(1, 1 + kinds, (rows, slots))
  value_of = rng.integers(1 + kinds, quiet, (rows, 1 + kinds))
  is_noise = rng.random((rows, slots)) < noise
  is_noise[np.arange(rows), rng.integers(0, slots - 1, rows)] = False
  is_noise[:, -1] = False
  # The last key is one of the pairs before it, each as likely.
  chance = np.where(is_noise[:, :-1], -1.0, rng.random((rows, slots - 1)))
  keys[:, -1] = keys[np.arange(rows), chance.argmax(axis=1)]
  values = np.take_along_axis(value_of, keys, axis=1)
  # noise gets ids of its own, so that it repeats nothing
  first = parts.first_alike(np.where(is_noise, -1 - np.arange(slots), keys))
  repeated = first < np.arange(slots)
  tokens = np.stack([keys, values], axis=2)
  sound = rng.integers(quiet, vocab_size, tokens.shape)
  tokens = np.where(is_noise[:, :, None], sound, tokens)
  zeros = np.zeros_like(keys)

  def flat(pairs: np.ndarray, dtype: type) -> np.ndarray:  # [B, slots, 2] -> [B, T]
    return pairs.reshape(rows, -1)[:, :length].astype(dtype)

  return Examples(
    flat(tokens, np.int32),
    flat(np.stack([values * repeated, zeros], axis=2), np.int32),
    flat(np.stack([repeated, zeros], axis=2), np.float32),
  )
