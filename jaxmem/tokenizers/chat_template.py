"""Chat templates: messages as the text, and the ids, that a model was trained on.

    template = ChatTemplate.of(tokenizer)
    template.render(messages, add_generation_prompt=True)
    template.ids(messages, add_generation_prompt=True)

A template is a program that comes with the model; see `template_sandbox`.

What a message says cannot become a control token. Only the literals of the template and
the special tokens that it is given (`bos_token` and so on) are control tokens, and they
do not pass through the program as text: each is replaced by a *mark*, a character that
no input has, and the program is run. In its text the marks are the control tokens, and
everything else is text: a content that spells a control token, or that the template
makes to spell one by cutting, joining, lower-casing or writing it as JSON. A role is a
mark, too, so that a template may build a control token around it: '<|' + role + '|>'.

A literal that is compared, or is an argument of a method such as `split`, stays as it
is, so that a template finds in a content what it looks for.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Int32

from jaxmem.core.errors import DataError, UserError, reason, shown
from jaxmem.tokenizers import template_sandbox
from jaxmem.tokenizers.folder_files import DEFAULT

# The characters for private use of the last two planes, which mean nothing.
_PRIVATE = [*range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE)]
_ROLE = re.compile(r"[A-Za-z][\w-]{0,63}", re.ASCII)


class _Role(str):
  """A role: it compares as its name, and is written as its mark."""

  mark: str

  def __new__(cls, name: str, mark: str) -> "_Role":
    role = super().__new__(cls, name)
    role.mark = mark
    return role

  def __str__(self) -> str:
    return self.mark

  def __add__(self, other: str) -> str:
    return self.mark + other

  def __radd__(self, other: str) -> str:
    return other + self.mark


class _Marks(NamedTuple):
  """The marks of a rendering.

  Attributes:
    tokens: control token -> its mark.
    roles: role -> its mark.
  """

  tokens: dict[str, str]
  roles: dict[str, str]


class ChatTemplate:
  """The chat template of a model.

  Attributes:
    source: the text of the template.
  """

  def __init__(self, source: str, tokenizer: Any, name: str = "the model"):
    """Compiles a template.

    Args:
      source: its text.
      tokenizer: a `FolderTokenizer`, whose special tokens are control tokens.
      name: of the model, for messages.

    Raises:
      DataError: if it is no template.
    """
    self.source, self._tokenizer, self._name = source, tokenizer, name
    self._tokens = sorted(tokenizer.special, key=len, reverse=True)
    self._spelled = re.compile("|".join(map(re.escape, self._tokens)) or "(?!)")
    self._compiled = functools.lru_cache(maxsize=2)(self._compile)
    self._compiled(0)

  @classmethod
  def of(
    cls, tokenizer: Any, name: str = DEFAULT, model: str = "the model"
  ) -> "ChatTemplate":
    """Returns a template of a tokenizer.

    Args:
      tokenizer: of a model's folder.
      name: of the template, where there are several, such as "tool_use".
      model: the name of the model, for messages.

    Raises:
      DataError: if there is no such template, or it is damaged.
    """
    templates = getattr(tokenizer, "templates", {})
    if name not in templates:
      known = ", ".join(sorted(templates)) or "none"
      raise DataError(f"{model} has no chat template {name!r}; it has {known}")
    return cls(templates[name], tokenizer, model)

  def render(
    self,
    messages: Sequence[Any],
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
  ) -> str:
    """Returns messages as text.

    Args:
      messages: `{"role": ..., "content": ...}`, and what else a template reads; a value
        of None counts as absent.
      add_generation_prompt: whether the text ends with the beginning of an answer.
      tools: the functions that the model may call, as JSON schemas.
      options: other variables of the template, such as `enable_thinking`.

    Raises:
      UserError: if the template refuses the messages, or they are no JSON.
      DataError: if the template fails, or does what it may not.
    """
    options |= {"add_generation_prompt": add_generation_prompt, "tools": tools}
    return self._marked(messages, options)[0]

  def ids(
    self,
    messages: Sequence[Any],
    add_generation_prompt: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
  ) -> Int32[np.ndarray, " N"]:
    """Returns messages as ids; they begin with what the template puts there.

    Args:
      messages: see `render`, and so the others.
      add_generation_prompt: whether the text ends with the beginning of an answer.
      tools: the functions that the model may call.
      options: other variables of the template.

    Raises:
      UserError, DataError: see `render`.
    """
    options |= {"add_generation_prompt": add_generation_prompt, "tools": tools}
    return self._tokenizer.encode_marked(*self._marked(messages, options))

  def _marked(
    self, messages: Sequence[Any], options: dict[str, Any]
  ) -> tuple[str, list[tuple[int, int, str]]]:
    """Returns the text, and begin, end and name of each control token in it."""
    given = _plain({**options, "messages": [*messages]})
    names = {str(m.get("role")) for m in given["messages"] if isinstance(m, dict)}
    roles = sorted(filter(_ROLE.fullmatch, names))
    first = _free({**given, "": self.source}, len(self._tokens) + len(roles))
    marks = _Marks(
      {token: chr(_PRIVATE[first + i]) for i, token in enumerate(self._tokens)},
      {r: chr(_PRIVATE[first + len(self._tokens) + i]) for i, r in enumerate(roles)},
    )
    given["messages"] = [_message(m, marks) for m in given["messages"]]
    named = {
      f"{role}_token": marks.tokens[token]
      for role, token in self._tokenizer.roles.items()
      if token in marks.tokens
    }
    return self._read(self._run(first, named | given), marks)

  def _compile(self, first: int) -> jinja2.Template:
    """Compiles the template with the marks of its literals."""
    mark_of = {token: chr(_PRIVATE[first + i]) for i, token in enumerate(self._tokens)}

    def mark(literal: str) -> str:
      return self._spelled.sub(lambda match: mark_of[match[0]], literal)

    try:
      return template_sandbox.compiled(self.source, mark)
    except (jinja2.TemplateError, RecursionError) as error:
      raise DataError(
        f"the chat template of {self._name} is damaged: {reason(error)}"
      ) from error

  def _run(self, first: int, variables: dict[str, Any]) -> str:
    try:
      return template_sandbox.run(self._compiled(first), variables)
    except template_sandbox.Refused as error:
      raise UserError(
        f"the chat template of {self._name} refuses the messages: {error}"
      ) from error
    except Exception as error:  # a program may raise anything
      raise DataError(
        f"the chat template of {self._name} cannot be run: {reason(error)}"
      ) from error

  def _read(self, text: str, marks: _Marks) -> tuple[str, list[tuple[int, int, str]]]:
    """Spells marks out; returns the text, and the places of its control tokens."""
    token_of = {mark: token for token, mark in marks.tokens.items()}
    role_of = {mark: role for role, mark in marks.roles.items()}
    parts: list[str] = []
    found, roles, at = [], [], 0
    marked = "|".join([*token_of, *role_of]) or "(?!)"
    for part in re.split(f"({marked})", text):
      plain = token_of.get(part) or role_of.get(part) or part
      if part in token_of:
        found.append((at, at + len(plain), plain))
      elif part in role_of:
        roles.append((at, plain))
      parts.append(plain)
      at += len(plain)
    whole = "".join(parts)
    return whole, sorted([*found, *self._around(whole, roles)])

  def _around(
    self, text: str, roles: list[tuple[int, str]]
  ) -> Iterator[tuple[int, int, str]]:
    """Yields the control tokens that a template builds around a role."""
    for at, role in roles:
      for token in self._tokens:
        begin = at - token.find(role)
        if role in token and role != token and text.startswith(token, max(begin, 0)):
          if begin >= 0:
            yield begin, begin + len(token), token
            break


def _message(message: Any, marks: _Marks) -> dict[str, Any]:
  """A message as a template gets it: values that are absent left out."""
  if not isinstance(message, dict):
    raise UserError(f"a message is {shown(message)}: an object with a role expected")
  present = {key: value for key, value in message.items() if value is not None}
  role = present.get("role")
  if isinstance(role, str) and role in marks.roles:
    present["role"] = _Role(role, marks.roles[role])
  return present


def _plain(value: Any) -> Any:
  """Rebuilds a value of JSON's types alone, whose methods are known.

  Raises:
    UserError: if it holds another.
  """
  if value is None or type(value) in (str, int, float, bool):
    return value
  if isinstance(value, Mapping):
    return {str(key): _plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  raise UserError(f"{shown(value)} in the messages is no text, number, list or object")


def _free(given: Any, count: int) -> int:
  """Returns where `count` private characters in a row begin that no input has."""
  used = {ord(c) for text in _texts(given) for c in text if ord(c) >= _PRIVATE[0]}
  for first in range(0, len(_PRIVATE) - count + 1, max(count, 1)):
    if used.isdisjoint(_PRIVATE[first : first + count]):
      return first
  raise UserError("the messages have characters of every range for private use")


def _texts(value: Any) -> Iterator[str]:
  """Yields the texts of a value of JSON's types."""
  if isinstance(value, str):
    yield value
  elif isinstance(value, dict):
    for key, item in value.items():
      yield key
      yield from _texts(item)
  elif isinstance(value, list):
    for item in value:
      yield from _texts(item)
