"""Draws tables as colours: who sees whom, what was found where, what was confused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxmem.runtime import figures


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
  is_seen = {"cmap": "Blues", "vmin": 0, "vmax": 1.3}  # True is dark, though not black
  panels = [("one layer", _shade(pairs), is_seen)]
  if pairs.dtype != bool:
    panels = [("one layer", _shade(pairs), {"cmap": "Blues"})]
  if blocks is not None:
    name = f"blocks: {blocks.sum()} of {blocks.size}"
    panels.append((name, blocks.astype(float), is_seen | {"cmap": "Greys"}))
  # bright for one layer to dark for many, which grey shows too
  layers = "1 layer" if reach.max() == 1 else f"{reach.max()} layers"
  panels.append((f"through {layers}", _layers(reach), {"cmap": "viridis_r"}))
  extent = (0, len(pairs), len(pairs), 0)  # all pictures in tokens, blocks too
  with figures.saving(path, title, 1.75, 1, len(panels)) as (figure, grid):
    for axes, (name, picture, colours) in zip(grid[0], panels, strict=True):
      image = axes.imshow(picture, extent=extent, interpolation="nearest", **colours)
      axes.set_title(name)
      axes.set_xlabel("key")
      axes.grid(False)
      for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(nbins=3, integer=True)
      axes.tick_params(labelleft=axes is grid[0, 0])
    grid[0, 0].set_ylabel("query")
    ticks = np.unique(np.linspace(1, reach.max(), 4).round())
    figure.colorbar(image, ax=grid[0, -1], shrink=0.75, ticks=ticks, aspect=12)
  return path


def _shade(pairs: np.ndarray) -> np.ndarray:
  """Returns booleans as 0 and 1, influence as its logarithm, NaN (white) for none."""
  if pairs.dtype == bool:
    return pairs.astype(float)
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
  # a number in a cell needs so much, and so many cells fit into a picture's width
  width = max(figures.WIDTH, 1.4 + 0.34 * len(lengths))
  height = max(2.2, 0.7 + 0.18 * len(depths))
  title = "Needles found, by length and depth"
  with figures.saving(path, title, height, width=width) as (figure, axes):
    axis = axes[0, 0]
    image = figures.heat_map(axis, grid, vmin=0, vmax=100)
    axis.set(xlabel="tokens", ylabel="depth, %")
    axis.set_xticks(range(len(lengths)), [figures.short(n) for n in lengths])
    axis.set_yticks(range(len(depths)), [f"{100 * d:.0f}" for d in depths])
    figure.colorbar(image, ax=axis, label="found, %")
  return path


def confusion(path: Path, counts: np.ndarray, names: Sequence[str], title: str) -> Path:
  """Draws a confusion matrix, a row for each class, coloured by its shares.

  Args:
    path: path of the PNG.
    counts: [C, C], how many texts of a class (row) were given a class (column).
    names: of the classes.
    title: title of the picture.
  """
  # a class of the training texts may have none here: its row is 0, not NaN
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  side = max(2.4, 0.3 * len(names))
  width = max(figures.WIDTH, side + 1.5)
  with figures.saving(path, title, side + 0.9, width=width) as (figure, grid):
    axes = grid[0, 0]
    figures.heat_map(axes, shares, "", vmin=0, vmax=1, aspect="equal")
    for (i, j), count in np.ndenumerate(counts):
      # the upper half of the colours is bright
      color = "black" if shares[i, j] > 0.55 else "white"
      text = figures.short(int(count)) if count >= 1000 else str(count)
      axes.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    labels = [figures.shortened(figure, name, 1.1) for name in names]
    axes.set(xlabel="predicted class", ylabel="class")
    axes.set_yticks(range(len(names)), labels)
    axes.set_xticks(range(len(names)), labels, rotation=90)
  return path
