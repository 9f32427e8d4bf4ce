"""Questions with windows of their texts as rows, and the best answer of a window."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmem.core.errors import DataError
from jaxmem.data.epochs import Epochs
from jaxmem.data.rows import Batch, Rows, fingerprint
from jaxmem.tasks.question_answering.data import Pieces, pieces
from jaxmem.tokenizers import Tokenizer


class Window(NamedTuple):
  """A part of a text behind its question: begin question end part end.

  Attributes:
    tokens: of the row, as long as they are.
    types: of the tokens, 0 up to the end of the question, then 1, or 2.
    shift: place in the row of the text's token 0; may be negative.
    first: place in the row of the first token of the part.
    count: tokens of the part.
  """

  tokens: np.ndarray
  types: np.ndarray
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
    """Args: T; tokens of a question at most; tokens that two windows share; whether
    tokens of a text that stand in its question are of type 2, not 1."""
    self.tokenizer, self._length = tokenizer, length
    self._question, self._overlap, self._match = question, overlap, match

  def windows(self, question: str, context: str) -> tuple[list[Window], Pieces]:
    """The windows of a text, which cover it, and the places of its tokens.

    Raises:
      DataError: if nothing of the text is known to the tokenizer.
    """
    asked = pieces(self.tokenizer, question).ids[: self._question]
    text = pieces(self.tokenizer, context)
    if not len(text.ids):
      raise DataError(f"the tokenizer makes nothing of {context[:60]!r}")
    end = self.tokenizer.eos_id
    begin = getattr(self.tokenizer, "cls_id", end)
    head = [begin, *asked.tolist(), end]
    room = self._length - len(head) - 1
    kinds = 1 + (np.isin(text.ids, asked) & self._match)
    found, at = [], 0
    while True:
      part = text.ids[at : at + room].tolist()
      tokens = np.array([*head, *part, end], np.int32)
      types = np.array([*[0] * len(head), *kinds[at : at + room], 1], np.int32)
      found.append(Window(tokens, types, len(head) - at, len(head), len(part)))
      if at + room >= len(text.ids):
        return found, text
      at += room - self._overlap

  def batch(self, some: list[Window], answers: list[tuple[int, int]]) -> Batch:
    """Rows of windows and the places of their answers; see `SpanReader`."""
    rows, length = len(some), self._length
    tokens, types = np.zeros((2, rows, length), np.int32)
    context = np.zeros((rows, length), bool)
    for i, w in enumerate(some):
      tokens[i, : len(w.tokens)] = w.tokens
      types[i, : len(w.tokens)] = w.types
      context[i, w.first : w.first + w.count] = True
    context[:, 0] = True  # where the answer is not in the window
    places = np.array(answers, np.int32).reshape(rows, 2)
    return {
      "tokens": tokens,
      "types": types,
      "length": np.array([len(w.tokens) for w in some], np.int32),
      "context": context,
      "first": places[:, 0],
      "last": places[:, 1],
      "weights": np.ones(rows, np.float32),
    }


def answer_in(window: Window, text: Pieces, start: int, end: int) -> tuple[int, int]:
  """Places of the row that characters `start` to `end` are at; (0, 0) if not whole."""
  inside = np.flatnonzero((text.end > start) & (text.begin < end))
  if not len(inside):
    return 0, 0
  first, last = inside[0] + window.shift, inside[-1] + window.shift
  whole = window.first <= first and last < window.first + window.count
  return (int(first), int(last)) if whole else (0, 0)


def best_span(
  logits: Float[np.ndarray, "T 2"], window: Window, longest: int
) -> tuple[int, int, float]:
  """The text's tokens of the likeliest answer of a window, and by how much it is
  likelier than none.

  Args:
    logits: of the first and the last token.
    window: of the row.
    longest: tokens of an answer at most.
  """
  own = slice(window.first, window.first + window.count)
  first, last = logits[own, 0], logits[own, 1]
  best = -np.inf, 0, 0
  for size in range(min(longest, window.count)):
    scores = first[: len(first) - size] + last[size:]
    i = int(scores.argmax())
    best = max(best, (float(scores[i]), i, i + size))
  score, i, j = best
  to_text = window.first - window.shift
  return i + to_text, j + to_text, score - float(logits[0].sum())


Row = tuple[Window, tuple[int, int]]


def span_rows(
  cutter: Cutter,
  rows: list[Row],
  batch_size: int,
  seed: int,
  process: tuple[int, int] = (0, 1),
) -> Rows:
  """Windows of questions in epochs.

  Args:
    cutter: what cut the windows.
    rows: windows and the places of their answers.
    batch_size: rows of a step over all processes.
    seed: decides the order.
    process: which of how many parts of the rows to read.
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
  """The batch of some windows and the places of their answers."""
  windows, answers = zip(*rows, strict=True)
  return cutter.batch(list(windows), list(answers))
