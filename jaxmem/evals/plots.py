"""The pictures of a run, as PNG."""

import json
from pathlib import Path

import numpy as np

from jaxmem.evals.bits_per_byte import Buckets

_COLOURS = {"re-read": "#1f5fa8", "reset": "#c8741a"}


def _figure(path: Path, title: str, x: str, y: str, draw) -> Path:
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=120, layout="constrained")
  axes.set(title=title, xlabel=x, ylabel=y)
  axes.grid(alpha=0.25)
  draw(axes)
  figure.savefig(path)
  plt.close(figure)
  return path


def loss_curve(metrics: Path, path: Path, heldout: float | None = None) -> Path:
  """Training bits per byte over steps, from a `metrics.jsonl`.

  Args:
    metrics: the log; where steps were done twice the last attempt counts.
    path: of the PNG.
    heldout: held-out bits per byte, drawn as a line.
  """
  lines = [json.loads(line) for line in metrics.read_text().splitlines()]
  by_step = {m["step"]: m["bits_per_byte"] for m in lines if "bits_per_byte" in m}

  def draw(axes):
    steps = sorted(by_step)
    axes.plot(steps, [by_step[s] for s in steps], color="#333333", label="training")
    if heldout is not None:
      axes.axhline(heldout, color="#1f5fa8", ls="--", label="held out, carried")
    axes.legend(frameon=False)

  return _figure(path, "Loss", "step", "bits per byte", draw)


def gain(
  curves: dict[str, Buckets], path: Path, title: str, x: str, counts: bool
) -> Path:
  """The gain of carrying, by bucket, with two standard errors.

  Args:
    curves: what it is a gain over -> buckets, the same for all.
    path: of the PNG.
    title: above the picture.
    x: what the buckets are of.
    counts: writes under each bucket how many bytes it has.
  """

  def draw(axes):
    axes.axhline(0, color="#999999", lw=0.8)
    for over, b in curves.items():
      at = np.arange(len(b.mean))
      axes.errorbar(
        at, b.mean, 2 * b.error, marker="o", ms=3.5, lw=1.4, capsize=2,
        color=_COLOURS[over], label=f"over {over}",
      )  # fmt: skip
    labels = [f"{lo}-{hi}" for lo, hi in zip(b.edges[:-1], b.edges[1:], strict=True)]
    if counts:
      labels = [f"{t}\n{n:,} B" for t, n in zip(labels, b.count, strict=True)]
    axes.set_xticks(at, labels, fontsize=6, rotation=0 if counts else 45)
    axes.legend(frameon=False)

  return _figure(path, title, x, "bits saved per byte", draw)
