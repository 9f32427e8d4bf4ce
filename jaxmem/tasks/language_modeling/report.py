"""The report of a language model: numbers, tables, pictures and a sample."""

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
from jaxmem.runtime import markdown
from jaxmem.tasks import baselines, plots
from jaxmem.tasks.base import EvalResult, Report, TaskContext
from jaxmem.tasks.language_modeling.paired import Buckets
from jaxmem.tasks.language_modeling.perplexity import Result
from jaxmem.tokenizers import Tokenizer

_MEANING = (
  "The difference of carried and re-read is what memory beyond one segment is worth: "
  "both have read the text just before, only one has read the text further back."
)


def findings(result: Result, texts: Sequence[bytes], split: str) -> EvalResult:
  """Returns the scores of a split beside those of compressors.

  Args:
    result: the costs in all ways of reading, by segment too.
    texts: the documents that were read.
    split: the split of these documents.
  """
  bits, packed = result.bits_per_byte(), baselines.compressors(texts)
  lines = baselines.better("bits per byte", bits["carried"], packed, lower=True)
  lines += _table(result, bits, packed, split)
  return EvalResult(_numbers(result, bits, packed, split), lines, _pictures(result))


def write(findings: EvalResult | None, sample: bytes | None, workdir: Path) -> Report:
  """Prints the report of a run, and writes it to the work directory.

  It writes `report.md`, `report.json`, `loss.png`, the pictures of the findings, and
  `sample.txt`.

  Args:
    findings: the scores of held-out text; None if it was not scored.
    sample: a text that the model wrote; None if there is none.
    workdir: the work directory of the run.

  Returns:
    What the logs of the run show of it.
  """
  lines: list[str] = []
  numbers: dict[str, Any] = {}
  names = ["config.json", "metrics.jsonl", "ledger.jsonl"]
  carried = None
  if findings:
    bits = findings.numbers["bits_per_byte"]
    carried = bits["carried"]
    lines += findings.lines + finite.said({"bits_per_byte": bits})
    numbers = finite.plain(findings.numbers)  # JSON has no NaN
    for name, draw in findings.pictures.items():
      draw(workdir / name)
      names.append(name)
  curve = plots.loss_curve(workdir / "metrics.jsonl", workdir / "loss.png", carried)
  names.append(curve.name)
  if sample is not None:
    files.write_bytes(workdir / "sample.txt", sample)
    lines += ["A sample:", "", *_quoted(sample), ""]
    names.append("sample.txt")
  names += ["report.md", "report.html", "report.json", "tensorboard/", "checkpoints/"]
  lines += [f"In {workdir}: " + ", ".join(names)]
  print("\n".join(lines), flush=True)
  lines += markdown.pictures(name for name in names if name.endswith(".png"))
  files.write_text(workdir / "report.md", "\n".join(lines) + "\n")
  files.write_json(workdir / "report.json", numbers)
  pictures = [workdir / name for name in names if name.endswith(".png")]
  return Report.of(numbers, pictures)


def sample(context: TaskContext, model: LM, params: Any, tokenizer: Tokenizer) -> bytes:
  """Returns `context.sample_size` tokens that the model writes without a prompt."""
  writer = Writer(model, params, tokenizer, first_session(model, 1))
  writer.read([b""], seed=context.seed)
  # a little below temperature 1, where small models write readable text
  pieces = writer.write(Sampling(temperature=0.8), context.sample_size)
  return b"".join(piece.text[0] for piece in pieces)


def _numbers(
  result: Result, bits: dict[str, float], packed: dict[str, float], split: str
) -> dict[str, Any]:
  def curve(buckets: Buckets) -> dict[str, Any]:
    mean = [
      None if math.isnan(m) else float(m) for m in buckets.mean
    ]  # JSON has no NaN
    return {
      "edges": buckets.edges.tolist(),
      "mean": mean,
      "count": buckets.count.tolist(),
    }

  # "test" is the held-out text under another name
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
  # positive where carrying is better
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
  """Returns file name -> the function that draws it to a path."""
  ways = ("re-read", "reset")
  title = "What carrying saves"
  document = functools.partial(
    plots.gain,
    {way: result.gain_by_document_position(way) for way in ways},
    title=title,
    x="position in the document",
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
  # four spaces make a code block, in which Markdown leaves the sample as it is
  return [f"    {line}" for line in text.decode("utf-8", "replace").splitlines()]
