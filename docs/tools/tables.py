"""The tables of hand-written pages; each stands where `<!-- table: NAME -->` does."""

import importlib
import re
from pathlib import Path

from docs.tools.sources import table
from jaxmem import commands, configs, mixers, ops, tasks
from jaxmem.core import help_page
from jaxmem.models.pattern import state_bytes

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^<!-- table: (\w+) -->$", re.M)


def filled(markdown: str) -> str:
  """Returns a page with its tables.

  Args:
    markdown: of the page.

  Raises:
    KeyError: if a mark names no table.
  """
  return _MARK.sub(lambda match: TABLES[match[1]](), markdown)


def _first_line(thing) -> str:
  return (thing.__doc__ or "").strip().split("\n")[0]


def _commands() -> str:
  rows = []
  for line in commands.command_help().values():
    what, _, call = line.partition(": ")
    rows.append([f"`{call}`", what])
  return table(["command", "what it does"], rows)


def _help() -> str:
  """What `--help` prints, command by command."""
  parts = []
  for name in commands.command_help():
    forms = commands.load(name).forms()
    parts.append(f"### {name}")
    parts += [f"```text\n{help_page.short(form)}\n```" for form in forms]
  return "\n\n".join(parts)


def _configs() -> str:
  rows = [[f"`{name}`", line] for name, line in configs.summaries().items()]
  return table(["config", "what it is"], rows)


def _forms() -> str:
  rows = []
  for name in ops.names():
    record = ops.record(name)
    fastest = dict(record.fastest)
    default = record.form_names[1] if len(record.forms) > 1 else record.form_names[0]
    chosen = ", ".join([default, *(f"{v} ({k})" for k, v in fastest.items())])
    shards = record.transition or ("its own" if record.summary else "-")
    link = f"[{name}](../api/ops/{name}.md)"
    rows.append([link, ", ".join(record.form_names), chosen, shards])
  return table(["op", "forms", '`form="auto"`', "transition"], rows)


def _states() -> str:
  """State bytes of each layer that carries, by width."""
  widths = (256, 1024, 4096)
  rows = []
  for name in mixers.names():
    sizes = [state_bytes(mixers.get(name).Mixer(d_model=width)) for width in widths]
    if any(sizes):
      rows.append([f"[{name}](../layers/{name}.md)", *(f"{n:,}" for n in sizes)])
  return table(["layer", *(f"d_model {w}" for w in widths)], rows)


def _laws() -> str:
  from jaxmem.testing import laws, shards, suite

  texts: dict[int, str] = {}
  for law in laws.LAWS:
    number = int(law.__name__.split("_")[1])
    texts[number] = f"{texts.get(number, '')} {_first_line(law)}".strip()
  texts[7] = _first_line(shards).removeprefix("Law 7: ").capitalize()
  texts[10] = "A checkpoint that is saved and restored is the same memory."
  rows = [[str(n), title, texts[n]] for n, title in suite.TITLES.items()]
  return table(["law", "title", "what it says"], rows)


def _tasks() -> str:
  rows = []
  for path in sorted((ROOT / "docs" / "tasks").glob("*.md")):
    if path.stem != "index":
      module = importlib.import_module(f"jaxmem.tasks.{path.stem}")
      rows.append([f"[{path.stem}]({path.name})", _first_line(module)])
  assert len(rows) == len(tasks.names()), "a kind of task has no page"
  return table(["task", "what it learns"], rows)


def _problems() -> str:
  from jaxmem.tasks.synthetic import problems

  rows = [[f"`{n}`", _first_line(problems.get(n))] for n in problems.names()]
  return table(["problem", "what is asked"], rows)


def _formats() -> str:
  from jaxmem.data.formats import RECOGNISED

  rows = [
    [f.name, "read" if f.unpack or not f.remedy else f.remedy] for f in RECOGNISED
  ]
  return table(["file", "what happens"], rows)


TABLES = {
  "commands": _commands,
  "configs": _configs,
  "formats": _formats,
  "forms": _forms,
  "help": _help,
  "laws": _laws,
  "problems": _problems,
  "states": _states,
  "tasks": _tasks,
}
