"""The memories as a table, read from the files themselves."""

import re
from types import ModuleType

from jaxmem import mixers, ops
from jaxmem.core import registry
from jaxmem.evaluation import measured
from jaxmem.models import pattern


def _paper(*texts: str | None) -> str:
  """Returns the arXiv number of the first source, else its author and year."""
  for text in texts:
    # a mixer's page is read before its op's: it may cite a paper of its own
    source = (text or "").partition("Source:")[2].split(";")[0]
    for match in (
      re.search(r"arXiv:(\d{4}\.\d{4,5})", source),
      re.search(r"(\w+ (?:et al\. |and \w+ )?\d{4})", source),
    ):
      if match:
        return match.group(1)
  return "-"


def _state_bytes(module: ModuleType, d_model: int) -> int:
  # with the defaults of the mixer: the table compares memories as they come
  return pattern.state_bytes(module.Mixer(d_model=d_model))


def _cost(op: ModuleType) -> str:
  """Returns the first sentence of "Cost:" of the op's step, or of its first form."""
  record = ops.record(op)
  definition = record.step or record.forms[0][1]
  text = " ".join((definition.__doc__ or "").partition("Cost:")[2].split())
  # the space after the mark keeps decimals such as 1.5 in one piece
  return re.split(r"[.;] ", text + " ")[0].rstrip(". ")


def _measured(kind: str, name: str, op: ModuleType) -> str:
  """Returns a measured number of the memory, or of its op; "-" if there is none."""
  numbers = measured.read().get(kind, {})
  for key in (name, op.__name__.rpartition(".")[2]):
    if key in numbers:
      return f"{numbers[key]:.1e}" if kind == "parity" else f"{numbers[key]:.2f}"
  return "-"


def rows(d_model: int = 1024) -> list[dict[str, str]]:
  """Returns a row a memory: its family, its cost, and how closely it agrees with peers.

  "parity" is the worst error against peers, relative to the largest number; "laws" is
  the worst error of any law as a fraction of its tolerance.

  Args:
    d_model: features of the model whose state is counted.
  """
  out = []
  for name, module in registry.members("jaxmem.mixers", "Mixer").items():
    op = mixers.op(name)
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
        "parity": _measured("parity", name, op),
        "laws": _measured("laws", name, op),
        f"state at d_model {d_model}": f"{_state_bytes(module, d_model):,} B",
      }
    )
  return out


def markdown(d_model: int = 1024) -> str:
  """Returns the table of `rows` as Markdown."""
  return _markdown(rows(d_model))


def summary(d_model: int = 1024) -> str:
  """Returns the README's table as Markdown: each layer, its paper and its state.

  Args:
    d_model: features of the model whose state is counted.
  """
  state = f"state at d_model {d_model}"
  return _markdown(
    [
      {
        "layer": f"[{row['memory']}](jaxmem/mixers/{row['memory']}.py)",
        "what": row["what"],
        "paper": _link(row["paper"]),
        "state": row[state],
      }
      for row in rows(d_model)
    ]
  )


def _link(paper: str) -> str:
  """Returns an arXiv number as a link; other sources as they are."""
  number = re.fullmatch(r"\d{4}\.\d{4,5}", paper)
  return f"[{paper}](https://arxiv.org/abs/{paper})" if number else paper


def _markdown(table: list[dict[str, str]]) -> str:
  head = list(table[0])
  lines = [head, ["---"] * len(head), *[list(row.values()) for row in table]]
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)
