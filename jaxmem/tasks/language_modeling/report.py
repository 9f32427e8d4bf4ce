"""The end of a run: what was remembered, in numbers, pictures and a sample."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxmem.core import files, finite
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.lm import LM
from jaxmem.tasks import baselines, plots
from jaxmem.tasks.base import TaskContext
from jaxmem.tasks.language_modeling import bits_per_byte
from jaxmem.tasks.language_modeling.heldout import HeldOut
from jaxmem.tokenizers import Tokenizer

_MEANING = (
  "Carried against re-read is what memory beyond one segment is worth: both have read "
  "what stands just before, only one has read what stands further back."
)


def write(
  context: TaskContext,
  segment: int,
  model: LM,
  params: Any,
  heldout: HeldOut,
  tokenizer: Tokenizer,
  workdir: Path,
  note: Sequence[str] = (),
  about: Mapping[str, Any] | None = None,
) -> None:
  """Scores held-out text, draws the pictures and a sample, prints and writes it all.

  Writes `report.md`, `report.json`, `loss.png`, `gain_by_document.png`,
  `gain_by_segment.png` and `sample.txt` to `workdir`.

  Args:
    context: of the run.
    segment: T, tokens of a row of the run.
    model: that was trained.
    params: its weights.
    heldout: the text to score.
    tokenizer: of the text.
    workdir: of the run.
    note: lines about what the scores are of, which stand before them.
    about: the same for `report.json`.
  """
  lines, numbers, written = [], {}, ["config.json", "metrics.jsonl", "ledger.jsonl"]
  carried = None
  if context.eval_size:
    print(
      f"scoring {context.eval_size:,} bytes of held-out text, three ways", flush=True
    )
    scores = heldout.score(params, context.eval_size)
    bits, packed = scores.bits_per_byte(), bits_per_byte.compressors(scores.texts)
    carried = bits["carried"]
    numbers = _numbers(scores, bits, packed, segment) | (about or {})
    lines += baselines.better("bits per byte", carried, packed, lower=True)
    lines += note
    lines += _table(scores, bits, packed, segment)
    lines += finite.said({"bits_per_byte": bits})
    numbers = finite.plain(numbers)
    written += _pictures(scores, segment, workdir)
  written += [
    plots.loss_curve(workdir / "metrics.jsonl", workdir / "loss.png", carried).name
  ]
  if context.sample_size:
    text = _sample(context, model, params, tokenizer)
    files.write_bytes(workdir / "sample.txt", text)
    lines += ["A sample:", "", *_quoted(text), ""]
    written += ["sample.txt"]
  written += ["report.md", "report.json", "tensorboard/", "checkpoints/"]
  lines += [f"In {workdir}: " + ", ".join(written)]
  print("\n".join(lines), flush=True)
  files.write_text(workdir / "report.md", "\n".join(lines) + "\n")
  files.write_json(workdir / "report.json", numbers)


def _numbers(scores, bits, packed, segment) -> dict[str, Any]:
  def curve(b):
    mean = [None if math.isnan(m) else float(m) for m in b.mean]
    return {"edges": b.edges.tolist(), "mean": mean, "count": b.count.tolist()}

  return {
    "heldout_bytes": scores.num_bytes,
    "heldout_documents": len(scores.names),
    "bits_per_byte": bits,
    "compressors": packed,
    "gain_by_document_position": curve(
      bits_per_byte.by_document_position(scores, "re-read")
    ),
    "gain_by_segment_position": curve(
      bits_per_byte.by_segment_position(scores, segment, "re-read")
    ),
  }


def _table(scores, bits, packed, segment) -> list[str]:
  what = {
    "carried": "memory continues through whole documents",
    "re-read": f"emptied every {segment} tokens, after reading the segment before",
    "reset": f"emptied every {segment} tokens",
  }
  gain = {way: bits[way] - bits["carried"] for way in ("re-read", "reset")}
  rows = [f"| {way} | {bits[way]:.3f} | {what[way]} |" for way in what]
  rows += bits_per_byte.packed_rows(packed)
  return [
    f"Held out: {scores.num_bytes:,} bytes of {len(scores.names)} documents",
    "",
    "| read | bits per byte | |",
    "|---|--:|---|",
    *rows,
    "",
    f"Carrying saves {gain['re-read']:.3f} bits per byte over re-reading and "
    f"{gain['reset']:.3f} over resetting. {_MEANING}",
    "",
  ]


def _pictures(scores, segment, workdir) -> list[str]:
  overs = ("re-read", "reset")
  document = {o: bits_per_byte.by_document_position(scores, o) for o in overs}
  within = {o: bits_per_byte.by_segment_position(scores, segment, o) for o in overs}
  title = "What carrying saves"
  made = [
    plots.gain(
      document,
      workdir / "gain_by_document.png",
      title,
      "position in the document; bytes in the bucket",
      counts=True,
    ),
    plots.gain(
      within,
      workdir / "gain_by_segment.png",
      title,
      f"position within a segment of {segment}",
      counts=False,
    ),
  ]
  return [path.name for path in made]


def _sample(context, model, params, tokenizer) -> bytes:
  writer = Writer(model, params, tokenizer, first_session(model, 1))
  writer.read([b""], seed=context.seed)
  pieces = writer.write(Sampling(temperature=0.8), context.sample_size)
  return b"".join(piece.text[0] for piece in pieces)


def _quoted(text: bytes) -> list[str]:
  shown = text.decode("utf-8", errors="replace")
  return [f"    {line}" for line in shown.splitlines()]
