"""The style of all pictures: size, fonts, colours that the colour-blind tell apart.

    with figures.saving(path, title="Loss") as (figure, axes):
      axes[0, 0].plot(steps, losses, color=figures.BLUE, label="training")
      figures.legend(figure)

A picture is `WIDTH` inches wide, so that its smallest text can be read where it is
shown 400 pixels wide. The settings hold inside the `with` alone, whatever the user's
own are.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxmem.core import files

WIDTH = 4.2  # inches
# The colours of Okabe and Ito, without the yellow that is faint on white.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#777777"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)
MARKERS = "osD^vP*X"
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
# A way of reading has one colour in all pictures.
WAYS = {"carried": BLACK, "re-read": BLUE, "reset": VERMILION}
# Sequential colours, dark to bright in grey and for the colour-blind too.
SEQUENTIAL = "cividis"
SMALL, LABEL = 7.5, 8.0  # points: of ticks, legends and names; of axes and panels
_TITLE = 9.0
_STYLE = {
  "figure.dpi": 200,
  "savefig.dpi": "figure",
  "font.size": LABEL,
  "axes.titlesize": LABEL,
  "axes.labelsize": LABEL,
  "xtick.labelsize": SMALL,
  "ytick.labelsize": SMALL,
  "legend.fontsize": SMALL,
  "legend.frameon": False,
  "figure.titlesize": _TITLE,
  "axes.grid": True,
  "grid.alpha": 0.25,
  "grid.linewidth": 0.6,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "lines.linewidth": 1.4,
  "lines.markersize": 3.5,
  "errorbar.capsize": 2,
  "svg.hashsalt": "jaxmem",  # the same bytes for the same picture
}
# Fonts with Chinese, Japanese and Korean, of Linux, Windows and macOS.
_CJK = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")


def series_style(index: int) -> dict[str, Any]:
  """Returns color, linestyle and marker of one series of many; 28 differ.

  Args:
    index: number of the series.
  """
  color, dash = PALETTE[index % 7], _DASHES[index // 7 % 4]
  return {"color": color, "linestyle": dash, "marker": MARKERS[index % 8]}


@contextlib.contextmanager
def styled() -> Iterator[None]:
  """The settings of the style; those of before return at the end."""
  import matplotlib  # here, because it is slow to import
  from matplotlib import font_manager

  there = {font.name for font in font_manager.fontManager.ttflist}
  fonts = ["DejaVu Sans", *(name for name in _CJK if name in there)]
  cycle = matplotlib.cycler(color=PALETTE)
  with matplotlib.rc_context():
    matplotlib.rcdefaults()  # a user's own matplotlibrc decides nothing
    matplotlib.rcParams.update(
      _STYLE | {"font.sans-serif": fonts, "axes.prop_cycle": cycle}
    )
    yield


@contextlib.contextmanager
def saving(
  path: str | Path,
  title: str = "",
  height: float = 2.6,
  rows: int = 1,
  columns: int = 1,
  width: float = WIDTH,
  **subplots: Any,
) -> Iterator[tuple[Any, Any]]:
  """A figure in this style, which is written to `path` at the end.

  Args:
    path: of the picture; its suffix is the format.
    title: of the whole picture, wrapped where it is too long.
    height: inches of all rows together; title and legend are added to it.
    rows: of axes.
    columns: of axes.
    width: inches.
    **subplots: of `Figure.subplots`.

  Yields:
    The figure, and its axes, [rows, columns].
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  with styled():
    # no pyplot: it keeps figures, and looks for a display
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
      text = wrapped(figure, title, width - 0.2, _TITLE)
      grow(figure, 0.17 * (1 + text.count("\n")))
      figure.suptitle(text)
    yield figure, figure.subplots(rows, columns, squeeze=False, **subplots)
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}}
    with files.replacing(path) as temporary:  # a reader never sees half a picture
      figure.savefig(temporary, metadata=metadata.get(Path(path).suffix.lower()))


def grow(figure: Any, inches: float) -> None:
  """Makes a figure higher."""
  figure.set_figheight(figure.get_figheight() + inches)


def text_width(figure: Any, text: str, size: float = SMALL) -> float:
  """Returns the width of a line of text in inches.

  Args:
    figure: of the picture.
    text: without line ends.
    size: of the font, in points.
  """
  from matplotlib.font_manager import FontProperties

  font = FontProperties(size=size)
  renderer = figure.canvas.get_renderer()
  return renderer.get_text_width_height_descent(text, font, False)[0] / figure.dpi


def shortened(figure: Any, text: str, inches: float, size: float = SMALL) -> str:
  """Returns a text that fits a width; where it is cut, its beginning and end remain.

  Args:
    figure: of the picture.
    text: such as the name of a memory with its options.
    inches: the width.
    size: of the font, in points.
  """
  text = " ".join(text.split())
  if text_width(figure, text, size) > inches:
    count = len(text) - 1
    while count > 2 and text_width(figure, _middle_cut(text, count), size) > inches:
      count -= 1
    text = _middle_cut(text, count)
  return text.replace("$", r"\$")  # two of them would begin and end a formula


