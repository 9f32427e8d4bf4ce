"""The page of the table, from the JSON beside it."""

from typing import Any

from .measure import BROKEN, HOLDS, LONGEST, REFUSED

HEAD = """# Leaks: laws 3 to 6 over layers as they ship

Written by `python -m tests.leaks`, which runs the layers that are installed and keeps
the rows of the others; the numbers are in [leaks.json](leaks.json). float32, two rows,
24 tokens, CPU. Every parameter is moved from its first value.

The laws are those of `jaxmem.testing.check_laws`, within its tolerances; a layer of
torch goes through `jaxmem.testing.of_torch`, which gives its values and its
vector-Jacobian products.

- **values**, **gradients**: law 4. Packed documents equal separate ones; a loss on one
  document has gradients of exactly 0 with respect to all others.
- **short convolution**: law 4 for the output of the convolution before the recurrence.
- **split**: law 3. A call on all tokens equals calls on pieces of 1, 15 and then single
  tokens, with what the layer carries. "single tokens alone": a prompt and then single
  tokens agree, a second piece of several tokens does not.
- **causality**: law 5. What follows a token changes nothing before it.
- **state**: law 6. It has the same shapes and dtypes after any call, and zeros are a
  fresh start. In brackets its dtypes after bfloat16 inputs where the layer is torch's.

"refused" is an error that the layer raises where it is told of documents: it does not
leak. "no claim" is a layer that does not say that it keeps documents apart, or that was
called without the argument for it; what happens to packed documents then is in
brackets, and is no mistake of the layer.
"""

COLUMNS = (
  "layer", "documents are told by", "values", "gradients", "short convolution", "split",
  "causality", "state",
)  # fmt: skip
TITLES = {
  "values": "values",
  "gradients": "gradients",
  "convolution, values": "values of the short convolution",
  "convolution, gradients": "gradients of the short convolution",
  "split, in two calls": "split into two calls",
  "split, then single tokens": "a first call, then single tokens",
  "causality": "causality",
}


def page(table: dict[str, Any]) -> str:
  """Returns the page.

  Args:
    table: what `leaks.json` holds: rows by name, and reasons of what was not run.
  """
  rows = table["rows"]
  lines = [HEAD, _line(COLUMNS), _line(["---"] * len(COLUMNS))]
  lines += [_line(_cells(name, row)) for name, row in rows.items()]
  lines += ["", "## The smallest input of each failure", ""]
  lines += [
    "A row of that many tokens, whose second document, or second call, begins at the "
    "token named (the first is 0). The difference is max |got - wanted|, the largest "
    "is max |wanted|. For gradients: what reaches the first document's inputs from a "
    "loss, the sum of the outputs, on the second one; 0 is wanted.",
    "",
    _line(("layer", "what", "tokens", "begins at", "difference", "largest")),
    _line(["---"] * 6),
  ]
  lines += [line for name, row in rows.items() for line in _failures(name, row)]
  lines += ["", "## Which path ran", "", _line(("layer", "version", "path", "note"))]
  lines += [_line(["---"] * 4)]
  lines += [
    _line((name, f"{row['package']} {row['version']}", row["path"], row["note"]))
    for name, row in rows.items()
  ]
  lines += ["", "## Refusals", ""]
  lines += [f"- {text}" for text in _refusals(rows)]
  lines += ["", "## Not run", ""]
  lines += [f"- {name}: {reason}" for name, reason in table["not_run"].items()]
  lines += ["", "## Versions", ""]
  lines += [
    f"- {versions}" for versions in sorted({r["versions"] for r in rows.values()})
  ]
  return "\n".join(lines) + "\n"


def _line(cells) -> str:
  return "| " + " | ".join(cells) + " |"


def _cells(name: str, row: dict) -> list[str]:
  cells, claims = row["cells"], row["claims"]
  packed = [
    _packed(cells[key], claims) for key in ("values", "gradients", "convolution")
  ]
  state = cells["state"]
  if row["state_dtypes"]:
    state += f" ({', '.join(row['state_dtypes'])})"
  rest = [_loud(cells["split"]), _loud(cells["causality"]), _loud(state)]
  return [name, row["told"], *packed, *rest]


def _packed(verdict: str, claims: bool) -> str:
  if verdict in (HOLDS, REFUSED, BROKEN) and not claims:
    return f"no claim ({'leaks' if verdict == BROKEN else verdict})"
  return "**leaks**" if verdict == BROKEN else verdict


def _loud(verdict: str) -> str:
  return f"**{verdict}**" if verdict.startswith((BROKEN, "single")) else verdict


def _failures(name: str, row: dict):
  for key, found in row["smallest"].items():
    if key not in TITLES:
      continue
    if found is None:
      numbers = [f"none up to {LONGEST}", "-", "-", "-"]
    else:
      numbers = [
        str(found["length"]), str(found["begin"]), f"{found['difference']:.2g}",
        f"{found['largest']:.2g}",
      ]  # fmt: skip
    yield _line((name, TITLES[key], *numbers))


def _refusals(rows: dict) -> list[str]:
  messages: dict[str, list[str]] = {}
  for name, row in rows.items():
    refusal = row["smallest"].get("refusal")
    if refusal:
      messages.setdefault(refusal["message"], []).append(name)
  return [f"{', '.join(names)}: {message}" for message, names in messages.items()]
