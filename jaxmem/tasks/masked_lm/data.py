"""Text with words hidden: what an encoder learns to say."""

import numpy as np
from jaxtyping import Bool, Int

from jaxmem.data.epochs import Fresh
from jaxmem.data.lanes import Lanes
from jaxmem.data.rows import Rows, fingerprint
from jaxmem.tokenizers import Tokenizer
from jaxmem.tokenizers.trained import mask_id


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
      its EOS token, which is none of text.
    draw: of which, and what.
  """
  way = draw.random(tokens.shape)
  other = draw.integers(0, ids[1] - 1, tokens.shape)
  other += other >= ids[2]
  changed = np.where(way < 0.8, ids[0], np.where(way < 0.9, other, tokens))
  return np.where(where, changed, tokens).astype(np.int32)


def masked_rows(
  lanes: Lanes, tokenizer: Tokenizer, share: float, run: int, seed: int
) -> Rows:
  """Segments of lanes with tokens hidden.

  A document that a segment begins in the middle of is read from there on; EOS tokens
  are never hidden.

  Args:
    lanes: the segments.
    tokenizer: of the segments.
    share: see `chosen`.
    run: see `chosen`.
    seed: decides the draws.
  """
  ids = mask_id(tokenizer), tokenizer.vocab_size, tokenizer.eos_id

  def collate(_, numbers):
    segments = lanes[int(numbers[0]) // lanes.batch_size]
    tokens = segments["tokens"]
    where, inputs = np.zeros(tokens.shape, bool), tokens.copy()
    for i, number in enumerate(numbers.tolist()):  # so that processes do not matter
      draw, row = np.random.default_rng([seed, 4, number]), slice(i, i + 1)
      where[row] = chosen(tokens[row].shape, share, run, draw)
      where[row] &= tokens[row] != tokenizer.eos_id
      inputs[row] = hide(tokens[row], where[row], ids, draw)
    return {
      "tokens": inputs,
      "targets": tokens.astype(np.int32),
      "weights": where.astype(np.float32),
      "reset": segments["reset"],
    }

  return Rows(
    Fresh(lanes.batch_size, (lanes.process_index, lanes.process_count), len(lanes)),
    collate,
    fingerprint(("jaxmem masked 2", lanes.fingerprint, share, run, seed)),
    tokenizer.fingerprint,
  )
