"""Dialogues as tokens: who says what, and which words a model has to say itself.

A dialogue is the messages of two speakers, as chat models are fine-tuned with:

    {"messages": [{"role": "user", "content": "my cat is called Momo."},
                  {"role": "assistant", "content": "ok.", "weight": 0},
                  {"role": "user", "content": "what is my cat called?"},
                  {"role": "assistant", "content": "Momo"}]}

A content may be a list of parts, {"type": "text", "text": ...} or texts, which are
joined by line breaks; parts of other types are refused by name. ShareGPT's form is read
too: "conversations" of {"from", "value"}, "human" is the user and "gpt" the assistant.

A dialogue is read as one document, a line a message: `user: ...` and `assistant: ...`.
A line break inside a message (LF, CR LF or CR) is written as one carriage return, which
no message has otherwise, and read back as a line break; so a line feed ends a message
and nothing else. The model learns, and is asked for, the content of the assistant's
messages, with the space before it and the newline behind it, but not where `weight` is
0. The space is of the content because a piece that begins a word has it: said in a line
and answered, a name is the same piece.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.data import records
from jaxmem.data.rows import fingerprint
from jaxmem.data.stream import TokenStream
from jaxmem.tokenizers import Tokenizer

# Part of every fingerprint: how a dialogue becomes tokens, should it ever change.
_FORMAT = "jaxmem chat 2"
ASSISTANT = "assistant"
# Where messages are in a record, and what who and what are called there.
_KEYS = ("messages", "conversations", "conversation")
_OURS, _SHAREGPT = ("role", "content"), ("from", "value")
# ShareGPT's names of speakers.
_SPEAKERS = {
  "human": "user", "gpt": ASSISTANT, "chatgpt": ASSISTANT, "model": ASSISTANT,
  "bot": ASSISTANT, "observation": "tool", "function_response": "tool",
}  # fmt: skip
_HINT = 'give JSONL with a list "messages" of {"role", "content"} in every line'


class Message(NamedTuple):
  """What one speaker says at once.

  Attributes:
    role: who, "user", "assistant", "system", "tool" or another, without a colon.
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
  record = record if isinstance(record, dict) else {}
  messages = next((record[key] for key in _KEYS if key in record), None)
  if not isinstance(messages, list) or not messages:
    raise DataError(
      'no list "messages" of {"role", "content"} in it, nor "conversations" of '
      '{"from", "value"}'
    )
  first = messages[0] if isinstance(messages[0], dict) else {}
  names = _SHAREGPT if "from" in first and "role" not in first else _OURS
  return tuple(_message(message, i, names) for i, message in enumerate(messages))


def _message(message: Any, i: int, names: tuple[str, str]) -> Message:
  role, content = (
    message.get(key) if isinstance(message, dict) else None for key in names
  )
  if content is None and isinstance(message, dict) and message.get("tool_calls"):
    raise DataError(f"message {i} calls a tool (tool_calls), which is no text")
  content = _joined(content, i) if isinstance(content, list) else content
  if not isinstance(role, str) or not isinstance(content, str):
    raise DataError(f'message {i} has no texts "{names[0]}" and "{names[1]}"')
  if names == _SHAREGPT:
    role = _SPEAKERS.get(role.lower(), role)
  if not role or not content:
    raise DataError(f"message {i} has an empty role or content: leave it out")
  if re.search(r"[\r\n:]", role):
    raise DataError(f"message {i} has the role {role[:40]!r}: a colon ends a role")
  try:
    f"{role}{content}".encode()
  except UnicodeEncodeError as error:
    raise DataError(f"message {i} holds half of a surrogate pair: no text") from error
  weight = message.get("weight", 1)
  if weight not in (0, 1):
    raise DataError(f"message {i} has weight {weight!r}: 0 or 1")
  content = content.replace("\r\n", "\n").replace("\r", "\n")
  return Message(role, content, role == ASSISTANT and weight == 1)


def _joined(parts: list, i: int) -> str:
  """The text of a content of several parts."""
  texts = []
  for n, part in enumerate(parts):
    kind = part.get("type", "text") if isinstance(part, dict) else "text"
    if kind not in ("text", "input_text", "output_text"):
      raise DataError(
        f"message {i} part {n} is of type {str(kind)[:40]!r}: only text is read"
      )
    text = part.get("text") if isinstance(part, dict) else part
    if not isinstance(text, str):
      raise DataError(f"message {i} part {n} has no text")
    texts.append(text)
  return "\n".join(texts)


def read(source: str | Path) -> list[Dialogue]:
  """The dialogues of a file of records, see `data.records`: JSON Lines, or an array.

  Raises:
    DataError: if it cannot be read; names the file, the line and what is wrong.
  """
  return records.collect(str(source), _of_record, _HINT)


def _of_record(record: records.Record) -> Dialogue:
  try:
    return dialogue(record.fields)
  except DataError as error:
    raise DataError(f"{record.where} is bad: {error}") from error


def prompt(role: str) -> bytes:
  """What stands before a speaker's words."""
  return f"{role}:".encode()


def words(content: str) -> bytes:
  """A speaker's words, as they stand behind the prompt; a line break inside is CR."""
  return f" {content}\n".replace("\n", "\r", content.count("\n")).encode()


def content(said: bytes) -> str:
  """What a speaker said, from the words behind the prompt; the inverse of `words`."""
  text = said.decode(errors="replace").removesuffix("\n").removeprefix(" ")
  return text.replace("\r", "\n")


def lines(dialogue: Dialogue, tokenizer: Tokenizer) -> Iterator[Line]:
  """The messages as tokens, with the document's EOS token at the head of the first."""
  first = [tokenizer.eos_id]
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
  each line and what stands before its words alone; no EOS token stands at its head."""
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
    fingerprint=fingerprint(parts),
    tokenizer=tokenizer.fingerprint,
    counted=counts,
  )
