"""The plots of a comparison: recall against state, by length, depth x length."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core import files


def draw(summary: list[dict[str, Any]], task: str, directory: Path) -> list[Path]:
  """Writes `frontier.png`, `by_length.png` and `depth.png`, of what has ended."""
  done = [row for row in summary if row["seeds"]]
  if not done:
    return []
  import matplotlib

  matplotlib.use("Agg")
  names = list(dict.fromkeys(row["memory"] for row in done))
  palette = matplotlib.colormaps["tab20"].colors
  colours = {name: palette[i % len(palette)] for i, name in enumerate(names)}
  return [
    frontier(done, colours, task, directory / "frontier.png"),
    by_length(done, colours, task, directory / "by_length.png"),
    depth(done, task, directory / "depth.png"),
  ]


def frontier(done, colours, task: str, path: Path) -> Path:
  """Accuracy at the trained length against the bytes that a layer keeps."""
  import matplotlib.pyplot as plt

  figure, axes = plt.subplots(figsize=(6.4, 4), dpi=120, layout="constrained")
  marks = dict(zip(sorted({r["length"] for r in done}), "osD^vP*X" * 9, strict=False))
  for name, colour in colours.items():
    mine = [row for row in done if row["memory"] == name]
    x = [row["state_bytes_per_layer"] for row in mine]
    y = [np.mean(row["at"][row["length"]]) for row in mine]
    axes.plot(x, y, color=colour, lw=1, alpha=0.6)
    for row, a, b in zip(mine, x, y, strict=True):
      axes.scatter(a, b, color=colour, marker=marks[row["length"]], s=34, zorder=3)
    axes.annotate(
      name, (x[-1], y[-1]), fontsize=7, xytext=(4, 4), textcoords="offset points"
    )
  for length, mark in marks.items():
    axes.scatter([], [], color="#555555", marker=mark, label=f"length {length}")
  axes.set(
    xscale="log", ylim=(-0.03, 1.05), title=f"{task}: recall against memory",
    xlabel="state bytes a layer", ylabel="answers right",
  )  # fmt: skip
  axes.grid(alpha=0.25)
  axes.legend(frameon=False, fontsize=7, loc="lower right")
  return _save(figure, path)


def by_length(done, colours, task: str, path: Path) -> Path:
  """Accuracy by the length that is asked, a panel a trained length."""
  import matplotlib.pyplot as plt

  trained = sorted({row["length"] for row in done})
  figure, panels = plt.subplots(
    1, len(trained), figsize=(3.6 * len(trained) + 1, 3.6), dpi=120, sharey=True,
    squeeze=False, layout="constrained",
  )  # fmt: skip
  for axes, length in zip(panels[0], trained, strict=True):
    for row in [r for r in done if r["length"] == length]:
      x = list(row["at"])
      values = [row["at"][n] for n in x]
      colour = colours[row["memory"]]
      axes.plot(
        x, [np.mean(v) for v in values], "o-", ms=3, color=colour, label=row["memory"]
      )
      low, high = [min(v) for v in values], [max(v) for v in values]
      axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axes.axvline(length, color="#999999", lw=0.8, ls=":")
    axes.set_xscale("log", base=2)
    axes.set(title=f"trained at {length}", xlabel="length asked", ylim=(-0.03, 1.05))
    axes.grid(alpha=0.25)
  panels[0, 0].set_ylabel("answers right")
  handles = {}
  for axes in panels[0]:
    lines, labels = axes.get_legend_handles_labels()
    handles |= dict(zip(labels, lines, strict=True))
  figure.legend(
    handles.values(), handles.keys(), frameon=False, fontsize=7, loc="outside right"
  )
  figure.suptitle(f"{task}: accuracy by length", fontsize=10)
  return _save(figure, path)


def depth(done, task: str, path: Path) -> Path:
  """Where in the example an answer was asked, by length, a panel a model."""
  import matplotlib.pyplot as plt

  columns = min(len(done), 4)
  lines = -(-len(done) // columns)
  figure, panels = plt.subplots(
    lines, columns, figsize=(2.6 * columns + 0.8, 2.2 * lines + 0.5), dpi=120,
    squeeze=False, layout="constrained",
  )  # fmt: skip
  for axes in panels.flat[len(done) :]:
    axes.axis("off")
  for axes, row in zip(panels.flat, done, strict=False):
    table = np.array(list(row["by_depth"].values()), float).T
    image = axes.imshow(table, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    axes.set_title(f"{row['memory']}, trained at {row['length']}", fontsize=7)
    lengths = list(row["by_depth"])
    axes.set_xticks(range(len(lengths)), lengths, fontsize=6)
    axes.set_yticks([0, len(table) - 1], ["first", "last"], fontsize=6)
  panels[0, 0].set_ylabel("tenth of the example", fontsize=7)
  figure.colorbar(image, ax=panels, shrink=0.7, label="answers right")
  figure.suptitle(f"{task}: by place of the answer and length", fontsize=10)
  return _save(figure, path)


def _save(figure, path: Path) -> Path:
  import matplotlib.pyplot as plt

  with files.replacing(path) as temporary:
    figure.savefig(temporary)
  plt.close(figure)
  return path
