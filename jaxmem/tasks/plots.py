"""The pictures of a run, as PNG."""

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
  """A measure of training over steps, from a `metrics.jsonl`.

  Args:
    metrics: the log; where steps were done twice the last attempt counts.
    path: of the PNG.
    heldout: its value on what is held out, drawn as a line.
    measure: see `tasks.Job`.
  """
  lines = [json.loads(line) for line in files.read_text(metrics).splitlines()]
  key = key_of(measure)
  number = lambda value: math.nan if value is None else value  # it was not finite
  by_step = {m["step"]: number(m[key]) for m in lines if key in m}

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


def by_position(
  edges: list[int], curves: dict[str, list[float]], path: Path, title: str
) -> Path:
  """Bits per byte by position in the document, in doubling buckets.

  Args:
    edges: of the buckets, one more than there are.
    curves: name -> bits per byte in each; ways of reading keep their colours.
    path: of the PNG.
    title: above the picture.
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


def turns(found: Turns, path: Path, title: str) -> Path:
  """Exact answers by turn, for each way of reading.

  Args:
    found: see `tasks.dialogue.turns`.
    path: of the PNG.
    title: above the picture.
  """

  def draw(axes):
    for way, by_turn in found.items():
      exact = [turn.exact / turn.answers for turn in by_turn.values()]
      axes.plot(
        list(by_turn), exact, marker="o", ms=3.5, lw=1.4, color=_COLOURS[way], label=way
      )
    axes.set_ylim(-0.03, 1.03)
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
  """A series, what came after it, and what was forecast.

  Args:
    history: [T].
    future: [H].
    guess: [H].
    path: of the PNG.
    title: above the picture.
    interval: the lower and the upper bound of the forecast, [H] each.
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
  """A number of tokens in few letters: 96, 16k, 2M."""
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
  """Who can see what, queries downwards and keys to the right.

  Args:
    path: of the PNG.
    title: above the pictures.
    pairs: [T, T], whether a query sees a key, or how far the key moves it.
    blocks: the blocks that are computed; None leaves that picture out.
    reach: [T, T], layers that a key needs to reach a query, 0 for never.
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
  extent = (0, len(pairs), len(pairs), 0)
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
  """Truth as it is; influence by its logarithm, white where there is none."""
  if pairs.dtype == bool:
    return pairs
  level = np.log10(np.maximum(pairs / pairs.max(), 1e-8))
  return np.where(pairs > 0, level, np.nan)


def _layers(reach: np.ndarray) -> np.ndarray:
  return np.where(reach > 0, reach.astype(float), np.nan)


def depths(
  path: Path, grid: np.ndarray, depths: list[float], lengths: list[int]
) -> Path:
  """How often a needle was found, by its depth and the length of the text.

  Args:
    path: of the PNG.
    grid: [depth, length], 0 .. 100; NaN is left white.
    depths: 0 .. 1, the first at the top.
    lengths: in tokens.
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
