"""Dialogues answered turn by turn: with the memory carried, and emptied between turns.

An answer is exact if every token of it is the likeliest after the right ones before it,
which is the same as that the model, left alone, would write it: greedily, a token is
only reached through the likeliest ones.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.tasks.dialogue import chat
from jaxmem.tasks.dialogue.chat import Dialogue
from jaxmem.tokenizers import Tokenizer

WAYS = ("carried", "reset")


class Turn(NamedTuple):
  """How the answers of a turn were, over all dialogues that have it.

  Attributes:
    answers: how many.
    exact: how many of them are exact.
    bits: of all of them.
    num_bytes: of all of them.
  """

  answers: int = 0
  exact: int = 0
  bits: float = 0.0
  num_bytes: int = 0

  def plus(self, exact: bool, bits: float, num_bytes: int) -> "Turn":
    """With one answer more."""
    sums = self.exact + exact, self.bits + bits, self.num_bytes + num_bytes
    return Turn(self.answers + 1, *sums)


Turns = dict[str, dict[int, Turn]]


class _Row(NamedTuple):
  """A dialogue as arrays; `answers` are (turn, first token, behind the last, bytes)."""

  ids: np.ndarray
  turns: list[int]
  answers: list[tuple[int, int, int, int]]


class Listener:
  """Reads dialogues with a model, compiled once.

  Cost: both ways of reading, T tokens a call of `rows` dialogues.
  """

  def __init__(self, model: Any, length: int, rows: int = 32):
    """Args: the language model; T of a call; dialogues that are read at once."""
    self._model, self._length, self._rows = model, length, rows

    def read(params, tokens, targets, state, reset):
      logits, state = model.apply({"params": params}, tokens, state, reset)
      nats = -jax.nn.log_softmax(logits)
      cost = jnp.take_along_axis(nats, targets[..., None], -1)[..., 0]
      return logits.argmax(-1) == targets, cost / math.log(2), state

    self._read = jax.jit(read, donate_argnums=3)

  def listen(
    self,
    params: Any,
    dialogues: Sequence[Dialogue],
    tokenizer: Tokenizer,
    ways: Sequence[str] = WAYS,
  ) -> Turns:
    """The answers of every turn, by way: way -> turn, from 1 -> `Turn`.

    A turn is a message that is not the assistant's, and what it answers.
    """
    found: Turns = {way: {} for way in ways}
    rows = [_row(one, tokenizer) for one in dialogues]
    rows.sort(key=lambda row: len(row.ids))  # alike ones together: less padding
    for begin in range(0, len(rows), self._rows):
      some = rows[begin : begin + self._rows]
      for way in ways:
        right, bits = self._through(params, some, way)
        for i, row in enumerate(some):
          for turn, first, last, size in row.answers:
            at = slice(first - 1, last - 1)  # a token's target stands behind it
            old = found[way].get(turn, Turn())
            new = old.plus(bool(right[i, at].all()), float(bits[i, at].sum()), size)
            found[way][turn] = new
    return {way: dict(sorted(turns.items())) for way, turns in found.items()}

  def _through(self, params, rows: list[_Row], way: str):
    """Whether each token was likeliest, and its bits, [rows, tokens]."""
    longest = max(len(row.ids) for row in rows)
    calls = -(-longest // self._length)
    shape = self._rows, calls * self._length + 1
    tokens, reset = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for i, row in enumerate(rows):
      tokens[i, : len(row.ids)] = row.ids
      reset[i, [0] if way == "carried" else row.turns] = True
    state, right, bits = self._model.init_state(self._rows), [], []
    for call in range(calls):
      at = slice(call * self._length, (call + 1) * self._length)
      behind = slice(at.start + 1, at.stop + 1)
      given = tokens[:, at], tokens[:, behind], state, reset[:, at]
      *seen, state = self._read(params, *given)
      r, b = jax.device_get(seen)
      right.append(r)
      bits.append(b)
    return np.concatenate(right, 1), np.concatenate(bits, 1)


def _row(one: Dialogue, tokenizer: Tokenizer) -> _Row:
  ids, turns, answers, at = [], [], [], 0
  for message, line in zip(one, chat.lines(one, tokenizer), strict=True):
    if message.role != chat.ASSISTANT or not turns:
      turns.append(at)
    end = at + len(line.ids)
    if line.counted:
      answers.append((len(turns), end - line.counted, end, line.num_bytes))
    ids.append(line.ids)
    at = end
  return _Row(np.concatenate(ids), turns, answers)


def total(turns: dict[int, Turn]) -> Turn:
  """All turns together."""
  return Turn(*(sum(values) for values in zip(*turns.values(), strict=True)))


def table(found: Turns) -> list[str]:
  """Markdown: exact answers and bits per byte by turn, both ways."""
  carried, reset = (found[way] for way in WAYS)
  lines = [
    "| turn | answers | exact, carried | reset | bits per byte, carried | reset |",
    "|--:|--:|--:|--:|--:|--:|",
  ]
  both = [(str(t), carried[t], reset[t]) for t in carried]
  for name, *ways in [*both, ("all", total(carried), total(reset))]:
    exact = [f"{t.exact / t.answers:.3f}" for t in ways]
    bits = [f"{t.bits / t.num_bytes:.3f}" for t in ways]
    lines.append("| " + " | ".join([name, str(ways[0].answers), *exact, *bits]) + " |")
  return lines


def numbers(found: Turns) -> dict[str, Any]:
  """For JSON."""
  one = lambda t: {
    "answers": t.answers,
    "exact": t.exact / t.answers,
    "bits_per_byte": t.bits / t.num_bytes,
  }
  return {
    way: one(total(turns)) | {"by_turn": {str(k): one(t) for k, t in turns.items()}}
    for way, turns in found.items()
  }
