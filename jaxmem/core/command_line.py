"""The options of a command: the fields of a dataclass, set by words of a command line.

    @dataclasses.dataclass(frozen=True)
    class Options:
      \"\"\"What the command does.

      Attributes:
        rows: lines that are answered at once.
      \"\"\"

      PAGE: ClassVar[Page] = Page("jaxmem predict --rows 8", {"Speed": ["rows"]})
      rows: int = number(16, at_least=1)

    options = parse(Options, ["--rows", "8"], "jaxmem predict")

The table of `core.options` serves this parser, `core.help_page` and completion. The
parser is our own: its message about a mistake names what was meant, and a value may
begin with a dash, as in `--rate -1e-3`. argparse, and tyro on top of it, do neither.

A flag is the dotted key of a field with dashes: `--task.batch-size 8`, `--task.x=8`. A
field that holds a truth value has two, `--twin` and `--no-twin`; one that holds a tuple
takes several words, and may be given several times.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jaxmem.core import help_page
from jaxmem.core.errors import UserError, raised_as, shown
from jaxmem.core.options import Command, Option, describe
from jaxmem.core.ranges import check_word
from jaxmem.core.registry import nearest

HELP = ("-h", "--help")
HELP_ALL = "--help-all"
T = TypeVar("T")
# What a value is called in the message about one that cannot be read.
_EXPECTED = {int: "a whole number", float: "a number"}
_TRUTH = {"true": True, "false": False}


def parse(cls: type[T], argv: Sequence[str], prog: str) -> T:
  """Returns the options of a command line; `--help` prints the page and exits.

  Args:
    cls: a dataclass whose fields all have defaults.
    argv: the words after those of `prog`.
    prog: the words that call the command.

  Raises:
    UserError: if a word is no option, or no value of its option.
  """
  return replaced(cls(), read(describe(prog, cls()), argv))


def read(command: Command, argv: Sequence[str]) -> dict[str, Any]:
  """Returns the values that a command line gives, by key; `--help` prints and exits.

  Args:
    command: whose words are read.
    argv: the words after those that call it.

  Raises:
    UserError: see `parse`.
  """
  show_help(command, argv)
  flags = {flag: option for option in command.options for flag in option.flags}
  values: dict[str, list[Any]] = collections.defaultdict(list)
  positional, words = [], collections.deque(argv)
  while words:
    word = words.popleft()
    flag, equals, text = word.partition("=")
    flag = flag.replace("_", "-")
    if word == "--":
      positional += words
      break
    if flag in flags:
      option = flags[flag]
      texts = [text] if equals else _values(option, words)
      new = [_converted(option, text) for text in texts]
      if option.type is bool and flag != option.flag:  # --no-NAME
        new = [not value for value in new]
      values[option.key] = [*values[option.key], *new] if option.many else new
    elif re.match("--?[a-zA-Z]", word):
      raise UserError(f"{command.prog} has no option {flag}: {_hint(command, flag)}")
    else:
      positional.append(word)
  values |= _placed(command, positional)
  many = {option.key for option in command.options if option.many}
  return {key: tuple(v) if key in many else v[-1] for key, v in values.items()}


def replaced(config: T, values: Mapping[str, Any], prefix: str = "") -> T:
  """Returns a dataclass with other values.

  Args:
    config: the dataclass, which may hold others.
    values: dotted key -> the new value; keys of other dataclasses are ignored.
    prefix: begins every key.
  """
  new = {}
  for field in dataclasses.fields(config):
    key, old = prefix + field.name, getattr(config, field.name)
    value = values.get(key, old)
    if dataclasses.is_dataclass(old):
      value = replaced(old, values, f"{key}.")
    if value is not old:
      new[field.name] = value
  return dataclasses.replace(config, **new) if new else config


def action(commands: Sequence[Command], argv: Sequence[str]) -> tuple[str, list[str]]:
  """Returns the action that the first word names, and the words after it.

  Args:
    commands: the actions of a command.
    argv: the words after those that call the command.

  Raises:
    UserError: if the first word is no action; names the nearest.
  """
  names = [command.prog.rpartition(" ")[2] for command in commands]
  if argv and argv[0] in names:
    return argv[0], list(argv[1:])
  if set(argv) & {*HELP, HELP_ALL}:
    print(help_page.actions(commands))
    raise SystemExit(0)
  prog = commands[0].prog.rpartition(" ")[0]
  if not argv:
    raise UserError(f"{prog} needs an action: {', '.join(names)}")
  raise UserError(f"{prog} has no action {shown(argv[0])}: {nearest(argv[0], names)}")


def show_help(command: Command, argv: Sequence[str]) -> None:
  """Prints the help of a command and exits if its words ask for it.

  Args:
    command: whose help it is.
    argv: the words.
  """
  if HELP_ALL in argv:
    print(help_page.full(command))
  elif set(HELP) & set(argv):
    print(help_page.short(command))
  else:
    return
  raise SystemExit(0)


def _values(option: Option, words: collections.deque[str]) -> list[str]:
  """Takes the words that are values of an option."""
  if option.type is bool:
    return ["true"]
  values = []
  while words and not re.match("--[a-zA-Z]", words[0]) and words[0] != "--":
    values.append(words.popleft())
    if not option.many:
      break
  if not values:
    raise UserError(f"{option.flag} needs a value: {option.flag} {option.word}")
  return values


def _converted(option: Option, text: str) -> Any:
  """The value that a text spells."""
  if option.choices:
    with raised_as(UserError):
      check_word(text, option.flag, option.choices)
    return text
  if option.parser is not None:
    with raised_as(UserError, f"{option.flag}: "):
      return option.parser.parse(text) if text else option.parser.empty
  if option.type is bool:
    if text.lower() not in _TRUTH:
      raise UserError(f"{option.flag} is {shown(text)}: true or false")
    return _TRUTH[text.lower()]
  if option.default is None and text == "None":
    return None
  try:
    return option.type(text)
  except ValueError as error:
    expected = _EXPECTED[option.type]
    raise UserError(f"{option.flag} is {shown(text)}: {expected} expected") from error


def _placed(command: Command, positional: Sequence[str]) -> dict[str, list[Any]]:
  """The values of the options without a flag, in the order of their places."""
  words, values = list(positional), {}
  for option in command.options:
    if not option.placed:
      continue
    count = len(words) if option.many else 1
    taken, words = words[:count], words[count:]
    if taken:
      values[option.key] = [_converted(option, word) for word in taken]
    elif option.required:
      raise UserError(f"{option.flag} is missing: {option.required}")
  if words:
    raise UserError(
      f"{command.prog} takes no word {shown(words[0])} here: "
      f"see {command.prog} {HELP[-1]}"
    )
  return values


def _hint(command: Command, flag: str) -> str:
  """What was probably meant by a flag that there is not."""
  flags = [each for option in command.options for each in option.flags]
  # the part was left out: --learning-rate for --optim.learning-rate
  inner = [each for each in flags if each.rpartition(".")[2] == flag.lstrip("-")]
  if inner:
    return f"did you mean {' or '.join(map(repr, inner))}?"
  hint = nearest(flag, flags)
  if hint.startswith("did"):
    return hint
  return f"see {command.prog} {HELP_ALL}" if flags else "it has none"
