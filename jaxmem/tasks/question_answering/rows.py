"""Rows of a question and a window of its text, and the best answer in a window."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmem.core.errors import DataError
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tasks.question_answering.data import Pieces, pieces
from jaxmem.tokenizers import Tokenizer


class Window(NamedTuple):
  """A part of a text after its question: begin question end part end.

  Attributes:
    tokens: the tokens of the row, without padding.
    types: the type of each token: 0 up to the end of the question, then 1, or 2.
    shift: the position in the row of the text's token 0; may be negative.
    first: the position in the row of the first token of the part.
    count: how many tokens the part has.
  """

  tokens: Int[np.ndarray, " N"]
  types: Int[np.ndarray, " N"]
  shift: int
  first: int
  count: int


class Cutter:
  """Cuts texts into windows that overlap."""

  def __init__(
    self,
    tokenizer: Tokenizer,
    length: int,
    question: int,
    overlap: int,
    match: bool = False,
  ):
    """Cuts nothing yet.

    Args:
      tokenizer: the tokenizer of questions and texts.
      length: T, tokens of a row.
      question: the most tokens of a question.
      overlap: tokens that two neighbouring windows share.
      match: whether tokens of a text that are in its question have type 2, not 1.
    """
    self.tokenizer, self._length = tokenizer, length
    self._question, self._overlap, self._match = question, overlap, match

  def windows(self, question: str, context: str) -> tuple[list[Window], Pieces]:
    """Returns the windows that cover a text, and the characters of its tokens.

    Raises:
      DataError: if the tokenizer makes no token of the text.
    """
    question_ids = pieces(self.tokenizer, question).ids[: self._question]
    text = pieces(self.tokenizer, context)
    if not len(text.ids):
      raise DataError(f"the tokenizer makes nothing of {context[:60]!r}")
    end = self.tokenizer.eos_id
    begin = getattr(self.tokenizer, "cls_id", end)
    head = [begin, *question_ids.tolist(), end]
    room = self._length - len(head) - 1  # tokens of the text in a row
    kinds = 1 + (np.isin(text.ids, question_ids) & self._match)  # [N]
    windows, start = [], 0
    while True:
      part = text.ids[start : start + room].tolist()
      tokens = np.array([*head, *part, end], np.int32)
      types = np.array([*[0] * len(head), *kinds[start : start + room], 1], np.int32)
      windows.append(Window(tokens, types, len(head) - start, len(head), len(part)))
      if start + room >= len(text.ids):
        return windows, text
      start += room - self._overlap

  def batch(self, windows: list[Window], answers: list[tuple[int, int]]) -> Batch:
    """Makes a batch of windows and their answers; see `SpanReader`.

    Args:
      windows: one a row.
      answers: the positions of the first and the last token of each answer.
    """
    rows, length = len(windows), self._length
    tokens, types = np.zeros((2, rows, length), np.int32)  # [B, T] each
    context = np.zeros((rows, length), bool)
    for i, w in enumerate(windows):
      tokens[i, : len(w.tokens)] = w.tokens
      types[i, : len(w.tokens)] = w.types
      context[i, w.first : w.first + w.count] = True
    # position 0 is the answer of a window that does not have it, as for BERT on SQuAD 2
    context[:, 0] = True
    positions = np.array(answers, np.int32).reshape(rows, 2)
    return {
      "tokens": tokens,
      "types": types,
      "length": np.array([len(w.tokens) for w in windows], np.int32),
      "context": context,
      "first": positions[:, 0],
      "last": positions[:, 1],
      "weights": np.ones(rows, np.float32),
    }


def answer_in(window: Window, text: Pieces, start: int, end: int) -> tuple[int, int]:
  """Finds the first and the last position of an answer in the row of a window.

  Args:
    window: the window.
    text: the tokens of the whole text.
    start: the first character of the answer.
    end: one behind its last character.

  Returns:
    Positions in the row; (0, 0) unless the window has the whole answer.
  """
  inside = np.flatnonzero((text.end > start) & (text.begin < end))
  if not len(inside):
    return 0, 0
  first, last = inside[0] + window.shift, inside[-1] + window.shift
  is_whole = window.first <= first and last < window.first + window.count
  return (int(first), int(last)) if is_whole else (0, 0)


def best_span(
  logits: Float[np.ndarray, "T 2"], window: Window, longest: int
) -> tuple[int, int, float]:
  """Finds the likeliest answer in a window.

      max over i <= j < i + longest of first_i + last_j

  Cost: O(count longest).

  Args:
    logits: the logits of the first and the last token of an answer.
    window: the window of the row.
    longest: the most tokens of an answer.

  Returns:
    The first and the last token of the answer, as indices of the whole text's tokens,
    and how many nats likelier it is than that the window has no answer.
  """
  part = slice(window.first, window.first + window.count)
  first, last = logits[part, 0], logits[part, 1]  # [N], [N]
  best = -np.inf, 0, 0
  # all answers of one length at once
  for size in range(min(longest, window.count)):
    scores = first[: len(first) - size] + last[size:]  # [N - size]
    i = int(scores.argmax())
    best = max(best, (float(scores[i]), i, i + size))
  score, i, j = best
  to_text = window.first - window.shift
  return i + to_text, j + to_text, score - float(logits[0].sum())


# A window, and the positions of its answer.
Row = tuple[Window, tuple[int, int]]


def span_rows(
  cutter: Cutter,
  rows: list[Row],
  batch_size: int,
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """Returns the batches of windows, in epochs.

  Args:
    cutter: the cutter that made the windows.
    rows: the windows and the positions of their answers.
    batch_size: rows of a step, over all processes.
    seed: decides the order.
    process: which process reads, of how many.
  """
  tokenizer = cutter.tokenizer.fingerprint
  content = (
    part
    for window, answer in rows
    for part in (
      window.tokens.tobytes() + window.types.tobytes(),
      repr((window[2:], answer)).encode(),
    )
  )
  return Rows(
    Epochs(len(rows), batch_size, seed, *process),
    lambda items, _: collate(cutter, [rows[i] for i in items.tolist()]),
    fingerprint(("jaxmem spans 2", batch_size, seed, tokenizer), content),
    tokenizer,
  )


def collate(cutter: Cutter, rows: list[Row]) -> Batch:
  """Makes a batch of windows and the positions of their answers."""
  windows, answers = zip(*rows, strict=True)
  return cutter.batch(list(windows), list(answers))
