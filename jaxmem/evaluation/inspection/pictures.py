"""The pictures of the page of `jaxmem inspect`, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.evaluation.inspection import inside
from jaxmem.evaluation.inspection.inside import Layer, Memory
from jaxmem.evaluation.inspection.span import Span
from jaxmem.runtime import figures

_MODEL = "the whole model"
_BAR = {"pad": 0.02, "aspect": 12}  # of a colour bar beside bands of layers


def _names(axis: Any, layers: Sequence[Layer]) -> None:
  names = [figures.shortened(axis.figure, str(layer), 1.2) for layer in layers]
  axis.set_yticks(range(len(layers)), names)


def _heat(axis: Any, rows: np.ndarray, **options: Any) -> Any:
  """Draws layers x tokens: a band a layer, tokens at their positions in the text."""
  extent = (0, rows.shape[1], len(rows) - 0.5, -0.5)  # the first layer on top
  image = axis.imshow(
    rows, aspect="auto", interpolation="nearest", extent=extent, cmap="viridis",
    **options,
  )  # fmt: skip
  axis.set_xlabel("token")
  axis.grid(False)
  return image


def gates(path: Path, name: str, values: dict[Layer, np.ndarray]) -> Path:
  """Draws a gate's mean over channels and heads, layers x tokens."""
  rows = np.stack([inside.by_token(value) for value in values.values()])  # [L, T]
  title = f"{name.replace('_', ' ')}, mean over channels and heads"
  with figures.saving(path, title, 0.9 + 0.2 * len(rows)) as (figure, grid):
    axis = grid[0, 0]
    image = _heat(axis, rows)
    _names(axis, list(values))
    figure.colorbar(image, ax=axis, **_BAR)
  return path


def decays(path: Path, log_decay: dict[Layer, np.ndarray]) -> Path:
  """Draws half-lives over the tokens, and their distribution over channels too."""
  from matplotlib.colors import LogNorm

  lives = {layer: inside.half_lives(g) for layer, g in log_decay.items()}
  # the geometric mean, since half-lives differ by orders of magnitude
  rows = np.exp(np.stack([inside.by_token(np.log(h)) for h in lives.values()]))
  # a little above the maximum, since equal bounds make the scale singular
  norm = LogNorm(max(rows.min(), inside.SHORTEST), rows.max() * 1.0001)
  ticks = np.geomspace(norm.vmin, norm.vmax, 4)
  height = 2 * (0.9 + 0.2 * len(rows))
  with figures.saving(path, "half-life of what is held", height, 2) as (figure, grid):
    top, below = grid[:, 0]
    image = _heat(top, rows, norm=norm)
    top.set_title("at each token, geometric mean over channels and heads")
    bar = figure.colorbar(image, ax=top, label="tokens", ticks=ticks, **_BAR)
    bar.ax.minorticks_off()
    bar.ax.set_yticklabels([f"{tick:.3g}" for tick in ticks])
    _quantiles(below, list(lives.values()))
    below.set(xscale="log", xlabel="half-life in tokens", ylim=(len(lives) - 0.5, -0.5))
    below.set_title("all channels, all tokens: median, half, nine tenths")
    for axis in (top, below):
      _names(axis, list(lives))
  return path


def _quantiles(axis: Any, lives: list[np.ndarray]) -> None:
  """Draws the median of each layer, and bars of half and of nine tenths around it."""
  for band, h in enumerate(lives):
    low, first, middle, third, high = np.quantile(h, [0.05, 0.25, 0.5, 0.75, 0.95])
    axis.plot([low, high], [band, band], color=figures.SKY, lw=2)
    axis.plot([first, third], [band, band], color=figures.BLUE, lw=5)
    axis.plot(middle, band, "o", color="white", mec=figures.BLUE, ms=4.5)


