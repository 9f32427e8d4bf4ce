"""The batches of masked language modelling: text with tokens masked."""

import numpy as np
from jaxtyping import Bool, Int

from jaxmem.data.epochs import Fresh
from jaxmem.data.lanes import Lanes
from jaxmem.data.rows import Rows, fingerprint
from jaxmem.tokenizers import Tokenizer, start_ids
from jaxmem.tokenizers.trained import mask_id


def chosen(
  shape: tuple[int, int], share: float, run: int, draw: np.random.Generator
) -> Bool[np.ndarray, "B T"]:
  """Draws which tokens are masked: about `share` of them, in runs of `run` tokens.

  Args:
    shape: B, T.
    share: the probability that a token is masked, in (0, 1).
    run: tokens of a run, >= 1.
    draw: the random generator.

  Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1; Joshi et al. 2019,
  arXiv:1907.10529 (runs).
  """
  # a token stays if none of the `run` runs over it begins: (1 - begin)^run = 1 - share
  begins = draw.random(shape) < 1 - (1 - share) ** (1 / run)
  masked = begins.copy()
  for i in range(1, run):
    masked[:, i:] |= begins[:, :-i]
  return masked


def hide(
  tokens: Int[np.ndarray, "B T"],
  where: Bool[np.ndarray, "B T"],
  ids: tuple[int, int, int],
  draw: np.random.Generator,
) -> Int[np.ndarray, "B T"]:
  """Replaces chosen tokens: 80 % by the mask, 10 % by any id of text; 10 % stay.

  Args:
    tokens: the tokens of the text.
    where: the chosen tokens, which are to be predicted.
    ids: the id of the mask, the number of ids, and the id of the EOS token.
    draw: the random generator.

  Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1.
  """
  mask, vocab_size, eos_id = ids
  kind = draw.random(tokens.shape)  # [B, T]
  # any id but that of the EOS token, which would begin a document
  replacement = draw.integers(0, vocab_size - 1, tokens.shape)
  replacement += replacement >= eos_id
  replaced = np.where(kind < 0.8, mask, np.where(kind < 0.9, replacement, tokens))
  return np.where(where, replaced, tokens).astype(np.int32)


def masked_rows(
  lanes: Lanes, tokenizer: Tokenizer, share: float, run: int, seed: int
) -> Rows:
  """Returns batches of segments of text with tokens masked.

  A segment may begin in the middle of a document, which is then read from there on; EOS
  tokens, and what begins a document, are never masked.

  Args:
    lanes: the segments.
    tokenizer: the tokenizer of the segments.
    share: see `chosen`.
    run: see `chosen`.
    seed: decides the draws.
  """
  ids = mask_id(tokenizer), tokenizer.vocab_size, tokenizer.eos_id
  never = [tokenizer.eos_id, *start_ids(tokenizer)]

  def collate(_, numbers):
    """Masks the segments of one step; `numbers` are those of its rows."""
    segments = lanes[int(numbers[0]) // lanes.batch_size]
    tokens = segments["tokens"]  # [B, T]
    where, inputs = np.zeros(tokens.shape, bool), tokens.copy()
    # a generator for each row: how many processes share a step changes no draw
    for i, number in enumerate(numbers.tolist()):
      draw, row = np.random.default_rng([seed, 4, number]), slice(i, i + 1)
      where[row] = chosen(tokens[row].shape, share, run, draw)
      where[row] &= ~np.isin(tokens[row], never)
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
