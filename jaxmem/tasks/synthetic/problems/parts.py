"""What several tasks share: different numbers, gaps by a power law, asking, writing."""

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.tasks.synthetic.problems import Examples

WRITE = 1  # the token that stands where an answer of several tokens is to be written


def check_room(
  what: str,
  sizes: tuple[int, int],
  least: tuple[int, int],
  remedy: str = "give it more room",
  possible: bool = True,
) -> None:
  """Checks that an example fits.

  Args:
    what: the example and its verb, such as "3 pairs need".
    sizes: the length and the vocabulary that there are.
    least: those that it needs.
    remedy: ends the message.
    possible: whether the options of the task can be at all.

  Raises:
    UserError: if it does not fit; names both.
  """
  (length, vocab_size), (least_length, least_vocab) = sizes, least
  if not possible or length < least_length or vocab_size < least_vocab:
    raise UserError(
      f"{what} a length of {least_length} and a vocabulary of {least_vocab}, not "
      f"{length} and {vocab_size}: {remedy}"
    )


def distinct(rng: np.random.Generator, rows: int, below: int, count: int) -> np.ndarray:
  """[rows, count]: in each row different numbers of 0 .. below - 1, in random order."""
  pool = np.tile(np.arange(below), (rows, 1))
  if below < 16 * count:
    return rng.permuted(pool, axis=1)[:, :count]
  # A few of many: only the first `count` steps of the shuffle, for all rows at once.
  row = np.arange(rows)
  for n in range(count):
    other = rng.integers(n, below, rows)
    pool[row, n], pool[row, other] = pool[row, other], pool[row, n]
  return pool[:, :count]


def gaps(
  rng: np.random.Generator, rows: int, below: int, count: int, power: float
) -> np.ndarray:
  """[rows, count]: different places, place n as likely as (n + 1) ** (power - 1).

  Drawn one after the other without putting back: of waiting times with these rates, the
  shortest. Power 1 is uniform.
  """
  if power == 1:
    return distinct(rng, rows, below, count)
  waits = rng.exponential(size=(rows, below))
  return np.argsort(waits / np.arange(1, below + 1) ** (power - 1), axis=1)[:, :count]


def asked(tokens: np.ndarray, places: np.ndarray, answers: np.ndarray) -> Examples:
  """Examples that ask for [B, n] `answers` at [B, n] `places`, and nowhere else."""
  targets, weights = np.zeros_like(tokens), np.zeros(tokens.shape, np.float32)
  np.put_along_axis(targets, places, answers, axis=1)
  np.put_along_axis(weights, places, 1, axis=1)
  return Examples(tokens, targets, weights)


def at_the_end(tokens: np.ndarray, answers: np.ndarray) -> Examples:
  """Examples that ask for [B, n] `answers` at the last n tokens."""
  rows, length = tokens.shape
  places = np.arange(length - answers.shape[1], length)
  return asked(tokens, np.broadcast_to(places, answers.shape), answers)


def written(content: np.ndarray, answers: np.ndarray, length: int) -> Examples:
  """Examples with `content`, then a token WRITE for each answer; filler before both."""
  rows, count = answers.shape
  tokens = np.zeros((rows, length), np.int32)
  tokens[:, length - count - content.shape[1] : length - count] = content
  tokens[:, length - count :] = WRITE
  return at_the_end(tokens, answers)


def first_alike(ids: np.ndarray) -> np.ndarray:
  """[B, n]: where in its row each id stood first."""
  order = np.argsort(ids, axis=1, kind="stable")
  ranked = np.take_along_axis(ids, order, axis=1)
  begins = np.zeros(ids.shape, np.int64)
  begins[:, 1:] = np.where(
    ranked[:, 1:] != ranked[:, :-1], np.arange(1, ids.shape[1]), 0
  )
  begins = np.maximum.accumulate(begins, axis=1)
  firsts = np.empty_like(begins)
  np.put_along_axis(firsts, order, np.take_along_axis(order, begins, axis=1), axis=1)
  return firsts