def spans(path: Path, model: Span, layers: dict[Layer, Span]) -> Path:
  """Draws influence by distance on logarithmic axes, and its cumulative share."""
  import matplotlib

  colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, max(len(layers), 1)))
  lines = [(str(k), s, c) for (k, s), c in zip(layers.items(), colours, strict=False)]
  lines.append((_MODEL, model, figures.VERMILION))
  with figures.saving(path, "influence by distance", 4.2, 2) as (figure, grid):
    by_distance, cumulative = grid[:, 0]
    for i, (name, span, colour) in enumerate(lines):
      of_model = name == _MODEL
      # layers differ by their dashes too; the model's line is thick
      style = figures.series_style(0 if of_model else 7 * i)["linestyle"]
      options = dict(color=colour, ls=style, lw=2.2 if of_model else 1.2)
      distance = 1 + np.arange(len(span.profile))
      share = span.profile / span.profile.sum()
      # a logarithmic axis has no 0, so distances without influence are gaps
      visible = np.where(share > 1e-12, share, np.nan)
      by_distance.plot(distance, visible, label=name, **options)
      cumulative.plot(distance, 100 * np.cumsum(share), **options)
    by_distance.set(xscale="log", yscale="log", ylabel="share of the influence")
    cumulative.set(xscale="log", ylim=(0, 102), ylabel="% of it so far")
    cumulative.set_xlabel("tokens back, the newest is 1")
    figures.legend(figure)
  return path


def maps(path: Path, panels: dict[str, np.ndarray], first: int) -> Path:
  """Draws maps of attention: queries downwards, keys to the right, dark for large.

  Args:
    path: the PNG that is written.
    panels: title -> [R, R].
    first: the position in the text of the first token of the map.
  """
  columns = min(len(panels), 2)
  rows = -(-len(panels) // columns)
  size = {"rows": rows, "columns": columns, "height": 0.6 + 3.6 / columns * rows}
  with figures.saving(path, "attention by query and key", **size) as (figure, grid):
    for axis in grid.flat[len(panels) :]:
      axis.set_axis_off()
    for axis, (title, weights) in zip(grid.flat, panels.items(), strict=False):
      # invisible keys stay white; weights too small to see have the lightest colour
      visible = np.where(weights > 0, np.maximum(weights, 1e-4), np.nan)
      last = first + len(weights)
      image = axis.imshow(
        np.log10(visible), cmap="Blues", vmin=-3.5, vmax=0,
        extent=(first, last, last, first), interpolation="nearest",
      )  # fmt: skip
      axis.set_title(figures.shortened(figure, title, 3.3 / columns, figures.LABEL))
      axis.grid(False)
      for side in (axis.xaxis, axis.yaxis):
        side.get_major_locator().set_params(nbins=4, integer=True)
        side.get_major_formatter().set_useOffset(False)
    for axis in grid[:, 0]:
      axis.set_ylabel("query")
    for axis in grid[-1, : len(panels) - columns * (rows - 1)]:
      axis.set_xlabel("key")
    # the colours are logarithms of the weights, the labels the weights themselves
    options = figures.bar_below(figure) | {"ticks": [-3, -2, -1, 0]}
    bar = figure.colorbar(image, ax=grid, label="weight", **options)
    bar.ax.set_xticklabels(["0.001", "0.01", "0.1", "1"])
  return path


def memories(path: Path, ends: np.ndarray, memories: dict[Layer, Memory]) -> Path:
  """Draws norms, and effective ranks of matrices, over the text, a line a head."""
  ranked = any(m.rank is not None for m in memories.values())

  def lines(axis, values):
    axis.plot(ends, values, lw=1.1, color=figures.BLUE, alpha=0.75)
    axis.margins(x=0)

  size = {"rows": len(memories), "columns": 1 + ranked, "height": 1.1 * len(memories)}
  title = "norm and effective rank of the state" if ranked else "norm of the state"
  with figures.saving(path, title, size.pop("height") + 0.3, **size) as (figure, grid):
    for row, (layer, memory) in zip(grid, memories.items(), strict=True):
      lines(row[0], memory.norm)
      row[0].set_ylabel(figures.shortened(figure, str(layer), 0.8, figures.LABEL))
      row[0].set_ylim(bottom=0)
      if memory.rank is not None:
        lines(row[1], memory.rank)
        row[1].set_ylim(0, memory.most * 1.03)
        row[1].set_ylabel(f"of {memory.most}")
      elif ranked:
        row[1].set_axis_off()
        row[1].text(0.5, 0.5, "a vector", ha="center", va="center", color=figures.GREY)
    for column, name in enumerate(("norm", "effective rank")[: 1 + ranked]):
      grid[0, column].set_title(name, visible=True)
    for axis in grid[-1]:
      axis.set_xlabel("tokens read")
  return path
