"""What was remembered of a text: numbers, tables, pictures and a sample."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmem.core import files, finite
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.lm import LM
from jaxmem.tasks import baselines, plots
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.language_modeling.paired import Buckets
from jaxmem.tasks.language_modeling.perplexity import Result
from jaxmem.tokenizers import Tokenizer

_MEANING = (
  "Carried against re-read is what memory beyond one segment is worth: both have read "
  "what stands just before, only one has read what stands further back."
)


def findings(result: Result, texts: Sequence[bytes], split: str) -> Findings:
  """Returns the scores of a split beside those of compressors.

  Args:
    result: of all ways of reading, by segment too.
    texts: the documents that were read.
    split: that they are of.
  """
  bits, packed = result.bits_per_byte(), baselines.compressors(texts)
  lines = baselines.better("bits per byte", bits["carried"], packed, lower=True)
  lines += _table(result, bits, packed, split)
  return Findings(_numbers(result, bits, packed, split), lines, _pictures(result))


def write(findings: Findings | None, sample: bytes | None, workdir: Path) -> None:
  """Prints the end of a run, and writes it to its directory.

  Writes `report.md`, `report.json`, `loss.png`, the pictures of the findings, and
  `sample.txt`.

  Args:
    findings: of held-out text, if it was scored.
    sample: of the model's own text, if there is one.
    workdir: of the run.
  """
  lines: list[str] = []
  numbers: dict[str, Any] = {}
  written = ["config.json", "metrics.jsonl", "ledger.jsonl"]
  carried = None
  if findings:
    bits = findings.numbers["bits_per_byte"]
    carried = bits["carried"]
    lines += findings.lines + finite.said({"bits_per_byte": bits})
    numbers = finite.plain(findings.numbers)
    for name, draw in findings.pictures.items():
      draw(workdir / name)
      written.append(name)
  curve = plots.loss_curve(workdir / "metrics.jsonl", workdir / "loss.png", carried)
  written.append(curve.name)
  if sample is not None:
    files.write_bytes(workdir / "sample.txt", sample)
    lines += ["A sample:", "", *_quoted(sample), ""]
    written.append("sample.txt")
  written += ["report.md", "report.json", "tensorboard/", "checkpoints/"]
  lines += [f"In {workdir}: " + ", ".join(written)]
  print("\n".join(lines), flush=True)
  files.write_text(workdir / "report.md", "\n".join(lines) + "\n")
  files.write_json(workdir / "report.json", numbers)


def sample(context: TaskContext, model: LM, params: Any, tokenizer: Tokenizer) -> bytes:
  """Returns `context.sample_size` bytes that the model writes after nothing."""
  writer = Writer(model, params, tokenizer, first_session(model, 1))
  writer.read([b""], seed=context.seed)
  pieces = writer.write(Sampling(temperature=0.8), context.sample_size)
  return b"".join(piece.text[0] for piece in pieces)


def _numbers(
  result: Result, bits: dict[str, float], packed: dict[str, float], split: str
) -> dict[str, Any]:
  def curve(buckets: Buckets) -> dict[str, Any]:
    mean = [None if math.isnan(m) else float(m) for m in buckets.mean]
    return {
      "edges": buckets.edges.tolist(),
      "mean": mean,
      "count": buckets.count.tolist(),
    }

  side = "train" if split == "train" else "heldout"
  return {
    f"{side}_bytes": result.num_bytes,
    f"{side}_documents": result.num_documents,
    "bits_per_byte": bits,
    "compressors": packed,
    "gain_by_document_position": curve(result.gain_by_document_position("re-read")),
    "gain_by_segment_position": curve(result.gain_by_segment_position("re-read")),
  }


def _table(
  result: Result, bits: dict[str, float], packed: dict[str, float], split: str
) -> list[str]:
  segment = result.segment
  meaning = {
    "carried": "memory continues through whole documents",
    "re-read": f"emptied every {segment} tokens, after reading the segment before",
    "reset": f"emptied every {segment} tokens",
  }
  gain = {way: bits[way] - bits["carried"] for way in ("re-read", "reset")}
  rows = [f"| {way} | {bits[way]:.3f} | {text} |" for way, text in meaning.items()]
  rows += baselines.packed_rows(packed)
  title = "Training text" if split == "train" else "Held out"
  return [
    f"{title}: {result.num_bytes:,} bytes of {result.num_documents} documents",
    "",
    "| read | bits per byte | |",
    "|---|--:|---|",
    *rows,
    "",
    f"Carrying saves {gain['re-read']:.3f} bits per byte over re-reading and "
    f"{gain['reset']:.3f} over resetting. {_MEANING}",
    "",
  ]


def _pictures(result: Result) -> dict[str, Any]:
  """Returns file name -> what draws it to a path."""
  ways = ("re-read", "reset")
  title = "What carrying saves"
  document = functools.partial(
    plots.gain,
    {way: result.gain_by_document_position(way) for way in ways},
    title=title,
    x="position in the document; bytes in the bucket",
    counts=True,
  )
  within = functools.partial(
    plots.gain,
    {way: result.gain_by_segment_position(way) for way in ways},
    title=title,
    x=f"position within a segment of {result.segment}",
    counts=False,
  )
  return {"gain_by_document.png": document, "gain_by_segment.png": within}


def _quoted(text: bytes) -> list[str]:
  return [f"    {line}" for line in text.decode("utf-8", "replace").splitlines()]
