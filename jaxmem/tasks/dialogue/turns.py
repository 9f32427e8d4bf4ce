"""Dialogues answered turn by turn: with the memory carried, and emptied between turns.

An answer is exact if each of its tokens is the likeliest after the right ones before
it. That is so if and only if greedy decoding writes the answer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.tasks.dialogue import chat
from jaxmem.tasks.dialogue.chat import Dialogue
from jaxmem.tokenizers import Tokenizer

WAYS = ("carried", "reset")


class Turn(NamedTuple):
  """Sums over the answers to a turn, of all dialogues that have it.

  Attributes:
    answers: how many answers there are.
    exact: how many of them are exact.
    bits: the sum of their bits.
    num_bytes: the sum of their bytes.
  """

  answers: int = 0
  exact: int = 0
  bits: float = 0.0
  num_bytes: int = 0

  def plus(self, exact: bool, bits: float, num_bytes: int) -> "Turn":
    """Returns the sums with one more answer."""
    return Turn(
      answers=self.answers + 1,
      exact=self.exact + exact,
      bits=self.bits + bits,
      num_bytes=self.num_bytes + num_bytes,
    )


Turns = dict[str, dict[int, Turn]]


class Answer(NamedTuple):
  """The score of one answer.

  Attributes:
    dialogue: the index of its dialogue.
    turn: the number of its turn, from 1.
    exact: whether it is exact.
    bits: its bits.
    num_bytes: its bytes.
  """

  dialogue: int
  turn: int
  exact: bool
  bits: float
  num_bytes: int


Answers = dict[str, list[Answer]]


class _Row(NamedTuple):
  """A dialogue as arrays.

  Attributes:
    index: its index among the dialogues that are read.
    ids: [N], its tokens.
    turns: the position of the first token of each turn.
    answers: (turn, first token, one past the last, bytes) of each answer.
  """

  index: int
  ids: np.ndarray
  turns: list[int]
  answers: list[tuple[int, int, int, int]]


class Listener:
  """Scores the answers of dialogues with a model; compiles one shape.

  Cost: a pass over the dialogues for each way of reading, T tokens of `rows` dialogues
  a call.
  """

  def __init__(self, model: Any, length: int, rows: int = 32):
    """Compiles nothing yet.

    Args:
      model: the language model.
      length: T, tokens of a call.
      rows: dialogues that are read at once.
    """
    self._model, self._length, self._rows = model, length, rows

    def read(params, tokens, targets, state, reset):
      logits, state = model.apply({"params": params}, tokens, state, reset)
      nats = -jax.nn.log_softmax(logits)  # [B, T, V]
      cost = jnp.take_along_axis(nats, targets[..., None], -1)[..., 0]  # [B, T]
      return logits.argmax(-1) == targets, cost / math.log(2), state

    self._read = jax.jit(read, donate_argnums=3)  # the state's buffers are reused

  def listen(
    self,
    params: Any,
    dialogues: Sequence[Dialogue],
    tokenizer: Tokenizer,
    ways: Sequence[str] = WAYS,
  ) -> Turns:
    """Returns way -> number of the turn, from 1 -> `Turn`.

    A turn is a message of another speaker and the assistant's answer to it.

    Args:
      params: the parameters of the model.
      dialogues: the dialogues that are read.
      tokenizer: text to ids.
      ways: of `WAYS`.
    """
    answers = self.answers(params, dialogues, tokenizer, ways)
    return sums(answers)

  def answers(
    self,
    params: Any,
    dialogues: Sequence[Dialogue],
    tokenizer: Tokenizer,
    ways: Sequence[str] = WAYS,
  ) -> Answers:
    """Returns way -> the score of every answer.

    Args:
      params: see `listen`.
      dialogues: see `listen`.
      tokenizer: see `listen`.
      ways: see `listen`.
    """
    answers: Answers = {way: [] for way in ways}
    rows = [_row(i, dialogue, tokenizer) for i, dialogue in enumerate(dialogues)]
    rows.sort(key=lambda row: len(row.ids))  # equal lengths together: less padding
    for begin in range(0, len(rows), self._rows):
      batch = rows[begin : begin + self._rows]
      for way in ways:
        right, bits = self._through(params, batch, way)
        for i, row in enumerate(batch):
          for turn, first, last, size in row.answers:
            at = slice(first - 1, last - 1)  # a token is predicted at the one before
            exact, cost = bool(right[i, at].all()), float(bits[i, at].sum())
            answers[way].append(Answer(row.index, turn, exact, cost, size))
    return answers

  def _through(self, params, rows: list[_Row], way: str):
    """Returns whether each token was the likeliest, and its bits, [rows, tokens]."""
    longest = max(len(row.ids) for row in rows)
    calls = -(-longest // self._length)
    # whole calls of one shape, and one more column for the target of the last token
    shape = self._rows, calls * self._length + 1
    tokens, reset = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for i, row in enumerate(rows):
      tokens[i, : len(row.ids)] = row.ids
      # reset at a turn's first token, so that only its own message is remembered
      reset[i, [0] if way == "carried" else row.turns] = True
    state, right, bits = self._model.init_state(self._rows), [], []
    for call in range(calls):
      at = slice(call * self._length, (call + 1) * self._length)
      targets = tokens[:, at.start + 1 : at.stop + 1]
      is_right, cost, state = self._read(
        params, tokens[:, at], targets, state, reset[:, at]
      )
      is_right, cost = jax.device_get((is_right, cost))
      right.append(is_right)
      bits.append(cost)
    return np.concatenate(right, 1), np.concatenate(bits, 1)


def _row(index: int, dialogue: Dialogue, tokenizer: Tokenizer) -> _Row:
  ids, turns, answers, at = [], [], [], 0
  for message, line in zip(dialogue, chat.lines(dialogue, tokenizer), strict=True):
    # a dialogue may begin with the assistant, whose message is a turn of its own then
    if message.role != chat.ASSISTANT or not turns:
      turns.append(at)
    end = at + len(line.ids)
    if line.counted:
      answers.append((len(turns), end - line.counted, end, line.num_bytes))
    ids.append(line.ids)
    at = end
  return _Row(index, np.concatenate(ids), turns, answers)


def _turn_of(answer: Answer) -> int:
  return answer.turn


def sums(answers: Answers, group: Callable[[Answer], int] = _turn_of) -> Turns:
  """Returns way -> group -> the sums over its answers, the groups in order.

  Args:
    answers: see `Listener.answers`.
    group: the group of an answer; its turn by default.
  """
  sums_by_way: Turns = {way: {} for way in answers}
  for way, scores in answers.items():
    for answer in scores:
      number = group(answer)
      turn = sums_by_way[way].get(number, Turn())
      sums_by_way[way][number] = turn.plus(answer.exact, answer.bits, answer.num_bytes)
  return {way: dict(sorted(groups.items())) for way, groups in sums_by_way.items()}


def total(turns: dict[int, Turn]) -> Turn:
  """Returns the sums over all turns."""
  return Turn(
    answers=sum(turn.answers for turn in turns.values()),
    exact=sum(turn.exact for turn in turns.values()),
    bits=sum(turn.bits for turn in turns.values()),
    num_bytes=sum(turn.num_bytes for turn in turns.values()),
  )


def table(
  turns_by_way: Turns, column: str = "turn", name: Callable[[int], str] = str
) -> list[str]:
  """Returns exact answers and bits per byte by turn and way, as Markdown.

  Args:
    turns_by_way: the sums, by turn or another group, see `sums`.
    column: the heading of the groups.
    name: the group -> its name in the table.
  """
  carried, reset = (turns_by_way[way] for way in WAYS)
  lines = [
    f"| {column} | answers | exact, carried | reset | bits per byte, carried | reset |",
    "|--:|--:|--:|--:|--:|--:|",
  ]
  rows = [(name(t), carried[t], reset[t]) for t in carried]
  for label, *ways in [*rows, ("all", total(carried), total(reset))]:
    exact = [f"{t.exact / t.answers:.3f}" for t in ways]
    bits = [f"{t.bits / t.num_bytes:.3f}" for t in ways]
    lines.append("| " + " | ".join([label, str(ways[0].answers), *exact, *bits]) + " |")
  return lines


def numbers(turns_by_way: Turns) -> dict[str, Any]:
  """Returns the numbers of all turns for JSON."""
  return {
    way: _means(total(turns))
    | {"by_turn": {str(number): _means(turn) for number, turn in turns.items()}}
    for way, turns in turns_by_way.items()
  }


def _means(turn: Turn) -> dict[str, Any]:
  return {
    "answers": turn.answers,
    "exact": turn.exact / turn.answers,
    "bits_per_byte": turn.bits / turn.num_bytes,
  }
