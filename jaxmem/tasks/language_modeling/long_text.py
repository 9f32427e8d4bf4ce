"""The numbers of a reading of long text: as JSON, as a table, as a picture."""

from pathlib import Path
from typing import Any

from jaxmem.models import pattern
from jaxmem.tasks import plots
from jaxmem.tasks.language_modeling.baseline import Twin
from jaxmem.tasks.language_modeling.stream import Result


def numbers(result: Result, seconds: float, peak: float) -> dict[str, Any]:
  """What was read, what it cost in bits, in time and in memory.

  Args:
    result: the whole reading.
    seconds: that it took; with several ways all of them.
    peak: the most memory of the process, in MiB.
  """
  tokens = int(result.tokens.sum())
  return {
    "documents": result.num_documents,
    "bytes": result.num_bytes,
    "words": result.num_words,
    "tokens": tokens,
    "seconds": seconds,
    "tokens_per_second": tokens / max(seconds, 1e-9),
    "peak_mib": peak,
    "bits_per_byte": result.bits_per_byte(),
    "bits_per_word": result.bits_per_word(),
    "gain": result.gain(),
    "by_position": result.by_position(),
  }


def of_twin(twin: Twin, tokens: int, seconds: float) -> dict[str, Any]:
  """What the full-attention twin was measured to cost, and would cost for a text.

  Args:
    twin: measured.
    tokens: of the text, as one document.
    seconds: that the model itself took.
  """
  projected = twin.project(tokens)
  return {
    "pattern": pattern.show(twin.pattern),
    "contexts": list(twin.contexts),
    "microseconds_per_token": [1e6 * s for s in twin.seconds],
    "base_microseconds": 1e6 * twin.base,
    "slope_microseconds": 1e6 * twin.slope,
    "tokens": tokens,
    "seconds": projected,
    "times_slower": projected / max(seconds, 1e-9),
    "cache_mib": twin.cache_bytes * tokens / 1024**2,
  }


def table(found: dict[str, Any]) -> list[str]:
  """What `jaxmem eval` prints.

  Args:
    found: `numbers`, and "text", "step" and perhaps "segment".
  """
  ways, overs = list(found["bits_per_byte"]), list(found["gain"])
  of = lambda what, way: what if len(ways) == 1 else f"{what}, {way}"
  units = ("bits per byte", "bits per word")
  head = ["position in the document", "tokens"]
  head += [of(unit, way) for unit in units for way in ways]
  head += [f"saved over {way}" for way in overs]
  total = {"tokens": found["tokens"]} | {
    key: found[key] for key in ("bits_per_byte", "bits_per_word", "gain")
  }
  rows = [(f"{b['from']:,} to {b['to'] - 1:,}", b) for b in found["by_position"]]

  def cells(b):
    cost = [f"{b[key][way]:.3f}" for key in ("bits_per_byte",) for way in ways]
    cost += [f"{b['bits_per_word'][way]:.2f}" for way in ways]
    gains = [b["gain"][way] for way in overs]
    return cost + [f"{g['bits_per_byte']:.4f} ± {g['error']:.4f}" for g in gains]

  lines = [
    f"| {name} | {b['tokens']:,} | " + " | ".join(cells(b)) + " |"
    for name, b in [*rows, ("all", total)]
  ]
  rate = found["bytes"] / max(found["seconds"], 1e-9)
  forget = found.get("segment")
  return [
    f"{found['text']}: {found['bytes']:,} bytes of {found['documents']:,} documents, "
    f"{found['words']:,} words, step {found['step']}",
    f"{found['seconds']:,.1f} s, {rate:,.0f} bytes/s, "
    f"{found['tokens_per_second']:,.0f} tokens/s, peak memory of the process "
    f"{found['peak_mib']:,.0f} MiB",
    *([f"memory is emptied every {forget:,} tokens"] if forget else []),
    "",
    "| " + " | ".join(head) + " |",
    "|---|" + "--:|" * (len(head) - 1),
    *lines,
  ]


def twin_lines(twin: dict[str, Any]) -> list[str]:
  """What `jaxmem eval --twin` prints of `of_twin`."""
  pairs = zip(twin["contexts"], twin["microseconds_per_token"], strict=True)
  points = ", ".join(f"{micro:,.0f} behind {n:,}" for n, micro in pairs)
  return [
    f"full-attention twin {twin['pattern'].split(',')[0]} ...: microseconds a token "
    f"{points}; fitted {twin['base_microseconds']:,.1f} + "
    f"{twin['slope_microseconds']:.5f} n",
    f"projected for one document of {twin['tokens']:,} tokens: "
    f"{twin['seconds'] / 60:,.1f} min and {twin['cache_mib']:,.0f} MiB of keys and "
    f"values, {twin['times_slower']:,.1f} times as long as this reading",
  ]


def draw(found: dict[str, Any], path: Path, title: str) -> Path:
  """Bits per byte by position in the document, a line for each way of reading."""
  rows = found["by_position"]
  edges = [rows[0]["from"], *(row["to"] for row in rows)]
  curves = {
    way: [row["bits_per_byte"][way] for row in rows] for way in found["bits_per_byte"]
  }
  return plots.by_position(edges, curves, path, title)
