"""The pictures of the page of `jaxmem inspect`, as PNG files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import files
from jaxmem.evaluation.inspection import inside
from jaxmem.evaluation.inspection.inside import Layer, Memory
from jaxmem.evaluation.inspection.span import Span

_WIDTH = 8.0
_MODEL = "the whole model"


def _grid(path: Path, rows: int, columns: int, height: float, draw: Callable) -> Path:
  """Draws and saves a figure of axes [rows, columns], each row of `height` inches."""
  import matplotlib

  matplotlib.use("Agg")  # a server has no display
  import matplotlib.pyplot as plt

  style = {"font.size": 8, "axes.titlesize": 9, "axes.labelsize": 8}
  with plt.rc_context(style):
    size = (_WIDTH, height * rows + 0.2)
    figure, axes = plt.subplots(
      rows, columns, figsize=size, dpi=120, layout="constrained", squeeze=False
    )
    draw(figure, axes)
    with files.replacing(path) as temporary:
      figure.savefig(temporary)
    plt.close(figure)
  return path


def _names(axis: Any, layers: Sequence[Layer]) -> None:
  axis.set_yticks(range(len(layers)), [str(layer) for layer in layers])


def _heat(axis: Any, rows: np.ndarray, **options: Any) -> Any:
  """Draws layers x tokens: a band a layer, tokens at their positions in the text."""
  extent = (0, rows.shape[1], len(rows) - 0.5, -0.5)  # the first layer on top
  image = axis.imshow(
    rows, aspect="auto", interpolation="nearest", extent=extent, **options
  )
  axis.set_xlabel("token")
  return image


def gates(path: Path, name: str, values: dict[Layer, np.ndarray]) -> Path:
  """Draws a gate's mean over channels and heads, layers x tokens."""
  rows = np.stack([inside.by_token(value) for value in values.values()])  # [L, T]

  def draw(figure, axes):
    axis = axes[0, 0]
    image = _heat(axis, rows, cmap="viridis")
    axis.set_title(f"{name.replace('_', ' ')}, mean over channels and heads")
    _names(axis, list(values))
    figure.colorbar(image, ax=axis, pad=0.01)

  return _grid(path, 1, 1, 0.9 + 0.28 * len(rows), draw)


def decays(path: Path, log_decay: dict[Layer, np.ndarray]) -> Path:
  """Draws half-lives over the tokens, and their distribution over channels too."""
  from matplotlib.colors import LogNorm

  lives = {layer: inside.half_lives(g) for layer, g in log_decay.items()}
  # the geometric mean, since half-lives differ by orders of magnitude
  rows = np.exp(np.stack([inside.by_token(np.log(h)) for h in lives.values()]))
  # a little above the maximum, since equal bounds make the scale singular
  norm = LogNorm(max(rows.min(), inside.SHORTEST), rows.max() * 1.0001)

  def draw(figure, axes):
    top, below = axes[:, 0]
    image = _heat(top, rows, cmap="viridis", norm=norm)
    top.set_title("half-life of what is held, geometric mean over channels and heads")
    figure.colorbar(image, ax=top, pad=0.01, label="tokens")
    for band, h in enumerate(lives.values()):
      low, first, middle, third, high = np.quantile(h, [0.05, 0.25, 0.5, 0.75, 0.95])
      below.plot([low, high], [band, band], color="#9db7d5", lw=2)
      below.plot([first, third], [band, band], color="#1f5fa8", lw=6)
      below.plot(middle, band, "o", color="white", mec="#1f5fa8", ms=5)
    below.set(xscale="log", xlabel="half-life in tokens", ylim=(len(lives) - 0.5, -0.5))
    below.set_title(
      "half-lives of all channels at all tokens: median, half, nine tenths"
    )
    below.grid(axis="x", alpha=0.25)
    for axis in (top, below):
      _names(axis, list(lives))

  return _grid(path, 2, 1, 0.9 + 0.28 * len(rows), draw)


