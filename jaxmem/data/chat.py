"""Dialogues as tokens: who says what, and which words a model has to say itself.

A dialogue is the messages of two speakers, as chat models are fine-tuned with:

    {"messages": [{"role": "user", "content": "my cat is called Momo."},
                  {"role": "assistant", "content": "ok.", "weight": 0},
                  {"role": "user", "content": "what is my cat called?"},
                  {"role": "assistant", "content": "Momo"}]}

It is read as one document, a line a message: `user: ...` and `assistant: ...`. The
model learns, and is asked for, the content of the assistant's messages, with the space
before it and the newline behind it, but not where `weight` is 0. The space is of the
content because a piece that begins a word has it: said in a line and answered, a name
is the same piece.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from jaxmem.data import jsonl
from jaxmem.data.errors import DataError, NotUTF8
from jaxmem.data.stream import TokenStream
from jaxmem.data.tokenizers import Tokenizer

# Part of every fingerprint: how a dialogue becomes tokens, should it ever change.
_FORMAT = "jaxmem chat 2"
ASSISTANT = "assistant"


class Message(NamedTuple):
  """What one speaker says at once.

  Attributes:
    role: who, "user", "assistant" or "system".
    content: what.
    counts: whether the model has to say it.
  """

  role: str
  content: str
  counts: bool


Dialogue = tuple[Message, ...]


class Line(NamedTuple):
  """A message as tokens.

  Attributes:
    ids: of the whole line.
    counted: how many of the last ones the model has to say.
    num_bytes: that these spell.
  """

  ids: np.ndarray
  counted: int
  num_bytes: int


def dialogue(record: Any) -> Dialogue:
  """The messages of a record.

  Raises:
    DataError: if it is no dialogue; says what is wrong.
  """
  messages = record.get("messages") if isinstance(record, dict) else None
  if not isinstance(messages, list) or not messages:
    raise DataError('no list "messages" of {"role", "content"} in it')
  return tuple(_message(message, i) for i, message in enumerate(messages))


def _message(message: Any, i: int) -> Message:
  role, content = (
    message.get(key) if isinstance(message, dict) else None
    for key in ("role", "content")
  )
  if not isinstance(role, str) or not isinstance(content, str):
    raise DataError(f'message {i} has no texts "role" and "content"')
  if not role or not content:
    raise DataError(f"message {i} has an empty role or content: leave it out")
  if "\n" in role or "\n" in content:
    raise DataError(f"message {i} has a line break, which ends a message: remove it")
  try:
    f"{role}{content}".encode()
  except UnicodeEncodeError as error:
    raise DataError(f"message {i} holds half of a surrogate pair: no text") from error
  weight = message.get("weight", 1)
  if weight not in (0, 1):
    raise DataError(f"message {i} has weight {weight!r}: 0 or 1")
  return Message(role, content, role == ASSISTANT and weight == 1)


def read(path: Path) -> list[Dialogue]:
  """The dialogues of a JSONL file, one a line; blank lines are none.

  Raises:
    DataError: if it cannot be read; names the file, the line and what is wrong.
  """
  found = []
  try:
    with open(path, "rb") as file:
      for number, line in enumerate(file, start=1):
        if line.strip():
          found.append(_of_line(line, path, number))
  except OSError as error:
    raise DataError(
      f"cannot read {path}: {error.strerror}; give a JSONL file with a list "
      '"messages" in every line'
    ) from error
  return found


def _of_line(line: bytes, path: Path, number: int) -> Dialogue:
  try:
    return dialogue(jsonl.parse(line))
  except DataError as error:
    raise DataError(f"{path} line {number} is bad: {error}") from error


def prompt(role: str) -> bytes:
  """What stands before a speaker's words."""
  return f"{role}:".encode()


def words(content: str) -> bytes:
  """A speaker's words, as they stand behind the prompt."""
  return f" {content}\n".encode()


def lines(dialogue: Dialogue, tokenizer: Tokenizer) -> Iterator[Line]:
  """The messages as tokens, the document's boundary at the head of the first."""
  first = [tokenizer.boundary]
  for message in dialogue:
    said = words(message.content)
    try:
      head = tokenizer.encode(prompt(message.role))
      tail = tokenizer.encode(said)
    except NotUTF8 as error:
      raise DataError(f"the message {message.content[:40]!r} is {error}") from error
    ids = np.concatenate([first, head, tail]).astype(np.int32)
    counts = message.counts
    yield Line(ids, len(tail) if counts else 0, len(said) if counts else 0)
    first = []


def written(dialogues: Iterable[Dialogue]) -> Iterator[bytes]:
  """The lines of dialogues as text, for a tokenizer to be made of."""
  for one in dialogues:
    for message in one:
      yield prompt(message.role) + words(message.content)


def waiting(dialogue: Dialogue, tokenizer: Tokenizer) -> Int32[np.ndarray, " N"]:
  """The ids of a dialogue up to where the assistant begins to answer, as it is learned:
  each line and what stands before its words alone; without the boundary at its head."""
  said = [line.ids for line in lines(dialogue, tokenizer)]
  begun = tokenizer.encode(prompt(ASSISTANT))
  return np.concatenate([*said, begun]).astype(np.int32)[1:]


def stream(dialogues: Sequence[Dialogue], tokenizer: Tokenizer) -> TokenStream:
  """Dialogues end to end, for `Lanes`; in memory."""
  ids, counted, starts, size = [], [], [0], 0
  for one in dialogues:
    for line in lines(one, tokenizer):
      ids.append(line.ids)
      counted.append(np.arange(len(line.ids)) >= len(line.ids) - line.counted)
      size += line.num_bytes
    starts.append(sum(map(len, ids[-len(one) :])) + starts[-1])
  tokens, counts = np.concatenate(ids), np.concatenate(counted)
  digest = hashlib.sha256(tokens.tobytes() + counts.tobytes()).hexdigest()
  parts = (_FORMAT, digest, tokenizer.fingerprint)
  return TokenStream(
    tokens=tokens.astype(np.uint32),
    starts=np.array(starts, np.int64),
    names=tuple(map(str, range(len(dialogues)))),
    num_bytes=size,
    fingerprint=hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
    tokenizer=tokenizer.fingerprint,
    counted=counts,
  )
