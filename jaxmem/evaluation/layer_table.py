"""The memories as a table, read from the files themselves."""

import re
from types import ModuleType

from jaxmem import mixers, ops
from jaxmem.evaluation import measured
from jaxmem.models import pattern


def _paper(*texts: str | None) -> str:
  """The first source after "Source:": its arXiv number, else its author and year."""
  for text in texts:
    source = (text or "").partition("Source:")[2].split(";")[0]
    for found in (
      re.search(r"arXiv:(\d{4}\.\d{4,5})", source),
      re.search(r"(\w+ (?:et al\. |and \w+ )?\d{4})", source),
    ):
      if found:
        return found.group(1)
  return "-"


def _state_bytes(module: ModuleType, d_model: int) -> int:
  return pattern.state_bytes(module.Mixer(d_model=d_model))


def _cost(op: ModuleType) -> str:
  """The first sentence after "Cost:" of the op's step, or of its first form."""
  record = ops.record(op)
  definition = record.step or record.forms[0][1]
  text = " ".join((definition.__doc__ or "").partition("Cost:")[2].split())
  return re.split(r"[.;] ", text + " ")[0].rstrip(". ")


def _shown(kind: str, name: str, op: ModuleType) -> str:
  """A measured number of the memory, or of its op."""
  numbers = measured.read().get(kind, {})
  for known in (name, op.__name__.rpartition(".")[2]):
    if known in numbers:
      return f"{numbers[known]:.1e}" if kind == "parity" else f"{numbers[known]:.2f}"
  return "-"


def rows(d_model: int = 1024) -> list[dict[str, str]]:
  """One row a memory: what it is, what it costs, how exactly it agrees with peers.

  "parity" is the worst error against peers, relative to the largest number; "laws" the
  worst error of any law as a part of what is allowed.
  """
  out = []
  for name in mixers.names():
    module, op = mixers.get(name), mixers.op(name)
    out.append(
      {
        "memory": name,
        "what": module.__doc__.partition("Source:")[0]
        .split(". ")[0]
        .strip()
        .rstrip("."),
        "family": module.Mixer.family,
        "paper": _paper(module.__doc__, op.__doc__),
        "forms": ", ".join(op.FORMS),
        "cost a token": _cost(op),
        "parity": _shown("parity", name, op),
        "laws": _shown("laws", name, op),
        f"state at d_model {d_model}": f"{_state_bytes(module, d_model):,} B",
      }
    )
  return out


def markdown(d_model: int = 1024) -> str:
  """The table of `rows`, as Markdown."""
  table = rows(d_model)
  head = list(table[0])
  lines = [head, ["---"] * len(head), *[list(row.values()) for row in table]]
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)