def spans(path: Path, model: Span, layers: dict[Layer, Span]) -> Path:
  """Draws influence by distance on logarithmic axes, and its cumulative share."""
  import matplotlib

  colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, max(len(layers), 1)))
  lines = [(str(k), s, c) for (k, s), c in zip(layers.items(), colours, strict=False)]
  lines.append((_MODEL, model, "#c8741a"))

  def draw(_, axes):
    by_distance, cumulative = axes[0]
    for name, span, colour in lines:
      style = dict(color=colour, lw=2.2 if name == _MODEL else 1.2, label=name)
      distance = 1 + np.arange(len(span.profile))
      share = span.profile / span.profile.sum()
      # a logarithmic axis has no 0, so distances without influence are gaps
      by_distance.plot(distance, np.where(share > 1e-12, share, np.nan), **style)
      cumulative.plot(distance, 100 * np.cumsum(share), **style)
    by_distance.set(xscale="log", yscale="log", title="influence by distance")
    by_distance.set(
      xlabel="tokens back, the newest is 1", ylabel="share of the influence"
    )
    cumulative.set(xscale="log", ylim=(0, 102), title="influence so far")
    cumulative.set(xlabel="tokens back, the newest is 1", ylabel="% of the influence")
    cumulative.legend(frameon=False, fontsize=7, loc="lower right")
    for axis in (by_distance, cumulative):
      axis.grid(alpha=0.25)

  return _grid(path, 1, 2, 3.3, draw)


def maps(path: Path, panels: dict[str, np.ndarray], first: int) -> Path:
  """Draws maps of attention: queries downwards, keys to the right, dark for large.

  Args:
    path: the PNG that is written.
    panels: title -> [R, R].
    first: the position in the text of the first token of the map.
  """
  columns = min(len(panels), 3 if len(panels) < 7 else 4)
  rows = -(-len(panels) // columns)

  def draw(figure, axes):
    for axis in axes.flat[len(panels) :]:
      axis.set_axis_off()
    for axis, (title, weights) in zip(axes.flat, panels.items(), strict=False):
      # invisible keys stay white; weights too small to see have the lightest colour
      visible = np.where(weights > 0, np.maximum(weights, 1e-4), np.nan)
      last = first + len(weights)
      image = axis.imshow(
        np.log10(visible),
        cmap="Blues",
        vmin=-3.5,
        vmax=0,
        extent=(first, last, last, first),
        interpolation="nearest",
      )
      axis.set_title(title)
    for axis in axes[:, 0]:
      axis.set_ylabel("query")
    for axis in axes[-1, : len(panels) - columns * (rows - 1)]:
      axis.set_xlabel("key")
    ticks = [-3, -2, -1, 0]
    # the colours are logarithms of the weights, the labels the weights themselves
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=ticks, label="weight")
    bar.ax.set_yticklabels(["0.001", "0.01", "0.1", "1"])

  return _grid(path, rows, columns, 0.4 + 6.6 / columns, draw)


def memories(path: Path, ends: np.ndarray, memories: dict[Layer, Memory]) -> Path:
  """Draws norms, and effective ranks of matrices, over the text, a line a head."""
  ranked = any(m.rank is not None for m in memories.values())

  def lines(axis, values):
    axis.plot(ends, values, lw=1.1, color="#1f5fa8", alpha=0.75)
    axis.margins(x=0)
    axis.grid(alpha=0.25)

  def draw(_, axes):
    for row, (layer, memory) in zip(axes, memories.items(), strict=True):
      lines(row[0], memory.norm)
      row[0].set_ylabel(str(layer))
      row[0].set_ylim(bottom=0)
      if memory.rank is not None:
        lines(row[1], memory.rank)
        row[1].set_ylim(0, memory.most * 1.03)
        row[1].set_ylabel(f"of {memory.most}")
      elif ranked:
        row[1].set_axis_off()
        row[1].text(0.5, 0.5, "a vector", ha="center", va="center", color="#777777")
    for column, title in enumerate(("norm", "effective rank")[: 1 + ranked]):
      axes[0, column].set_title(title, visible=True)
    for axis in axes[-1]:
      axis.set_xlabel("tokens read")

  return _grid(path, len(memories), 1 + ranked, 1.25, draw)
