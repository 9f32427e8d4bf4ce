"""The plots of a comparison: recall by state size, by length, by depth and length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.runtime import figures, point_names

_GUESS = "guess among what was seen"  # see `tasks.synthetic.accuracy.guess`


def draw(
  summary: list[dict[str, Any]],
  task: str,
  directory: Path,
  chance: Mapping[int, float] | None = None,
) -> list[Path]:
  """Writes `frontier.png`, `by_length.png` and `depth.png` of the runs that ended.

  Args:
    summary: see `compare.table.summary`; rows without `by_depth` have no `depth.png`.
    task: the task, for titles.
    directory: that the pictures are written to.
    chance: length of the examples -> accuracy of a guess; None draws no guess.
  """
  rows = [row for row in summary if row["seeds"]]
  if not rows:
    return []
  names = dict.fromkeys(row["memory"] for row in rows)
  # a memory has one style in all plots, in the order of the plan
  styles = {name: figures.series_style(i) for i, name in enumerate(names)}
  paths = [
    frontier(rows, styles, task, directory / "frontier.png", chance or {}),
    by_length(rows, styles, task, directory / "by_length.png", chance or {}),
  ]
  if all("by_depth" in row for row in rows):
    paths.append(depth(rows, task, directory / "depth.png"))
  return paths


def frontier(rows, styles, task: str, path: Path, chance: Mapping[int, float]) -> Path:
  """Plots accuracy at the trained length against the bytes of a layer's state."""
  lengths = sorted({row["length"] for row in rows})
  marks = dict(zip(lengths, figures.MARKERS * 9, strict=False))
  trained = f"trained at {lengths[0]}" if len(lengths) == 1 else "a mark a length"
  title = f"{task}: recall against memory, {trained}"
  points, names, colors, bars = [], [], [], []
  with figures.saving(path, title, 2.8) as (figure, grid):
    axes = grid[0, 0]
    for name, style in styles.items():
      of_memory = [row for row in rows if row["memory"] == name]
      for row in of_memory:
        accuracy = np.array(row["at"][row["length"]])
        x, y = float(max(row["state_bytes_per_layer"], 1)), float(accuracy.mean())
        low, high = float(accuracy.min()), float(accuracy.max())
        axes.errorbar(
          x, y, [[y - low], [high - y]], color=style["color"], ms=5,
          marker=marks[row["length"]], elinewidth=0.9, zorder=3,
        )  # fmt: skip
        points.append((x, y))
        bars.append((x, low, x, high))
        # the name is beside the longest of a memory's lengths, and the others unnamed
        names.append(name if row is of_memory[-1] else "")
        colors.append(style["color"])
      line = points[-len(of_memory) :]
      axes.plot(*zip(*line, strict=True), color=style["color"], lw=1, alpha=0.6)
    guesses = [chance[length] for length in lengths if length in chance]
    for guess in sorted(set(guesses)):  # the legend names equal labels once
      axes.axhline(guess, color=figures.GREY, ls=":", label=_GUESS)
    for length, mark in marks.items() if len(marks) > 1 else ():
      # of the legend alone: an empty plot shows no point among the memories
      style = {"marker": mark, "color": figures.GREY, "mfc": "none", "ls": "none"}
      axes.plot([], [], label=f"trained at {length}", **style)
    if any(high > low for _, low, _, high in bars):
      axes.errorbar([], [], [], color=figures.GREY, ls="none", label="range of seeds")
    axes.set(xscale="log", ylim=(-0.03, 1.08))
    axes.set(xlabel="state, bytes a layer", ylabel="answers right")
    _bytes_axis(axes, [x for x, _ in points])
    figures.legend(figure)
    lines = [(axes.get_xlim()[0], y, axes.get_xlim()[1], y) for y in guesses]
    point_names.write(axes, points, names, colors, bars + lines)
  return path


def _bytes_axis(axes, values: list[float]) -> None:
  """Writes sizes as 1k, 4k and so on, powers of 4 around the values."""
  from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

  least, greatest = min(values), max(values)
  # at least two powers of 4, so that one of them is inside
  margin = max((greatest / least) ** 0.12, (16 * least / greatest) ** 0.5)
  axes.set_xlim(least / margin, greatest * margin)
  base = 4 if greatest / least < 4**6 else 16
  axes.xaxis.set_major_locator(LogLocator(base))
  axes.xaxis.set_minor_locator(NullLocator())
  axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figures.short(value)))


