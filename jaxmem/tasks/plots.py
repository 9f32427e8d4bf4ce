"""Draws the pictures of a run, as PNG."""

import json
import math
from pathlib import Path

import numpy as np

from jaxmem.core import files
from jaxmem.runtime.logs import key_of
from jaxmem.tasks.dialogue.turns import Turns
from jaxmem.tasks.language_modeling.paired import Buckets

_COLOURS = {"re-read": "#1f5fa8", "reset": "#c8741a", "carried": "#333333"}


def _figure(path: Path, title: str, x: str, y: str, draw) -> Path:
  """Writes a figure whose axes `draw` fills; returns its path."""
  # here, because matplotlib is slow to import; Agg, because there may be no display
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=120, layout="constrained")
  axes.set(title=title, xlabel=x, ylabel=y)
  axes.grid(alpha=0.25)
  draw(axes)
  with files.replacing(path) as temporary:
    figure.savefig(temporary)
  plt.close(figure)
  return path


def loss_curve(
  metrics: Path, path: Path, heldout: float | None = None, measure: str = "bits/byte"
) -> Path:
  """Draws a measure of training over steps, from a `metrics.jsonl`.

  Args:
    metrics: the log; of a step that was repeated the last attempt counts.
    path: path of the PNG.
    heldout: the held-out value, drawn as a line; None draws none.
    measure: see `tasks.Task`.
  """
  lines = [json.loads(line) for line in files.read_text(metrics).splitlines()]
  key = key_of(measure)
  # the log writes null for a value that was not finite
  by_step = {
    m["step"]: math.nan if m[key] is None else m[key] for m in lines if key in m
  }

  def draw(axes):
    steps = sorted(by_step)
    axes.plot(steps, [by_step[s] for s in steps], color="#333333", label="training")
    if heldout is not None:
      axes.axhline(heldout, color="#1f5fa8", ls="--", label="held out")
    axes.legend(frameon=False)

  return _figure(path, "Loss", "step", measure, draw)


def gain(
  curves: dict[str, Buckets], path: Path, title: str, x: str, counts: bool
) -> Path:
  """Draws the gain of carrying memory, by bucket, with two standard errors.

  Args:
    curves: baseline of the gain -> its buckets, whose edges are the same for all.
    path: path of the PNG.
    title: title of the picture.
    x: label of the buckets.
    counts: whether the number of bytes is written under each bucket.
  """

  def draw(axes):
    axes.axhline(0, color="#999999", lw=0.8)
    for over, b in curves.items():
      at = np.arange(len(b.mean))  # buckets are equally wide on the axis
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


def by_position(
  edges: list[int], curves: dict[str, list[float]], path: Path, title: str
) -> Path:
  """Draws bits per byte by position in the document, in doubling buckets.

  Args:
    edges: edges of the buckets, one more than buckets.
    curves: name -> bits per byte of each bucket; ways of reading have fixed colours.
    path: path of the PNG.
    title: title of the picture.
  """

  def draw(axes):
    at = np.arange(len(edges) - 1)
    for name, values in curves.items():
      colour = _COLOURS.get(name)
      axes.plot(at, values, marker="o", ms=3.5, lw=1.4, color=colour, label=name)
    pairs = zip(edges[:-1], edges[1:], strict=True)
    labels = [f"{_short(lo)}-{_short(hi)}" for lo, hi in pairs]
    axes.set_xticks(at, labels, fontsize=6, rotation=45)
    axes.legend(frameon=False)

  return _figure(path, title, "position in the document", "bits per byte", draw)


def turns(scores: Turns, path: Path, title: str) -> Path:
  """Draws the share of exact answers by turn, for each way of reading.

  Args:
    scores: see `tasks.dialogue.turns`.
    path: path of the PNG.
    title: title of the picture.
  """

  def draw(axes):
    for way, by_turn in scores.items():
      exact = [turn.exact / turn.answers for turn in by_turn.values()]
      axes.plot(
        list(by_turn), exact, marker="o", ms=3.5, lw=1.4, color=_COLOURS[way], label=way
      )
    axes.set_ylim(-0.03, 1.03)  # markers at 0 and 1 are not cut
    axes.legend(frameon=False)

  return _figure(path, title, "turn", "exact answers", draw)


