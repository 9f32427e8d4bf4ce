"""The page of each layer: what its files say of it, and what was measured."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from docs.tools import decay
from docs.tools.sources import attributes, code, prose, source_line, table
from jaxmem import mixers, ops
from jaxmem.evaluation import layer_table

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "attention"
FAMILIES = {
  "nonlinear": "Cells: a state that a nonlinear map rewrites",
  "diagonal": "Diagonal recurrences: one decay a channel",
  "matrix": "Matrix memories: keys and values in one matrix a head",
  "attention": "Attention: tokens are kept and searched",
}
# Small sizes for the snippets; what a layer has not is left out.
_SIZES = {
  "num_heads": 2, "window_size": 8, "capacity": 64, "segment_length": 8,
  "memory_size": 5, "sparse_block": 4,
}  # fmt: skip
_STATE = "state at d_model 1024"


def pages() -> dict[str, str | bytes]:
  """Returns path -> content of the pages of all layers, and of their pictures."""
  rows = {row["memory"]: row for row in layer_table.rows()}
  out: dict[str, str | bytes] = {"layers/index.md": _index(rows)}
  for name, row in rows.items():
    out[f"layers/{name}.md"] = _page(name, row)
    if name in decay.read():
      out[f"layers/{name}.svg"] = decay.picture(name)
  return out


def navigation() -> list[dict[str, Any]]:
  """Returns the entries of the layers' pages, by family."""
  entries = []
  for family, title in FAMILIES.items():
    pages_ = [{n: f"layers/{n}.md"} for n in _of_family(family)]
    entries.append({title.partition(":")[0]: pages_})
  return entries


def _of_family(family: str) -> list[str]:
  return [n for n in mixers.names() if mixers.get(n).Mixer.family == family]


def _index(rows: dict[str, dict[str, str]]) -> str:
  parts = [
    "# Layers",
    "Every layer is a Flax module with the call `y, state = layer(x, state, reset)`. "
    "Each page shows the equation, the code of one step, what it costs, what it "
    "carries, how exactly it agrees with other implementations, and what it sees.",
    "*Parity* is the worst error against code of other authors, relative to the "
    "largest number ([which code](../results/parity.md)). *Laws* is the worst error of "
    "any law as a part of what is allowed ([by law](../results/laws.md)). A dash means "
    "that neither the layer nor its op was measured. `jaxmem memories` prints the same "
    "numbers.",
  ]
  for family, title in FAMILIES.items():
    members = _of_family(family)
    head = ["layer", "what it is", "cost a token", "parity", "laws", _STATE]
    cells = [
      [f"[{n}]({n}.md)", *(rows[n][key] for key in ("what", *head[2:]))]
      for n in members
    ]
    parts += [f"## {title}", table(head, cells)]
  return "\n\n".join(parts) + "\n"


def _page(name: str, row: dict[str, str]) -> str:
  module, op = mixers.get(name), mixers.op(name)
  cls, record = module.Mixer, ops.record(op)
  op_name = op.__name__.rpartition(".")[2]
  parts = [
    f"# {cls.__name__}",
    prose(module),
    _facts(row, op_name),
    "## Equation",
    "The layer:",
    _without_code(prose(cls)),
    f"Its op, [`jaxmem.ops.{op_name}`](../api/ops/{op_name}.md):",
    _equation(record),
    *_step(record),
    "## What it carries",
    *_carried(record, row[_STATE].replace(" B", " bytes")),
    *_sight(name),
    "## Use",
    _snippet(name),
    *_recorded(name),
    "## Arguments",
    _arguments(cls),
  ]
  sources = [s for s in (source_line(module), source_line(op)) if "arXiv" in s or s]
  sources = [s for s in dict.fromkeys(sources) if not s.startswith("see `")]
  if sources:
    parts += ["## Source", "\n\n".join(sources)]
  return "\n\n".join(parts) + "\n"


def _facts(row: dict[str, str], op_name: str) -> str:
  rows = [
    ["family", row["family"]],
    ["forms", row["forms"]],
    ["cost a token", row["cost a token"]],
    ["state of a row at d_model 1024", row[_STATE]],
    ["parity: worst relative error", row["parity"]],
    ["laws: worst error, as a part of what is allowed", row["laws"]],
    ["name in a pattern", f"`{row['memory']}`"],
    ["op", f"[`{op_name}`](../api/ops/{op_name}.md)"],
  ]
  return table(["", ""], rows)


def _without_code(text: str) -> str:
  """A docstring without its example; the page has a snippet that runs."""
  return re.sub(r"```text\n(from|mixer|import) .*?```\n?", "", text, flags=re.S)


def _carried(record: Any, size: str) -> list[str]:
  if record.State is None or size == "0 bytes":
    return ["Nothing: a call holds whole documents, and the state is `()`."]
  fields = attributes(record.State)
  return [
    prose(record.State),
    "\n".join(f"- `{name}`: {text}" for name, text in fields.items()),
    f"A row of the layer at d_model 1024 carries {size}.",
  ]


def _equation(record: Any) -> str:
  return prose(record.step or record.forms[0][1])


def _step(record: Any) -> list[str]:
  if record.step is None:
    name, form = record.forms[0]
    title = f"## The form `{name}`, from the source"
    function = inspect.unwrap(form)
    function = getattr(function, "func", function)
  else:
    title, function = "## One step, from the source", record.step
  source = code(function)
  helpers = [
    code(f)
    for name, f in vars(inspect.getmodule(function)).items()
    if inspect.isfunction(f)
    and f.__module__ == function.__module__
    and re.search(rf"(?<!def )\b{name}\(", source)
  ]
  return [title, "```py\n" + "\n\n\n".join([source, *helpers]) + "\n```"]