def by_length(rows, styles, task: str, path: Path, chance: Mapping[int, float]) -> Path:
  """Plots accuracy by the length of the test examples, a panel a trained length."""
  trained = sorted({row["length"] for row in rows})
  columns = min(len(trained), 2)
  num_rows = -(-len(trained) // columns)
  title = f"{task}: accuracy by length"
  if len(trained) == 1:
    title += f", trained at {trained[0]}"
  height = 2.6 if columns == 1 else 2.0 * num_rows
  size = {"sharey": True, "height": height}
  with figures.saving(path, title, rows=num_rows, columns=columns, **size) as (
    figure,
    grid,
  ):
    for axes in grid.flat[len(trained) :]:  # the last row may not be full
      axes.axis("off")
    for axes, length in zip(grid.flat, trained, strict=False):
      _lengths(axes, [row for row in rows if row["length"] == length], styles, chance)
      axes.axvline(length, color=figures.GREY, lw=0.8, ls=":")
      axes.set(xlabel="length asked", ylim=(-0.03, 1.05))
      if len(trained) > 1:
        axes.set_title(f"trained at {length}")
    for axes in grid[:, 0]:
      axes.set_ylabel("answers right")
    figures.legend(figure)
  return path


def _lengths(axes, rows, styles, chance: Mapping[int, float]) -> None:
  """Draws a line a memory, the range of its seeds, and the guess."""
  from matplotlib.ticker import NullLocator

  lengths = sorted({n for row in rows for n in row["at"]})
  for row in rows:
    style, x = styles[row["memory"]], list(row["at"])
    values = [row["at"][n] for n in x]
    axes.plot(x, [np.mean(v) for v in values], label=row["memory"], **style)
    # the band is the range over the seeds, which are too few for a deviation
    low, high = [min(v) for v in values], [max(v) for v in values]
    axes.fill_between(x, low, high, color=style["color"], alpha=0.13, lw=0)
  guessed = [n for n in lengths if n in chance]
  if guessed:
    axes.plot(
      guessed, [chance[n] for n in guessed], color=figures.GREY, ls=":", label=_GUESS
    )
  axes.set_xscale("log", base=2)
  shown = lengths[:: -(-len(lengths) // 6)]
  axes.set_xticks(shown, [figures.short(n) for n in shown])
  axes.xaxis.set_minor_locator(NullLocator())


def depth(rows, task: str, path: Path) -> Path:
  """Plots accuracy by position of the answer and by length, a panel a model."""
  columns = min(len(rows), 2)
  num_rows = -(-len(rows) // columns)
  title = f"{task}: by position of the answer and length"
  size = {"height": 1.25 * num_rows, "rows": num_rows, "columns": columns}
  with figures.saving(path, title, **size) as (figure, grid):
    for axes in grid.flat[len(rows) :]:  # the last row of panels may not be full
      axes.axis("off")
    for axes, row in zip(grid.flat, rows, strict=False):
      table = np.array(list(row["by_depth"].values()), float).T  # [depth, length]
      image = figures.heat_map(axes, table, "", vmin=0, vmax=1)
      trained = f", trained at {row['length']}"
      room = 3.4 / columns - figures.text_width(figure, trained, figures.LABEL)
      name = figures.shortened(figure, row["memory"], room, figures.LABEL)
      axes.set_title(name + trained)
      lengths = [figures.short(n) for n in row["by_depth"]]
      step = -(-len(lengths) // 6)
      axes.set_xticks(range(0, len(lengths), step), lengths[::step])
      axes.set_yticks([0, len(table) - 1], ["first", "last"])
    for axes in grid[:, 0]:
      axes.set_ylabel("tenth")
    for axes in grid.flat[max(len(rows) - columns, 0) : len(rows)]:
      axes.set_xlabel("length asked")
    figures.grow(figure, 0.5)
    figure.colorbar(image, ax=grid, label="answers right", **figures.bar_below(figure))
  return path
