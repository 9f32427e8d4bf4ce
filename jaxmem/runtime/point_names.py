"""Names beside points: off each other, off the points, and inside the frame."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmem.runtime import figures

_GAP = 4.0  # points between a point and its name
# Where a name is tried first, from its point: right, left, above, below, corners.
_NEAR = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))

Box = tuple[float, float, float, float]  # left, bottom, right, top


def write(
  axes: Any,
  points: Sequence[tuple[float, float]],
  names: Sequence[str],
  colors: Sequence[str],
  obstacles: Sequence[Box] = (),
) -> None:
  """Writes a name beside each point; a thin line leads to a name that lies farther off.

  The same points give the same places. The legend and the limits of the axes must be
  there already.

  Args:
    axes: with the points.
    points: (x, y) of each point.
    names: of the points; a long one is shortened, and "" is a point without a name.
    colors: of the lines that lead to the names.
    obstacles: bars and lines that are kept free too, in the data's coordinates.
  """
  figure = axes.figure
  figure.draw_without_rendering()  # the layout decides where the axes are
  frame = tuple(axes.get_window_extent().extents)
  scale = figure.dpi / 72  # pixels of a point
  at = axes.transData.transform(points)  # [N, 2]
  half = 3.5 * scale  # of a marker
  taken = [(x - half, y - half, x + half, y + half) for x, y in at]
  for left, bottom, right, top in obstacles:
    (a, b), (c, d) = axes.transData.transform([(left, bottom), (right, top)])
    taken.append((a - scale, b - scale, c + scale, d + scale))
  room = (frame[2] - frame[0]) / figure.dpi / 2
  for i in sorted(range(len(points)), key=lambda i: (-at[i][1], at[i][0], names[i])):
    if not names[i]:
      continue
    name = figures.shortened(figure, names[i], room)
    size = (figures.text_width(figure, name) * figure.dpi, figures.SMALL * 1.25 * scale)
    box = _best(at[i], size, frame, taken, scale)
    apart = 2.5 * scale  # or two names in a line read as one
    taken.append((box[0] - apart, box[1], box[2] + apart, box[3]))
    _annotate(axes, points[i], at[i], name, colors[i], box, scale)


def _annotate(axes, point, at, name: str, color: str, box: Box, scale: float) -> None:
  center = (np.array([box[0] + box[2], box[1] + box[3]]) / 2 - at) / scale
  far = _distance(box, at) > 2.5 * _GAP * scale
  # the line begins where the name is nearest to the point
  nearest = np.clip((at - box[:2]) / np.subtract(box[2:], box[:2]), 0, 1)
  line = {
    "arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 0, "shrinkB": 2,
    "relpos": tuple(nearest),
  }  # fmt: skip
  text = axes.annotate(
    name, point, center, textcoords="offset points", ha="center", va="center",
    fontsize=figures.SMALL, arrowprops=line if far else None,
  )  # fmt: skip
  text.set_in_layout(False)  # the layout stays the one that the place was chosen for


def _best(at, size, frame: Box, taken: Sequence[Box], scale: float) -> Box:
  """Returns the first free place, or the one with the least of it covered."""
  places = np.array(_places(at, size, frame, scale))[:, None]  # [P, 1, 4]
  others = np.array(taken)  # [K, 4]
  shared = np.minimum(places, others)[..., 2:] - np.maximum(places, others)[..., :2]
  covered = np.maximum(shared, 0).prod(-1).sum(-1)  # [P]
  return tuple(places[covered.argmin(), 0].tolist())


def _places(at, size, frame: Box, scale: float) -> list[Box]:
  """Returns places inside the frame: around the point, then the nearest of a grid."""
  (width, height), gap = size, _GAP * scale
  left, bottom, right, top = frame
  near = []
  for across, up in _NEAR:
    x = at[0] - width / 2 + across * (width / 2 + gap)
    y = at[1] - height / 2 + up * (height / 2 + gap * (0.3 if across else 1))
    if left <= x <= right - width and bottom <= y <= top - height:
      near.append((x, y, x + width, y + height))
  columns = np.arange(left, right - width, 6 * scale)
  rows = np.arange(bottom, top - height, height / 2)
  grid = [(x, y, x + width, y + height) for x in columns for y in rows]
  x, y = np.array(grid).T[:2]
  across = np.maximum(np.maximum(x - at[0], at[0] - x - width), 0)
  over = np.maximum(np.maximum(y - at[1], at[1] - y - height), 0)
  order = np.argsort(np.hypot(across, over), kind="stable")
  return near + [grid[i] for i in order]


def _distance(box: Box, at) -> float:
  """Returns the distance of a box and a point, which is 0 inside."""
  across = max(box[0] - at[0], 0, at[0] - box[2])
  up = max(box[1] - at[1], 0, at[1] - box[3])
  return float(np.hypot(across, up))
