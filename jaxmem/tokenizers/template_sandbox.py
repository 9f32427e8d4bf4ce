"""Programs in Jinja's language that come with a model, run with bounds.

They run in Jinja's sandbox, which changes nothing that it is given and reaches no
attribute of Python's own. Beyond it, the steps of all loops are counted, and what
addition, repetition, `~` and the filters that take a list make is bounded in length.

This file imports jinja2; the calls that need it import this file.
"""

import contextvars
import datetime
import json
from collections.abc import Callable, Iterable, Sized
from itertools import islice
from typing import Any

import jinja2
from jinja2 import ext, nodes, sandbox, visitor

# The most steps of all loops of a run, and the most characters of a text in it.
MOST_STEPS, MOST_CHARACTERS = 1_000_000, 20_000_000
# What makes a text of any length out of a short one.
_PADDING = frozenset(("ljust", "rjust", "center", "zfill", "expandtabs", "format"))
_steps: contextvars.ContextVar[int] = contextvars.ContextVar("steps")


class Refused(jinja2.TemplateError):
  """What a template says of messages that it does not take."""


class TooMuch(jinja2.TemplateError):
  """A program without end, or a text that is too long."""


class _Generation(ext.Extension):
  """`{% generation %}` marks the assistant's text for training; here it is text."""

  tags = {"generation"}

  def parse(self, parser: Any) -> Any:
    next(parser.stream)
    return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(sandbox.ImmutableSandboxedEnvironment):
  """Jinja's sandbox with bounds."""

  intercepted_binops = frozenset(("+", "*", "**", "%"))

  def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
    """Computes an operator, unless its result would be too long."""
    sizes = [len(each) for each in (left, right) if isinstance(each, Sized)]
    numbers = [each for each in (left, right) if isinstance(each, int)]
    if operator == "*":
      size = sum(sizes) * max([1, *numbers])
    elif operator == "**":
      size = MOST_CHARACTERS * (max([0, *map(abs, numbers)]) > 10_000)
    elif operator == "%":  # a format may say any width
      size = MOST_CHARACTERS * (isinstance(left, str) and "*" in left) + sum(sizes)
      size += sum(int(n) for n in _numbers(left)) if isinstance(left, str) else 0
    else:
      size = sum(sizes)
    if size >= MOST_CHARACTERS:
      raise TooMuch(f"{operator} makes more than {MOST_CHARACTERS:,} characters")
    return super().call_binop(context, operator, left, right)

  def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
    """Returns whether a program may reach an attribute."""
    return attr not in _PADDING and super().is_safe_attribute(obj, attr, value)


def compiled(source: str, mark: Callable[[str], str]) -> jinja2.Template:
  """Compiles a program.

  Args:
    source: its text.
    mark: replaces what a literal of the program says; a literal that is compared, or
      is an argument of a method, stays as it is.

  Raises:
    jinja2.TemplateError: if it is no program.
  """
  environment = _Sandbox(
    trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, ext.loopcontrols]
  )
  environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
  filters = {"tojson": _to_json, "counted": _counted, "concatenated": _concatenated}
  environment.filters |= filters | {"center": _refuse_padding}
  return environment.from_string(_Bounded(mark).visit(environment.parse(source)))


def run(template: jinja2.Template, variables: dict[str, Any]) -> str:
  """Returns the text of a program.

  Raises:
    jinja2.TemplateError, TypeError and others: what the program raises.
  """
  token = _steps.set(0)
  try:
    parts, size = [], 0
    for part in template.generate(variables):
      size += len(part)
      if size > MOST_CHARACTERS:
        raise TooMuch(f"the text has more than {MOST_CHARACTERS:,} characters")
      parts.append(part)
    return "".join(parts)
  finally:
    _steps.reset(token)


class _Bounded(visitor.NodeVisitor):
  """Marks the literals of a program, and counts its loops."""

  def __init__(self, mark: Callable[[str], str]):
    self._mark = mark

  def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
    """Marks the text between the statements."""
    node.data = self._mark(node.data)
    return node

  def visit_Const(self, node: nodes.Const) -> nodes.Node:
    """Marks a literal."""
    if isinstance(node.value, str):
      node.value = self._mark(node.value)
    return node

  def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
    """Leaves what is compared as it is."""
    return self._children(node, plain=True)

  def visit_Call(self, node: nodes.Call) -> nodes.Node:
    """Leaves the arguments of a method as they are."""
    if not isinstance(node.node, nodes.Getattr):
      return self._children(node)
    node.node = self.visit(node.node)
    node.args = [self._child(argument, plain=True) for argument in node.args]
    node.kwargs = [self.visit(argument) for argument in node.kwargs]
    return node

  def visit_For(self, node: nodes.For) -> nodes.Node:
    """Counts the steps of a loop before it begins."""
    self._children(node)
    node.iter = _filter(node.iter, "counted")
    return node

  def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
    """Bounds what `~` makes."""
    self._children(node)
    items = nodes.List(node.nodes, lineno=node.lineno, environment=node.environment)
    return _filter(items, "concatenated")

  def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
    """Visits the parts of a node, and puts what they become in their places."""
    return self._children(node)

  def _children(self, node: nodes.Node, plain: bool = False) -> nodes.Node:
    for field, value in node.iter_fields():
      if isinstance(value, list):
        new = [self._child(each, plain) for each in value]
        setattr(node, field, new)
      else:
        setattr(node, field, self._child(value, plain))
    return node

  def _child(self, value: Any, plain: bool) -> Any:
    if not isinstance(value, nodes.Node) or (plain and isinstance(value, nodes.Const)):
      return value
    if isinstance(value, nodes.Operand | nodes.List | nodes.Tuple):
      return self._children(value, plain)
    return self.visit(value)


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
  where = {"lineno": node.lineno, "environment": node.environment}
  return nodes.Filter(node, name, [], [], None, None, **where)


@jinja2.pass_context  # else Jinja would call it when it compiles a program
def _counted(_: Any, items: Any) -> Any:
  """Adds the length of what a loop runs over to the steps."""
  left = MOST_STEPS - _steps.get(0)
  if not isinstance(items, Sized) and isinstance(items, Iterable):
    items = list(islice(items, left + 1))
  size = len(items) if isinstance(items, Sized) else 0
  if size > left:
    raise TooMuch(f"its loops have more than {MOST_STEPS:,} steps")
  _steps.set(_steps.get(0) + size)
  return items


def _concatenated(items: list[Any]) -> str:
  """What `~` means."""
  texts = [str(item) for item in items]
  if sum(map(len, texts)) > MOST_CHARACTERS:
    raise TooMuch(f"~ makes more than {MOST_CHARACTERS:,} characters")
  return "".join(texts)


def _numbers(text: str) -> list[str]:
  digits = "".join(c if c.isascii() and c.isdigit() else " " for c in text)
  return digits.split()


def _refuse(message: Any) -> None:
  raise Refused(str(message))


def _refuse_padding(*_: Any) -> None:
  raise TooMuch("center is not allowed")


def _now(form: str) -> str:
  return datetime.datetime.now().strftime(form)


def _to_json(
  value: Any,
  ensure_ascii: bool = False,
  indent: int | None = None,
  separators: Any = None,
  sort_keys: bool = False,
) -> str:
  """The JSON of a value, without the escapes that HTML needs."""
  options = {"indent": indent, "separators": separators, "sort_keys": sort_keys}
  if isinstance(indent, int) and indent > 100:
    raise TooMuch(f"indent is {indent}")
  return json.dumps(value, ensure_ascii=ensure_ascii, **options)
