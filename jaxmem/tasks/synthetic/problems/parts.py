"""Parts of several tasks: distinct numbers, gaps by a power law, tokens that ask."""

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic.problems import Examples

WRITE = 1  # the token at which each token of a longer answer is due


def check_room(
  subject: str,
  sizes: tuple[int, int],
  least: tuple[int, int],
  remedy: str = "give it more room",
  possible: bool = True,
) -> None:
  """Checks that an example fits.

  Args:
    subject: the example and its verb, such as "3 pairs need".
    sizes: the length and the size of the vocabulary.
    least: the least sizes that the example needs.
    remedy: the end of the message.
    possible: whether the other options of the task are valid.

  Raises:
    UserError: if it does not fit; the message names what it needs.
  """
  (length, vocab_size), (least_length, least_vocab) = sizes, least
  if not possible or length < least_length or vocab_size < least_vocab:
    raise UserError(
      f"{subject} a length of {least_length} and a vocabulary of {least_vocab}, not "
      f"{length} and {vocab_size}: {remedy}"
    )


def distinct(rng: np.random.Generator, rows: int, below: int, count: int) -> np.ndarray:
  """Draws [rows, count], in each row distinct numbers of 0 .. below - 1."""
  pool = np.tile(np.arange(below), (rows, 1))
  if below < 16 * count:
    return rng.permuted(pool, axis=1)[:, :count]
  # A few of many: only the first `count` steps of the shuffle, for all rows at once.
  row = np.arange(rows)
  for n in range(count):
    swap = rng.integers(n, below, rows)
    pool[row, n], pool[row, swap] = pool[row, swap], pool[row, n]
  return pool[:, :count]


def gaps(
  rng: np.random.Generator, rows: int, below: int, count: int, power: float
) -> np.ndarray:
  """Draws [rows, count], distinct numbers n with weights (n + 1) ** (power - 1).

  This is a draw without replacement: of exponential waiting times with these rates, the
  shortest are taken. Power 1 is uniform.
  """
  if power == 1:
    return distinct(rng, rows, below, count)
  waits = rng.exponential(size=(rows, below))
  return np.argsort(waits / np.arange(1, below + 1) ** (power - 1), axis=1)[:, :count]


def ask_at(tokens: np.ndarray, positions: np.ndarray, answers: np.ndarray) -> Examples:
  """Returns examples that ask for [B, n] `answers` at [B, n] `positions` only."""
  targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
  np.put_along_axis(targets, positions, answers, axis=1)
  np.put_along_axis(weights, positions, 1, axis=1)
  return Examples(tokens, targets, weights)


def at_the_end(tokens: np.ndarray, answers: np.ndarray) -> Examples:
  """Returns examples that ask for [B, n] `answers` at the last n tokens."""
  rows, length = tokens.shape
  positions = np.arange(length - answers.shape[1], length)
  return ask_at(tokens, np.broadcast_to(positions, answers.shape), answers)


def write_after(content: np.ndarray, answers: np.ndarray, length: int) -> Examples:
  """Returns examples of filler, `content`, and a token WRITE for each answer."""
  rows, count = answers.shape
  tokens = np.zeros((rows, length), np.int32)
  tokens[:, length - count - content.shape[1] : length - count] = content
  tokens[:, length - count :] = WRITE
  return at_the_end(tokens, answers)


def first_alike(ids: np.ndarray) -> np.ndarray:
  """Returns [B, n], where in its row each id occurs first."""
  order = np.argsort(ids, axis=1, kind="stable")
  # a stable sort puts equal ids together, the first occurrence first
  ranked = np.take_along_axis(ids, order, axis=1)  # [B, n]
  begins = np.zeros(ids.shape, np.int64)
  begins[:, 1:] = np.where(
    ranked[:, 1:] != ranked[:, :-1], np.arange(1, ids.shape[1]), 0
  )
  begins = np.maximum.accumulate(begins, axis=1)
  firsts = np.empty_like(begins)
  np.put_along_axis(firsts, order, np.take_along_axis(order, begins, axis=1), axis=1)
  return firsts
