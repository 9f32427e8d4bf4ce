"""Long-context probes: questions in text that fills a context, one family a file.

A family is a file with `GROUP`, the name of all its tasks together, and `TASKS`, name
-> LongbenchTask. A task, a length, a seed and an index determine a sample, and nothing
else does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxmem.core import registry
from jaxmem.core.errors import UserError

ALL = "all"


class Draft(NamedTuple):
  """A prompt and its right answers.

  Attributes:
    prompt: the whole text that the model reads.
    answers: the texts that the metric looks for in the output.
    question: the question alone, where the metric needs it.
    depth: the depth of the needle, from 0, the start of the haystack, to 1, its end.
  """

  prompt: str
  answers: tuple[str, ...]
  question: str = ""
  depth: float | None = None


class LongbenchTask(NamedTuple):
  """A task: how its samples are drawn and how outputs are scored.

  Attributes:
    draw: a page (see `jaxmem.evaluation.longbench.page`) -> Draft.
    max_tokens: how many tokens the model writes as its answer.
    score: (output, draft) -> 0 .. 1.
  """

  draw: Callable[[Any], Draft]
  max_tokens: int
  score: Callable[[str, Draft], float]


def _families() -> dict[str, Any]:
  return registry.members("jaxmem.evaluation.longbench", "TASKS")


def tasks() -> dict[str, LongbenchTask]:
  """Returns all tasks by name, in the order of the families' files."""
  families = _families().values()
  return {name: task for family in families for name, task in family.TASKS.items()}


def groups() -> dict[str, list[str]]:
  """Returns group -> its tasks; "all" is not among them."""
  tasks_of: dict[str, list[str]] = {}
  for family in _families().values():  # several families may share a group
    tasks_of.setdefault(family.GROUP, []).extend(family.TASKS)
  return tasks_of


def parse(text: str) -> list[str]:
  """Returns names of tasks from a list such as `ruler,passkey`.

  Args:
    text: tasks and groups, separated by commas; "all" is every task.

  Raises:
    UserError: for a name that is neither; the message names the nearest.
  """
  tasks_by_name, chosen = groups() | {name: [name] for name in tasks()}, []
  tasks_by_name[ALL] = list(tasks())
  for name in text.split(","):
    if name.strip() not in tasks_by_name:
      hint = registry.nearest(name.strip(), list(tasks_by_name))
      raise UserError(f"no task {name.strip()!r}: {hint}")
    chosen += tasks_by_name[name.strip()]
  return list(dict.fromkeys(chosen))  # a task of two groups is asked once