def forecast(
  history: np.ndarray,
  future: np.ndarray,
  guess: np.ndarray,
  path: Path,
  title: str,
  interval: tuple[np.ndarray, np.ndarray] | None = None,
) -> Path:
  """Draws a series, its future and the forecast.

  Args:
    history: the values that were read, [T].
    future: the true values after them, [H].
    guess: the forecast values, [H].
    path: path of the PNG.
    title: title of the picture.
    interval: the lower and the upper bound of the forecast, [H] each, or None.
  """

  def draw(axes):
    after = len(history) + np.arange(len(future))
    axes.plot(history, color="#999999", lw=1.0)
    axes.plot(after, future, color="#333333", lw=1.0, label="what came")
    axes.plot(after, guess, color="#1f5fa8", lw=1.4, label="forecast")
    if interval:
      shade = {"color": "#1f5fa8", "alpha": 0.2, "lw": 0}
      axes.fill_between(after, *interval, label="its interval", **shade)
    axes.legend(frameon=False)

  return _figure(path, title, "step", "standardised value", draw)


def _short(count: int) -> str:
  """Abbreviates a number of tokens: 96, 16k, 2M."""
  for unit, letter in ((1 << 20, "M"), (1 << 10, "k")):
    if count >= unit and count % unit == 0:
      return f"{count // unit}{letter}"
  return str(count)


def sight(
  path: Path,
  title: str,
  pairs: np.ndarray,
  blocks: np.ndarray | None,
  reach: np.ndarray,
) -> Path:
  """Draws which keys each query sees, with queries downwards and keys to the right.

  Args:
    path: path of the PNG.
    title: title above the pictures.
    pairs: [T, T], whether a query sees a key, or how much the key influences it.
    blocks: the blocks that are computed; None leaves out that picture.
    reach: [T, T], number of layers after which a key reaches a query, 0 for never.
  """
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  panels = [("one layer", _shade(pairs), "Blues")]
  if blocks is not None:
    panels.append((f"blocks computed: {blocks.sum()} of {blocks.size}", blocks, "Reds"))
  panels.append((f"through {reach.max()} layers", _layers(reach), "viridis_r"))
  figure, axes = plt.subplots(
    1, len(panels), figsize=(2.9 * len(panels), 3.3), dpi=120, layout="constrained"
  )
  figure.suptitle(title, fontsize=9)
  extent = (0, len(pairs), len(pairs), 0)  # all pictures in tokens, blocks too
  for axis, (name, picture, colours) in zip(axes, panels, strict=True):
    image = axis.imshow(picture, cmap=colours, extent=extent, interpolation="nearest")
    axis.set_title(name, fontsize=8)
    axis.set_xlabel("key", fontsize=7)
    axis.tick_params(labelsize=6)
  axes[0].set_ylabel("query", fontsize=7)
  bar = figure.colorbar(image, ax=axes[-1], shrink=0.7, ticks=range(1, reach.max() + 1))
  bar.ax.tick_params(labelsize=6)
  bar.set_label("layers", fontsize=7)
  with files.replacing(path) as temporary:
    figure.savefig(temporary)
  plt.close(figure)
  return path


def _shade(pairs: np.ndarray) -> np.ndarray:
  """Returns booleans unchanged, and influence as its logarithm, NaN where it is 0."""
  if pairs.dtype == bool:
    return pairs
  # influence falls by powers of ten: on a linear scale only the nearest keys show
  level = np.log10(np.maximum(pairs / pairs.max(), 1e-8))
  return np.where(pairs > 0, level, np.nan)


def _layers(reach: np.ndarray) -> np.ndarray:
  """Returns the layers as floats, NaN (white) where a key never reaches a query."""
  return np.where(reach > 0, reach.astype(float), np.nan)


def depths(
  path: Path, grid: np.ndarray, depths: list[float], lengths: list[int]
) -> Path:
  """Draws how often a needle was found, by its depth and the length of the text.

  Args:
    path: path of the PNG.
    grid: [depth, length], percent; NaN stays white.
    depths: relative depths in 0 .. 1, the first at the top.
    lengths: lengths in tokens.
  """
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  width = 2.4 + 0.7 * len(lengths)
  figure, axes = plt.subplots(figsize=(width, 3.6), dpi=120, layout="constrained")
  image = axes.imshow(grid, cmap="RdYlGn", vmin=0, vmax=100, aspect="auto")
  for (i, j), value in np.ndenumerate(grid):
    if not np.isnan(value):
      axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7)
  axes.set(title="Needle", xlabel="tokens", ylabel="depth, %")
  axes.set_xticks(range(len(lengths)), [f"{n:,}" for n in lengths], fontsize=7)
  axes.set_yticks(range(len(depths)), [f"{100 * d:.0f}" for d in depths], fontsize=7)
  bar = figure.colorbar(image, ax=axes)
  bar.ax.tick_params(labelsize=7)
  bar.set_label("found, %", fontsize=7)
  with files.replacing(path) as temporary:
    figure.savefig(temporary)
  plt.close(figure)
  return path