def _sight(name: str) -> list[str]:
  picture = PICTURES / f"{name}.png"
  if picture.exists():
    return [
      "## What it sees",
      "Two documents of 40 and 24 tokens, or one of 96. Left: how far each output "
      "moves when an input is drawn anew. Middle: the blocks that are computed. Right: "
      "how many layers it takes. [All pictures](../attention.md), with commands.",
      f"![what {name} sees](../attention/{name}.png)",
    ]
  if name in decay.read():
    return [
      "## How it decays",
      "How far an output of a new layer moves when an input some tokens before it is "
      "drawn anew, as a share of its own token's. Grey: the other layers. Training "
      "changes these curves: see `jaxmem inspect`.",
      f"![how {name} decays]({name}.svg)",
    ]
  return ["## What it sees", "The memory of an encoder, the same for every token."]


def _snippet(name: str) -> str:
  cls = mixers.get(name).Mixer
  fields = {k: v for k, v in _SIZES.items() if k in cls.__dataclass_fields__}
  options = "".join(f", {k}={v}" for k, v in fields.items())
  lines = [
    "import jax, jax.numpy as jnp",
    f"from jaxmem.mixers.{name} import {cls.__name__}",
    "",
    f"layer = {cls.__name__}(d_model=32{options})",
    "x = jax.random.normal(jax.random.key(0), (2, 16, 32))  # [B, T, D]",
    "reset = jnp.zeros((2, 16), bool).at[1, 8].set(True)  # row 1: a document begins",
    "apply = jax.jit(layer.apply)",
    "params = jax.jit(layer.init)(jax.random.key(1), x, layer.init_state(2))",
  ]
  if mixers.is_given(cls):
    lines += [
      "encoded = jax.random.normal(jax.random.key(2), (2, 5, 32))  # an encoder's",
      'state = layer.apply(params, encoded, jnp.array([5, 3]), method="remember")',
      "y, state = apply(params, x, state)",
    ]
  else:
    lines += [
      "y, state = apply(params, x, layer.init_state(2), reset)",
    ]
  if getattr(cls, "causal", True) and not mixers.is_given(cls):
    lines += ["y_next, state = apply(params, x[:, :1], state)  # one token more"]
  lines += ["assert y.shape == x.shape"]
  return "```python\n" + "\n".join(lines) + "\n```"


def _recorded(name: str) -> list[str]:
  """The rows of results/ that are about the layer."""
  parts = []
  learned = _row("learned.md", name)
  if learned:
    parts.append(
      f"Two layers of it, 600 steps, nothing tuned: accuracy {learned['accuracy']} at "
      f"{learned['task']} ([how](../results/learned.md))."
    )
  laws = _row("laws.md", f"{name} (mixer)")
  if laws:
    errors = {k: v for k, v in laws.items() if k.startswith("law ")}
    parts.append(
      "Worst error of each law, as a part of what is allowed "
      "([all layers](../results/laws.md)):\n\n"
      + table(list(errors), [list(errors.values())])
    )
  speed = _speed(name)
  if speed:
    parts.append(
      "Forward and backward on one CPU core, beside another implementation "
      "([all](../results/bench_cpu.md)):\n\n" + speed
    )
  return ["## Measured", *parts] if parts else []


def _row(file: str, name: str) -> dict[str, str]:
  """The row of a table in results/ whose first cell is a name."""
  lines = (ROOT / "results" / file).read_text().splitlines()
  cells = [[c.strip() for c in s.strip("|").split("|")] for s in lines if s[:1] == "|"]
  for row in cells[1:]:
    if row[0] == name:
      return dict(zip(cells[0], row, strict=True))
  return {}


# Layer -> the row of the benchmark that times it.
_ROWS = {
  "attention": "causal attention", "window": "window 512",
  "longformer": "Longformer layer", "rglru": "RG-LRU with its gates", "lru": "LRU",
  "lstm": "LSTM", "gru": "GRU", "slstm": "sLSTM", "gated_delta": "gated delta rule",
  "kda": "KDA", "rwkv7": "RWKV-7", "mamba2": "Mamba-2", "retention": "retention",
  "mlstm": "mLSTM",
}  # fmt: skip


def _speed(name: str) -> str:
  report = json.loads((ROOT / "results" / "bench_cpu.json").read_text())
  rows = [
    [c["against"], f"{1e3 * c['ours']:.1f} ms", f"{1e3 * c['theirs']:.1f} ms"]
    for c in report["comparisons"]
    if c["row"] == _ROWS.get(name) and c["measure"] == "seconds"
  ]
  return table(["against", "jaxmem", "other"], rows) if rows else ""


def _arguments(cls: type) -> str:
  documented = attributes(cls)
  rows = []
  for field in inspect.signature(cls).parameters.values():
    default = "" if field.default is field.empty else f"`{_shown(field.default)}`"
    meaning = documented.get(field.name, "")
    rows.append([f"`{field.name}`", default, meaning])
  return table(["argument", "default", "meaning"], rows)


def _shown(value: Any) -> str:
  return getattr(value, "__name__", None) or re.sub(r"0x\w+", "...", repr(value))
