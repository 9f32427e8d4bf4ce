"""Draws the curves of a run, as PNG."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmem.core import files
from jaxmem.runtime import figures
from jaxmem.runtime.logs import key_of
from jaxmem.tasks.dialogue.turns import Turns
from jaxmem.tasks.language_modeling.paired import Buckets

# More steps of a forecast would hide each other at 400 pixels.
_MOST_STEPS = 192


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
  with figures.saving(path, "Training loss") as (figure, grid):
    axes, steps = grid[0, 0], sorted(by_step)
    values = [by_step[step] for step in steps]
    # dots, where steps are few: a value between two that are not finite has no line
    dot = "o" if len(steps) <= 30 else None
    axes.plot(steps, values, color=figures.BLUE, marker=dot, label="training")
    if heldout is not None:
      color = figures.VERMILION
      axes.axhline(heldout, color=color, ls="--", label="held out, at the end")
    axes.set(xlabel="step", ylabel=measure)
    figures.legend(figure)
  return path


def gain(
  curves: dict[str, Buckets], path: Path, title: str, x: str, counts: bool
) -> Path:
  """Draws the gain of carrying memory, by bucket, with two standard errors.

  Args:
    curves: baseline of the gain -> its buckets, whose edges are the same for all.
    path: path of the PNG.
    title: title of the picture.
    x: label of the buckets.
    counts: whether the number of bytes of each bucket is written above it.
  """
  with figures.saving(path, title) as (figure, grid):
    axes = grid[0, 0]
    axes.axhline(0, color=figures.GREY, lw=0.8)
    for over, b in curves.items():
      at = np.arange(len(b.mean))  # buckets are equally wide on the axis
      axes.errorbar(
        at, b.mean, 2 * b.error, marker="o", color=figures.WAYS[over],
        label=f"over {over}",
      )  # fmt: skip
    buckets = next(iter(curves.values()))
    figures.edge_ticks(axes, buckets.edges.tolist())
    axes.set(xlabel=x, ylabel="bits saved per byte")
    if counts:
      _counts_above(axes, buckets.count.tolist())
    figures.legend(figure)
  return path


def _counts_above(axes, counts: list[int]) -> None:
  """Writes how many bytes each bucket has; of many buckets, only of some."""
  step = -(-len(counts) // 10)
  shown = range(0, len(counts), step)
  above = axes.secondary_xaxis("top")
  above.set_xticks(list(shown), [figures.short(counts[i]) for i in shown])
  above.tick_params(length=0, pad=1)
  above.spines["top"].set_visible(False)
  above.set_xlabel("bytes in the bucket", fontsize=figures.SMALL)


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
  with figures.saving(path, title) as (figure, grid):
    axes, at = grid[0, 0], np.arange(len(edges) - 1)
    for i, (name, values) in enumerate(curves.items()):
      style = figures.series_style(i) | _way(name)
      # rings of different sizes, since equal curves hide each other
      size = 3 + 2 * (len(curves) - 1 - i)
      axes.plot(at, values, ms=size, mfc="none", label=name, **style)
    figures.edge_ticks(axes, edges)
    axes.set(xlabel="position in the document", ylabel="bits per byte")
    figures.legend(figure)
  return path


def _way(name: str) -> dict[str, str]:
  return {"color": figures.WAYS[name]} if name in figures.WAYS else {}


def turns(
  scores: Turns, path: Path, title: str, guess: tuple[str, float] | None = None
) -> Path:
  """Draws the share of exact answers by turn, for each way of reading.

  Args:
    scores: see `tasks.dialogue.turns`; a bar is two standard errors.
    path: path of the PNG.
    title: title of the picture.
    guess: what a guess is among, and its share of exact answers; None draws none.
  """
  with figures.saving(path, title) as (figure, grid):
    axes = grid[0, 0]
    for way, by_turn in scores.items():
      count = np.array([turn.answers for turn in by_turn.values()])
      exact = np.array([turn.exact for turn in by_turn.values()]) / count
      # the bounds of Wilson: they are not 0 wide where all or no answers are exact
      error = np.abs(np.stack(_wilson(exact, count)) - exact)
      color = figures.WAYS[way]
      axes.errorbar(
        list(by_turn), exact, error, marker="o", color=color, elinewidth=0.8, label=way
      )
    if guess:
      axes.axhline(guess[1], color=figures.GREY, ls=":", label=f"guess: {guess[0]}")
    axes.set(xlabel="turn", ylabel="exact answers", ylim=(-0.03, 1.03))
    axes.xaxis.get_major_locator().set_params(integer=True)
    figures.legend(figure)
  return path


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the bounds of a share at two standard errors."""
  middle = (share + 2 / count) / (1 + 4 / count)
  half = 2 * np.sqrt(share * (1 - share) / count + 1 / count**2) / (1 + 4 / count)
  return middle - half, middle + half


class Forecast(NamedTuple):
  """One series, and what forecasts say of it.

  Attributes:
    history: the values that were read, [T].
    future: the true values after them, [H].
    guess: the forecast values, [H].
    interval: the lower and the upper bound of the forecast, [H] each, or None.
    share: the share of the values that the interval is to hold; None does not say it.
    naive: name -> values of another forecast, [H].
  """

  history: np.ndarray
  future: np.ndarray
  guess: np.ndarray
  interval: tuple[np.ndarray, np.ndarray] | None = None
  share: float | None = None
  naive: tuple[str, np.ndarray] | None = None


def forecast(series: Forecast, path: Path, title: str, unit: str) -> Path:
  """Draws a series, its future and the forecast, of many steps the nearest.

  Args:
    series: what is drawn.
    path: path of the PNG.
    title: title of the picture.
    unit: of the values.
  """
  count = min(len(series.future), _MOST_STEPS)
  history = series.history[-_MOST_STEPS // 2 :]
  if count < len(series.future):
    title += f", first {count} of {len(series.future)} steps"
  with figures.saving(path, title) as (figure, grid):
    axes, after = grid[0, 0], np.arange(count)
    before, thin = np.arange(-len(history), 0), {"lw": 0.9}
    axes.plot(before, history, color=figures.GREY, label="read", **thin)
    observed = series.future[:count]
    axes.plot(after, observed, color=figures.BLACK, label="observed", **thin)
    if series.naive:
      name, values = series.naive[0], series.naive[1][:count]
      axes.plot(after, values, color=figures.VERMILION, ls="--", label=name, **thin)
    axes.plot(after, series.guess[:count], color=figures.BLUE, label="forecast")
    if series.interval:
      share = "" if series.share is None else f" of {series.share:.0%}"
      shade = {"color": figures.BLUE, "alpha": 0.2, "lw": 0}
      bounds = (bound[:count] for bound in series.interval)
      axes.fill_between(after, *bounds, label=f"interval{share}", **shade)
    axes.axvline(-0.5, color=figures.GREY, lw=0.6)
    axes.set(xlabel="steps from the last value that was read", ylabel=unit)
    figures.legend(figure)
  return path
