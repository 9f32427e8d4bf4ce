"""completes words in your shell: jaxmem completion bash|zsh|fish > FILE"""

import dataclasses
import shlex
from collections.abc import Iterator
from typing import ClassVar

from jaxmem import commands
from jaxmem.commands import check
from jaxmem.core.command_line import HELP, HELP_ALL, parse
from jaxmem.core.kinds import FLAG
from jaxmem.core.options import Command, Option, Page, describe
from jaxmem.core.ranges import required


@dataclasses.dataclass(frozen=True)
class Options:
  """Prints a script by which a shell completes commands, flags and their values.

  Source the file at the start of your shell: in ~/.bashrc, in ~/.zshrc after compinit,
  or as ~/.config/fish/completions/jaxmem.fish. Print it again after an update. The
  script holds all words itself, so that completing starts no Python.

  Attributes:
    shell: the shell that you use.
  """

  PAGE: ClassVar[Page] = Page(
    "jaxmem completion bash > ~/.jaxmem-completion && source ~/.jaxmem-completion",
    {"The script": ("shell",)},
    places=("shell",),
  )

  shell: str = required("give bash, zsh or fish", choices=("bash", "zsh", "fish"))


def forms() -> list[Command]:
  """Returns what the command takes."""
  return [describe("jaxmem completion", Options())]


def main(argv: list[str]) -> int:
  """Runs `jaxmem completion`: prints the script."""
  options = parse(Options, argv, "jaxmem completion")
  check(options)
  print(_fish() if options.shell == "fish" else _script(options.shell))
  return 0


_HEAD = "# Completes the words of jaxmem; printed by `jaxmem completion`."
# Prints what may be written, given the command, the word before, and the word itself.
_WORDS = """
_jaxmem_words() {
  case "$1" in
CASES
  esac
}
"""
_ENDS = {
  "bash": """
_jaxmem() {
  local word=${COMP_WORDS[COMP_CWORD]} command=
  if ((COMP_CWORD > 1)); then command=${COMP_WORDS[1]}; fi
  case "$command" in
    ACTIONS) if ((COMP_CWORD > 2)); then command+=" ${COMP_WORDS[2]}"; fi ;;
  esac
  local found=$(_jaxmem_words "$command" "${COMP_WORDS[COMP_CWORD - 1]}" "$word")
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}
complete -o bashdefault -o default -F _jaxmem jaxmem
""",
  "zsh": """
_jaxmem() {
  local command= found
  if ((CURRENT > 2)); then command=${words[2]}; fi
  case "$command" in
    ACTIONS) if ((CURRENT > 3)); then command+=" ${words[3]}"; fi ;;
  esac
  found=$(_jaxmem_words "$command" "${words[CURRENT-1]}" "${words[CURRENT]}")
  if [[ -n $found ]]; then compadd -- ${=found}; else _files; fi
}
compdef _jaxmem jaxmem
""",
}
_FISH = """
function __jaxmem_at
  set -l words (commandline -opc)
  test "$words[2]" = "$argv[1]"; and test (count $argv) = 1 -o "$words[3]" = "$argv[2]"
end
"""


def _commands() -> Iterator[tuple[str, str, list[Command]]]:
  """Yields each command with its line of help and its forms."""
  for name, line in commands.command_help().items():
    yield name, line, commands.load(name).forms()


def _flags(command: Command) -> list[str]:
  flags = [flag for option in command.options for flag in option.flags]
  return [*flags, FLAG, HELP[-1], HELP_ALL]


def _places(command: Command) -> list[str]:
  """The words that may stand without a flag."""
  return [word for o in command.options if o.placed for word in o.choices]


def _script(shell: str) -> str:
  """The script for bash or zsh, which differ in what they call the words."""
  names = " ".join([*commands.command_help(), "help", HELP[-1], "--version"])
  lines = [f'    "" | help) echo "{names}" ;;']
  several = []
  for name, _, forms in _commands():
    if len(forms) > 1:
      several.append(name)
      actions = " ".join(form.prog.rpartition(" ")[2] for form in forms)
      lines.append(f'    {name}) echo "{actions} {HELP[-1]}" ;;')
    for form in forms:
      lines += _case(form)
  end = _ENDS[shell].replace("ACTIONS", " | ".join(several))
  return _HEAD + _WORDS.replace("CASES", "\n".join(lines)) + end


def _case(command: Command) -> list[str]:
  """The branch of a command: values after its flags, else its flags or its words."""
  name = command.prog.removeprefix("jaxmem ")
  files = [f for o in command.options if _takes_any(o) for f in o.flags] + [FLAG]
  lines = [f'    "{name}")', '      case "$2" in']
  for option in command.options:
    if option.choices and option.flags:
      lines.append(
        f'        {option.flag}) echo "{" ".join(option.choices)}"; return ;;'
      )
  return [
    *lines,
    f"        {' | '.join(files)}) return ;;",
    "      esac",
    '      case "$3" in',
    f'        -*) echo "{" ".join(_flags(command))}" ;;',
    f'        *) echo "{" ".join(_places(command))}" ;;',
    "      esac",
    "      ;;",
  ]


def _takes_any(option: Option) -> bool:
  """Whether a value follows that may be anything, such as the name of a file."""
  return option.type is not bool and not option.choices


def _fish() -> str:
  """The script for fish, which takes one option a line."""
  lines = [_HEAD + _FISH]
  first = 'complete -c jaxmem -f -n "test (count (commandline -opc)) = 1"'
  helped = "complete -c jaxmem -f -n '__jaxmem_at help'"
  for name, line, forms in _commands():
    text = shlex.quote(line.partition(": ")[0])
    lines += [f"{first} -a {name} -d {text}", f"{helped} -a {name} -d {text}"]
    for form in forms:
      action = form.prog.removeprefix(f"jaxmem {name}").strip()
      if action:
        lines.append(
          f"complete -c jaxmem -f -n '__jaxmem_at {name}; and "
          f"test (count (commandline -opc)) = 2' -a {action}"
        )
      at = f"complete -c jaxmem -n '{f'__jaxmem_at {name} {action}'.strip()}'"
      for option in form.options:
        lines += _fish_option(at, option)
      lines += [f"{at} -l {word.lstrip('-')}" for word in (HELP[-1], HELP_ALL)]
      lines.append(f"{at} -l {FLAG.lstrip('-')} -x")
  return "\n".join(lines)


def _fish_option(at: str, option: Option) -> Iterator[str]:
  text = shlex.quote(option.text.split("; ")[0][:60])
  choices = shlex.quote(" ".join(option.choices))
  if option.placed:
    if option.choices:
      yield f"{at} -a {choices}"
    return
  for flag in option.flags:
    value = (
      "" if option.type is bool else f"-x -a {choices}" if option.choices else "-r"
    )
    yield f"{at} -l {flag.lstrip('-')} {value} -d {text}".replace("  ", " ")
