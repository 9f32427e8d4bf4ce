"""The help of a command: a page of one screen, and the list of all of its options."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from jaxmem.core.options import Command, Option

# One screen: what `--help` of any command fits on; a test holds it.
LINES, COLUMNS = 30, 88
_GAP = 2  # spaces before an option, and between it and its description
_LONGEST = 100  # characters of a description, about two lines
_WIDEST = 30  # a longer option has its description on the next line


def short(command: "Command") -> str:
  """Returns the page of `--help`: what the command does, and its most used options.

  Args:
    command: see `core.command_line`.
  """
  options = {option.key: option for option in command.options}
  # a page may name keys that not every config has
  groups = {
    title: [options[key] for key in keys if key in options]
    for title, keys in command.page.groups.items()
  }
  shown = [option for group in groups.values() for option in group]
  width = min(max((len(_left(o)) for o in shown), default=0), _WIDEST)
  first = command.text.split("\n\n")[0]
  lines = [_usage(command), "", *_wrapped(first), "", f"  {command.page.example}"]
  for title, group in groups.items():
    lines += ["", f"{title}:"]
    for option in group:
      lines += _row(option, width)
  hidden = len(command.options) - len(shown)
  if hidden:
    lines += ["", f"{command.prog} --help-all lists all {len(options)} options."]
  return "\n".join(lines)


def full(command: "Command") -> str:
  """Returns the list of `--help-all`: every option with its whole description.

  Args:
    command: see `core.command_line`.
  """
  lines = [_usage(command)]
  for paragraph in command.text.split("\n\n"):
    lines += ["", *_wrapped(paragraph)]
  lines += ["", f"  {command.page.example}"]
  parts: dict[str, list[Option]] = {"": []}  # a part is a dataclass in another
  for option in command.options:
    parts.setdefault(option.key.rpartition(".")[0], []).append(option)
  for part, options in parts.items():
    lines += ["", f"{part or 'options'}:"]
    for option in options:
      left = " | ".join(option.flags or (option.flag,))
      lines.append(f"  {left} {option.word if option.flags else ''}".rstrip())
      lines += _wrapped(option.text + _default(option), indent=6)
  return "\n".join(lines)


def actions(commands: "Sequence[Command]") -> str:
  """Returns the page of a command that has several actions: an example of each.

  Args:
    commands: the actions.
  """
  prog = commands[0].prog.rpartition(" ")[0]
  lines = [f"usage: {prog} ACTION ..."]
  for command in commands:
    first = command.text.split("\n\n")[0]
    lines += ["", f"{command.prog.rpartition(' ')[2]}:", *_wrapped(first, indent=2)]
    lines.append(f"    {command.page.example}")
  return "\n".join(
    [*lines, "", f"{prog} ACTION --help shows the options of an action."]
  )


def _usage(command: "Command") -> str:
  words, flags = [], False
  for option in command.options:
    if option.placed:
      word = f"{option.word} ..." if option.many else option.word
      words.append(word if option.required else f"[{word}]")
    elif option.required:
      words.append(_left(option))
    else:
      flags = True
  return " ".join(["usage:", command.prog, *words, *(["[OPTIONS]"] if flags else [])])


def _left(option: "Option") -> str:
  return option.word if option.placed else f"{option.flag} {option.word}".rstrip()


def _row(option: "Option", width: int) -> list[str]:
  """The lines of an option: what is typed on the left, what it does on the right."""
  left, indent = _left(option), 2 * _GAP + width
  text, default = option.text.removesuffix("."), _default(option)
  if len(default) > _WIDEST:
    default = f"{default[: _WIDEST - 4]}...)"
  if len(text + default) > COLUMNS - indent:  # the first clause says what it is
    text = text.split("; ")[0].split(". ")[0]
    text = textwrap.shorten(text, _LONGEST, placeholder=" ...")
  lines = _wrapped(text + default, indent)
  if len(left) > width:
    return [" " * _GAP + left, *lines]
  return [" " * _GAP + left.ljust(width) + lines[0][_GAP + width :], *lines[1:]]


def _default(option: "Option") -> str:
  value = option.default
  if option.parser is not None:
    value = option.parser.show(value)
  empty = value is None or value is False or value == "" or value == ()
  return "" if empty or "default" in option.text else f" ({value})"


def _wrapped(text: str, indent: int = 0) -> list[str]:
  return textwrap.wrap(
    " ".join(text.split()),
    COLUMNS,
    initial_indent=" " * indent,
    subsequent_indent=" " * indent,
    break_on_hyphens=False,
    break_long_words=False,
  ) or [""]
