"""Long-context probes: questions in text that fills a context, one family a file.

A family is a file with `GROUP`, a word for all its tasks, and `TASKS`, name -> Task. A
sample is fixed by its task, length, seed and index, and by nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxmem.core import registry
from jaxmem.core.errors import UserError

ALL = "all"


class Draft(NamedTuple):
  """A prompt and what is to be said after it.

  Attributes:
    prompt: the whole text that is read.
    answers: what is looked for in the text that follows.
    question: what is asked, where the metric needs it.
    depth: of the needle, from 0, the first of the haystack, to 1, behind its last.
  """

  prompt: str
  answers: tuple[str, ...]
  question: str = ""
  depth: float | None = None


class Task(NamedTuple):
  """One kind of question.

  Attributes:
    draw: a page (see `jaxmem.evaluation.longbench.page`) -> Draft.
    max_tokens: that are written as the answer.
    score: what was written, and the draft -> 0 .. 1.
  """

  draw: Callable[[Any], Draft]
  max_tokens: int
  score: Callable[[str, Draft], float]


def _families() -> dict[str, Any]:
  return registry.members("jaxmem.evaluation.longbench", "TASKS")


def tasks() -> dict[str, Task]:
  """All tasks by name, in the order of the families' files."""
  families = _families().values()
  return {name: task for family in families for name, task in family.TASKS.items()}


def groups() -> dict[str, list[str]]:
  """Group -> its tasks; "all" is not among them."""
  found: dict[str, list[str]] = {}
  for family in _families().values():
    found.setdefault(family.GROUP, []).extend(family.TASKS)
  return found


def parse(text: str) -> list[str]:
  """Names of tasks from a list such as `ruler,passkey`.

  Args:
    text: tasks and groups, with commas between; "all" is every task.

  Raises:
    UserError: for a name that is neither; names the nearest.
  """
  known, chosen = groups() | {name: [name] for name in tasks()}, []
  known[ALL] = list(tasks())
  for name in text.split(","):
    if name.strip() not in known:
      hint = registry.nearest(name.strip(), list(known))
      raise UserError(f"no task {name.strip()!r}: {hint}")
    chosen += known[name.strip()]
  return list(dict.fromkeys(chosen))
