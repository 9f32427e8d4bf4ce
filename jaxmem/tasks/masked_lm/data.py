"""Text with words hidden: what an encoder learns to say."""

import hashlib
import json

import numpy as np
from jaxtyping import Bool, Int

from jaxmem.data.lanes import Lanes
from jaxmem.tokenizers import Tokenizer
from jaxmem.tokenizers.trained import hidden

Batch = dict[str, np.ndarray]


def chosen(
  shape: tuple[int, int], share: float, run: int, draw: np.random.Generator
) -> Bool[np.ndarray, "B T"]:
  """Which tokens are to be said: about `share` of them, in runs of `run` tokens.

  Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1; Joshi et al. 2019,
  arXiv:1907.10529 (runs).
  """
  # so many runs begin that a token is in one with the probability `share`
  begins = draw.random(shape) < 1 - (1 - share) ** (1 / run)
  found = begins.copy()
  for i in range(1, run):
    found[:, i:] |= begins[:, :-i]
  return found


def hide(
  tokens: Int[np.ndarray, "B T"],
  where: Bool[np.ndarray, "B T"],
  ids: tuple[int, int, int],
  draw: np.random.Generator,
) -> Int[np.ndarray, "B T"]:
  """Of the chosen tokens 80 % become `hidden`, 10 % any id of text, and 10 % stay.

  Args:
    tokens: of the text.
    where: those that are to be said.
    ids: the id that says that something is hidden, how many ids the tokenizer has, and
      its boundary, which is none of text.
    draw: of which, and what.
  """
  way = draw.random(tokens.shape)
  other = draw.integers(0, ids[1] - 1, tokens.shape)
  other += other >= ids[2]
  changed = np.where(way < 0.8, ids[0], np.where(way < 0.9, other, tokens))
  return np.where(where, changed, tokens).astype(np.int32)


class MaskedRows:
  """The batch of every step, for the head "masked"; a `tasks.Rows`.

  Rows are segments of lanes. A document that a segment begins in the middle of is read
  from there on; boundaries are never hidden.

  Attributes:
    fingerprint: SHA-256 over all that decides what a step reads.
    tokenizer: the tokenizer's fingerprint.
  """

  def __init__(
    self, lanes: Lanes, tokenizer: Tokenizer, share: float, run: int, seed: int
  ):
    """Args: segments; their tokenizer; see `chosen`; what decides the draws."""
    self._lanes, self._boundary, self._seed = lanes, tokenizer.boundary, seed
    self._share, self._run = share, run
    self._ids = hidden(tokenizer), tokenizer.vocab_size, tokenizer.boundary
    self.tokenizer = tokenizer.fingerprint
    decides = ("jaxmem masked 2", lanes.fingerprint, share, run, seed)
    self.fingerprint = hashlib.sha256(json.dumps(decides).encode()).hexdigest()

  @property
  def steps_per_epoch(self) -> int:
    """See `Lanes`."""
    return self._lanes.steps_per_epoch

  def __len__(self) -> int:
    return len(self._lanes)

  def __getitem__(self, step: int) -> Batch:
    lanes = self._lanes[step]
    tokens, rows = lanes["tokens"], lanes["rows"]
    where, inputs = np.zeros(tokens.shape, bool), tokens.copy()
    for i, row in enumerate(rows.tolist()):  # so that processes do not matter
      draw, own = np.random.default_rng([self._seed, 4, row]), slice(i, i + 1)
      where[own] = chosen(tokens[own].shape, self._share, self._run, draw)
      where[own] &= tokens[own] != self._boundary
      inputs[own] = hide(tokens[own], where[own], self._ids, draw)
    weights = where.astype(np.float32)
    text = {"tokens": inputs, "targets": tokens.astype(np.int32), "weights": weights}
    return text | {"reset": lanes["reset"], "rows": rows}
