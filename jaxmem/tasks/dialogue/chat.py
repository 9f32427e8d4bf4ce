"""Dialogues as tokens, with the messages that a model learns to write.

A dialogue is a list of messages of two speakers, in the form of data for chat models:

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
and nothing else. The model learns, and is scored on, the content of the assistant's
messages, with the space before it and the newline after it, unless `weight` is 0. The
space belongs to the content because pieces that begin a word include it: so a name is
the same piece inside a line and at the beginning of an answer.
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
from jaxmem.tokenizers import Tokenizer, continuation, start_ids

# Part of every fingerprint; it changes whenever dialogues become other tokens.
_FORMAT = "jaxmem chat 2"
ASSISTANT = "assistant"
# The most tokens of a reply.
LONGEST = 256
# The keys of a record that may hold the messages, and the keys of role and content.
_KEYS = ("messages", "conversations", "conversation")
_OURS, _SHAREGPT = ("role", "content"), ("from", "value")
# ShareGPT's name of a speaker -> the role.
_SPEAKERS = {
  "human": "user", "gpt": ASSISTANT, "chatgpt": ASSISTANT, "model": ASSISTANT,
  "bot": ASSISTANT, "observation": "tool", "function_response": "tool",
}  # fmt: skip
_HINT = 'give JSONL with a list "messages" of {"role", "content"} in every line'


class Message(NamedTuple):
  """One message of a speaker.

  Attributes:
    role: "user", "assistant", "system", "tool" or another name without a colon.
    content: the text.
    counts: whether the model learns to write it.
  """

  role: str
  content: str
  counts: bool


Dialogue = tuple[Message, ...]


class Line(NamedTuple):
  """A message as tokens.

  Attributes:
    ids: the ids of the whole line.
    counted: how many of the last ids the model learns to write.
    num_bytes: the bytes of these ids.
  """

  ids: np.ndarray
  counted: int
  num_bytes: int


def dialogue(record: Any) -> Dialogue:
  """Returns the messages of a record.

  Raises:
    DataError: if it is no dialogue; the message says why.
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
  try:  # JSON may escape half of a surrogate pair, which has no UTF-8
    f"{role}{content}".encode()
  except UnicodeEncodeError as error:
    raise DataError(f"message {i} holds half of a surrogate pair: no text") from error
  weight = message.get("weight", 1)
  if weight not in (0, 1):
    raise DataError(f"message {i} has weight {weight!r}: 0 or 1")
  content = content.replace("\r\n", "\n").replace("\r", "\n")
  return Message(role, content, role == ASSISTANT and weight == 1)


def _joined(parts: list, i: int) -> str:
  """Returns the text of a content of several parts."""
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
  """Reads the dialogues of a file of records, see `data.records`.

  Raises:
    DataError: if it cannot be read; the message names the file, the line and the fault.
  """
  return records.collect(str(source), _of_record, _HINT)


def _of_record(record: records.Record) -> Dialogue:
  try:
    return dialogue(record.fields)
  except DataError as error:
    raise DataError(f"{record.where} is bad: {error}") from error


def prompt(role: str) -> bytes:
  """Returns the text before the content of a speaker's message."""
  return f"{role}:".encode()


def words(content: str) -> bytes:
  """Returns a content as it is written after `prompt`, its line breaks as CR."""
  return f" {content}\n".replace("\n", "\r", content.count("\n")).encode()


def content(line: bytes) -> str:
  """Returns the content of the text after `prompt`; the inverse of `words`."""
  text = line.decode(errors="replace").removesuffix("\n").removeprefix(" ")
  return text.replace("\r", "\n")


def lines(
  dialogue: Dialogue, tokenizer: Tokenizer, begins: bool = True
) -> Iterator[Line]:
  """Yields the messages as tokens.

  Args:
    dialogue: the messages.
    tokenizer: text to ids.
    begins: whether the first message begins a document, with `start_ids` before it, or
      continues one.
  """
  first = start_ids(tokenizer) if begins else []
  more = continuation(tokenizer)
  for i, message in enumerate(dialogue):
    text = words(message.content)
    begin = tokenizer if begins and not i else more
    try:
      # encoded apart, so that no piece reaches from the prompt into the answer
      head = begin.encode(prompt(message.role))
      tail = more.encode(text)
    except NotUTF8 as error:
      raise DataError(f"the message {message.content[:40]!r} is {error}") from error
    ids = np.concatenate([first, head, tail]).astype(np.int32)
    counts = message.counts
    yield Line(ids, len(tail) if counts else 0, len(text) if counts else 0)
    first = []


def text_lines(dialogues: Iterable[Dialogue]) -> Iterator[bytes]:
  """Yields the lines of dialogues as text, which a tokenizer is trained on."""
  for dialogue in dialogues:
    for message in dialogue:
      yield prompt(message.role) + words(message.content)


def reply_prompt(dialogue: Dialogue, tokenizer: Tokenizer) -> Int32[np.ndarray, " N"]:
  """Returns the ids of a dialogue and of the prompt of the assistant's next message.

  They are those of training: each prompt and each content is encoded alone. What
  begins a document, see `tokenizers.start_ids`, is left out.
  """
  ids = [line.ids for line in lines(dialogue, tokenizer)]
  ids.append(continuation(tokenizer).encode(prompt(ASSISTANT)))
  return np.concatenate(ids).astype(np.int32)[len(start_ids(tokenizer)) :]


def stream(dialogues: Sequence[Dialogue], tokenizer: Tokenizer) -> TokenStream:
  """Returns dialogues end to end as a stream for `Lanes`, in memory."""
  ids, is_counted, starts, size = [], [], [0], 0
  for dialogue in dialogues:
    for line in lines(dialogue, tokenizer):
      ids.append(line.ids)
      # [tokens of the line], True on the last `counted`
      is_counted.append(np.arange(len(line.ids)) >= len(line.ids) - line.counted)
      size += line.num_bytes
    starts.append(sum(map(len, ids[-len(dialogue) :])) + starts[-1])
  tokens, counts = np.concatenate(ids), np.concatenate(is_counted)  # [N], [N]
  # the weights are part of the data: other counted tokens are another run
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
