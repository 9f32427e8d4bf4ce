"""The memories as a table, read from the files themselves."""

import re
from types import ModuleType

import jax

from jaxmem import modules


def _paper(*texts: str | None) -> str:
  """The first arXiv number, or the author and year, after "Source:" in docstrings."""
  for text in texts:
    source = (text or "").partition("Source:")[2]
    for found in (
      re.search(r"arXiv:(\d{4}\.\d{4,5})", source),
      re.search(r"(\w+ (?:et al\. |and \w+ )?\d{4})", source),
    ):
      if found:
        return found.group(1)
  return "-"


def _state_bytes(module: ModuleType, d_model: int) -> int:
  mixer = module.Mixer(d_model=d_model)
  state = jax.eval_shape(lambda: mixer.init_state(1))
  return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state))


def rows(d_model: int = 1024) -> list[dict[str, str]]:
  """One row a memory: name, family, paper, forms, bytes of state a row of a batch."""
  out = []
  for name in modules.names():
    module, op = modules.get(name), modules.op(name)
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