def _middle_cut(text: str, count: int) -> str:
  """Returns the first and the last of `count` characters around an ellipsis."""
  tail = count // 2
  return f"{text[: count - tail]}…{text[len(text) - tail :]}"


def wrapped(
  figure: Any, text: str, inches: float, size: float = SMALL, most: int = 2
) -> str:
  """Returns a text in lines that fit a width; the last of `most` lines is shortened.

  Args:
    figure: of the picture.
    text: the words.
    inches: the width.
    size: of the font, in points.
    most: lines.
  """
  words, lines = text.split(), []
  while words and len(lines) < most - 1:
    count = len(words)
    while count > 1 and text_width(figure, " ".join(words[:count]), size) > inches:
      count -= 1
    lines.append(shortened(figure, " ".join(words[:count]), inches, size))
    words = words[count:]
  if words:
    lines.append(shortened(figure, " ".join(words), inches, size))
  return "\n".join(lines)


def legend(figure: Any) -> None:
  """Writes the legend of all axes below them, each label once, in columns that fit."""
  handles: dict[str, Any] = {}
  for axes in figure.axes:
    lines, labels = axes.get_legend_handles_labels()
    handles |= {label: h for h, label in zip(lines, labels, strict=True)}
  if not handles:
    return
  room, beside = figure.get_figwidth() - 0.2, 0.45  # inches; a line and its gaps
  # of many names two are side by side, however long they are
  most = (room / 2 if len(handles) > 4 else room) - beside
  names = [shortened(figure, label, most) for label in handles]
  widths = [text_width(figure, name) + beside for name in names]
  columns, rows = next(
    (columns, rows)
    for columns in range(len(names), 0, -1)
    for rows in [-(-len(names) // columns)]
    if columns == 1 or _columns_width(widths, columns) <= room
  )
  grow(figure, 0.08 + 0.155 * rows)
  figure.legend(
    list(handles.values()), names, loc="outside lower center", ncols=columns,
    borderpad=0.1, borderaxespad=0.2, columnspacing=1.0, handletextpad=0.5,
    labelspacing=0.3, handlelength=2.2,
  )  # fmt: skip


def _columns_width(widths: Sequence[float], columns: int) -> float:
  """Returns the width of a legend, whose columns are filled one after the other."""
  longer = len(widths) % columns  # so many columns have one entry more
  total, begin = 0.0, 0
  for column in range(columns):
    end = begin + len(widths) // columns + (column < longer)
    total, begin = total + max(widths[begin:end]), end
  return total


def heat_map(axes: Any, values: Any, fmt: str = "{:.0f}", size: float = SMALL, **image):
  """Draws a table as colours with its numbers on them, dark on bright and the reverse.

  Args:
    axes: to draw on.
    values: [rows, columns]; NaN stays white and has no number.
    fmt: the format of a number; "" writes none.
    size: of the numbers, in points.
    **image: of `imshow`.

  Returns:
    The image, for a colour bar.
  """
  import numpy as np

  picture = axes.imshow(values, **{"cmap": SEQUENTIAL, "aspect": "auto"} | image)
  axes.grid(False)
  for (i, j), value in np.ndenumerate(values):
    if fmt and not np.isnan(value):
      red, green, blue, _ = picture.cmap(picture.norm(value))
      bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
      color = "black" if bright else "white"
      axes.text(
        j, i, fmt.format(value), ha="center", va="center", fontsize=size, color=color
      )
  return picture


def bar_below(figure: Any) -> dict[str, Any]:
  """Returns the options of a colour bar below all axes, however high the figure is."""
  height = figure.get_figheight()
  return {
    "location": "bottom", "aspect": 40, "shrink": 0.8, "fraction": 0.2 / height,
    "pad": 0.1 / height,
  }  # fmt: skip


def edge_ticks(axes: Any, edges: Sequence[int]) -> None:
  """Marks the borders of buckets that are equally wide on the horizontal axis.

  Args:
    axes: on which bucket i is at i.
    edges: one more than buckets; of many only some are written.
  """
  step = -(-len(edges) // 10)
  shown = range(0, len(edges), step)
  axes.set_xticks([i - 0.5 for i in shown], [short(edges[i]) for i in shown])
  axes.set_xlim(-0.6, len(edges) - 1.4)


def short(count: float | int) -> str:
  """Abbreviates a count: 96, 16k, 1.2M; k is 1,024 for its multiples, else 1,000.

  Args:
    count: at least 0.
  """
  for power, letter in ((3, "G"), (2, "M"), (1, "k")):
    if count >= 1024**power and count % 1024**power == 0 and count % 1000:
      return f"{count // 1024**power:.0f}{letter}"
  for power, letter in ((3, "G"), (2, "M"), (1, "k")):
    if count >= 1000**power:
      value = count / 1000**power
      return f"{value:.{1 if value < 9.95 else 0}f}".removesuffix(".0") + letter
  return f"{count:.0f}" if count == int(count) else f"{count:g}"
