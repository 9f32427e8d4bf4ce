"""The score of a long text: as JSON, as a table, as a picture."""

from pathlib import Path
from typing import Any

from jaxmem.tasks import plots
from jaxmem.tasks.language_modeling.perplexity import Result


def numbers(result: Result, seconds: float, peak: float) -> dict[str, Any]:
  """Returns how much was read, and what it cost in bits, in time and in memory.

  Args:
    result: the result at the end of the text.
    seconds: the time of the reading, of all ways together.
    peak: the peak memory of the process, in MiB.
  """
  return {
    "documents": result.num_documents,
    "bytes": result.num_bytes,
    "words": result.num_words,
    "tokens": result.num_tokens,
    "seconds": seconds,
    "tokens_per_second": result.num_tokens / max(seconds, 1e-9),  # never over 0
    "peak_mib": peak,
    "bits_per_byte": result.bits_per_byte(),
    "bits_per_word": result.bits_per_word(),
    "gain": result.gain(),
    "by_position": result.by_position(),
  }


def table(numbers: dict[str, Any]) -> list[str]:
  """Returns the lines that `jaxmem eval` prints, as Markdown.

  Args:
    numbers: the dict of `numbers`, with "text", "step" and perhaps "segment" added.
  """
  ways, baselines = list(numbers["bits_per_byte"]), list(numbers["gain"])
  head = ["position in the document", "tokens"]
  for unit in ("bits per byte", "bits per word"):
    head += [unit if len(ways) == 1 else f"{unit}, {way}" for way in ways]
  head += [f"saved over {way}" for way in baselines]

  def row(name: str, bucket: dict[str, Any]) -> str:
    cells = [name, f"{bucket['tokens']:,}"]
    cells += [f"{bucket['bits_per_byte'][way]:.3f}" for way in ways]
    cells += [f"{bucket['bits_per_word'][way]:.2f}" for way in ways]
    gains = [bucket["gain"][way] for way in baselines]
    # the error is that of the paired difference, far below that of either cost
    cells += [f"{gain['bits_per_byte']:.4f} ± {gain['error']:.4f}" for gain in gains]
    return f"| {' | '.join(cells)} |"

  rate = numbers["bytes"] / max(numbers["seconds"], 1e-9)
  segment, count = numbers.get("segment"), numbers["documents"]
  return [
    f"{numbers['text']}: {numbers['bytes']:,} bytes of {count:,} "
    f"document{'s' * (count != 1)}, {numbers['words']:,} words, step {numbers['step']}",
    f"{numbers['seconds']:,.1f} s, {rate:,.0f} bytes/s, "
    f"{numbers['tokens_per_second']:,.0f} tokens/s, peak memory of the process "
    f"{numbers['peak_mib']:,.0f} MiB",
    *([f"memory is emptied every {segment:,} tokens"] if segment else []),
    "",
    "| " + " | ".join(head) + " |",
    "|---|" + "--:|" * (len(head) - 1),
    *(row(f"{b['from']:,} to {b['to'] - 1:,}", b) for b in numbers["by_position"]),
    row("all", numbers),
  ]


def draw(numbers: dict[str, Any], path: Path, title: str) -> Path:
  """Draws bits per byte by position in the document, a line for each way of reading."""
  buckets = numbers["by_position"]
  edges = [buckets[0]["from"], *(bucket["to"] for bucket in buckets)]  # [buckets + 1]
  curves = {
    way: [bucket["bits_per_byte"][way] for bucket in buckets]
    for way in numbers["bits_per_byte"]
  }
  return plots.by_position(edges, curves, path, title)
