"""The plots of a comparison: recall by state size, by length, by depth and length."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import files


def draw(summary: list[dict[str, Any]], task: str, directory: Path) -> list[Path]:
  """Writes `frontier.png`, `by_length.png` and `depth.png` of the runs that ended."""
  rows = [row for row in summary if row["seeds"]]
  if not rows:
    return []
  import matplotlib

  matplotlib.use("Agg")  # a run has no display
  names = list(dict.fromkeys(row["memory"] for row in rows))
  # a memory has one colour in all plots, in the order of the plan
  palette = matplotlib.colormaps["tab20"].colors
  colours = {name: palette[i % len(palette)] for i, name in enumerate(names)}
  return [
    frontier(rows, colours, task, directory / "frontier.png"),
    by_length(rows, colours, task, directory / "by_length.png"),
    depth(rows, task, directory / "depth.png"),
  ]


def frontier(rows, colours, task: str, path: Path) -> Path:
  """Plots accuracy at the trained length against the bytes of a layer's state."""
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(6.4, 4), dpi=120, layout="constrained")
  marks = dict(zip(sorted({r["length"] for r in rows}), "osD^vP*X" * 9, strict=False))
  for name, colour in colours.items():
    points = [row for row in rows if row["memory"] == name]
    x = [row["state_bytes_per_layer"] for row in points]
    y = [np.mean(row["at"][row["length"]]) for row in points]
    axes.plot(x, y, color=colour, lw=1, alpha=0.6)
    for row, a, b in zip(points, x, y, strict=True):
      axes.scatter(a, b, color=colour, marker=marks[row["length"]], s=34, zorder=3)
    axes.annotate(
      name, (x[-1], y[-1]), fontsize=7, xytext=(4, 4), textcoords="offset points"
    )
  for length, mark in marks.items():  # empty plots, for the legend alone
    axes.scatter([], [], color="#555555", marker=mark, label=f"length {length}")
  axes.set(
    xscale="log", ylim=(-0.03, 1.05), title=f"{task}: recall against memory",
    xlabel="state bytes a layer", ylabel="answers right",
  )  # fmt: skip
  axes.grid(alpha=0.25)
  axes.legend(frameon=False, fontsize=7, loc="lower right")
  return _save(figure, path)


def by_length(rows, colours, task: str, path: Path) -> Path:
  """Plots accuracy by the length of the test examples, a panel a trained length."""
  import matplotlib.pyplot as plt

  trained = sorted({row["length"] for row in rows})
  figure, panels = plt.subplots(
    1, len(trained), figsize=(3.6 * len(trained) + 1, 3.6), dpi=120, sharey=True,
    squeeze=False, layout="constrained",
  )  # fmt: skip
  for axes, length in zip(panels[0], trained, strict=True):
    for row in [r for r in rows if r["length"] == length]:
      x = list(row["at"])
      values = [row["at"][n] for n in x]
      colour = colours[row["memory"]]
      axes.plot(
        x, [np.mean(v) for v in values], "o-", ms=3, color=colour, label=row["memory"]
      )
      # the band is the range over the seeds, which are too few for a deviation
      low, high = [min(v) for v in values], [max(v) for v in values]
      axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axes.axvline(length, color="#999999", lw=0.8, ls=":")
    axes.set_xscale("log", base=2)
    axes.set(title=f"trained at {length}", xlabel="length asked", ylim=(-0.03, 1.05))
    axes.grid(alpha=0.25)
  panels[0, 0].set_ylabel("answers right")
  handles = {}  # by label: panels share their memories, and the legend names each once
  for axes in panels[0]:
    lines, labels = axes.get_legend_handles_labels()
    handles |= dict(zip(labels, lines, strict=True))
  figure.legend(
    handles.values(), handles.keys(), frameon=False, fontsize=7, loc="outside right"
  )
  figure.suptitle(f"{task}: accuracy by length", fontsize=10)
  return _save(figure, path)


def depth(rows, task: str, path: Path) -> Path:
  """Plots accuracy by position of the answer and by length, a panel a model."""
  import matplotlib.pyplot as plt

  columns = min(len(rows), 4)
  num_rows = -(-len(rows) // columns)
  figure, panels = plt.subplots(
    num_rows, columns, figsize=(2.6 * columns + 0.8, 2.2 * num_rows + 0.5), dpi=120,
    squeeze=False, layout="constrained",
  )  # fmt: skip
  for axes in panels.flat[len(rows) :]:  # the last row of panels may not be full
    axes.axis("off")
  for axes, row in zip(panels.flat, rows, strict=False):
    table = np.array(list(row["by_depth"].values()), float).T  # [depth, length]
    image = axes.imshow(table, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    axes.set_title(f"{row['memory']}, trained at {row['length']}", fontsize=7)
    lengths = list(row["by_depth"])
    axes.set_xticks(range(len(lengths)), lengths, fontsize=6)
    axes.set_yticks([0, len(table) - 1], ["first", "last"], fontsize=6)
  panels[0, 0].set_ylabel("tenth of the example", fontsize=7)
  figure.colorbar(image, ax=panels, shrink=0.7, label="answers right")
  figure.suptitle(f"{task}: by position of the answer and length", fontsize=10)
  return _save(figure, path)


def _save(figure, path: Path) -> Path:
  import matplotlib.pyplot as plt

  with files.replacing(path) as temporary:  # a reader never sees half a picture
    figure.savefig(temporary)
  plt.close(figure)
  return path
