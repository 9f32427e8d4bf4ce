"""Names beside points: off each other, off the points, and inside the frame."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxmem.runtime import figures

_GAP = 4.0  # points between a point and its name
# Where a name is tried first, from its point: right, left, above, below, corners.
_NEAR = ((1, 0.5), (-1, 0.5), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))

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
  line = {"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkA": 0, "shrinkB": 2}
  text = axes.annotate(
    name, point, center, textcoords="offset points", ha="center", va="center",
    fontsize=figures.SMALL, arrowprops=line if far else None,
  )  # fmt: skip
  text.set_in_layout(False)  # the layout stays the one that the place was chosen for


def _best(at, size, frame: Box, taken: Sequence[Box], scale: float) -> Box:
  """Returns the first free place, or the one with the least of it covered."""
  best, least = None, np.inf
  for box in _places(at, size, frame, scale):
    cost = sum(_covered(box, other) for other in taken)
    if cost < least:
      best, least = box, cost
    if cost == 0:
      break
  assert best is not None  # a name is shortened to half of the frame
  return best


def _places(at, size, frame: Box, scale: float) -> Iterator[Box]:
  """Places inside the frame: those around the point, then a grid, the nearest first."""
  (width, height), gap = size, _GAP * scale
  left, bottom, right, top = frame
  for across, up in _NEAR:
    x = at[0] - width / 2 + across * (width / 2 + gap)
    if up == 0.5:  # level with the point
      y = at[1] - height / 2
    else:
      y = at[1] - height / 2 + up * (height / 2 + gap * (0.3 if across else 1))
    if left <= x <= right - width and bottom <= y <= top - height:
      yield x, y, x + width, y + height
  columns = np.arange(left, right - width, 6 * scale)
  rows = np.arange(bottom, top - height, height / 2)
  boxes = [(x, y, x + width, y + height) for x in columns for y in rows]
  yield from sorted(boxes, key=lambda box: (_distance(box, at), box))


def _distance(box: Box, at) -> float:
  """Returns the distance of a box and a point, which is 0 inside."""
  across = max(box[0] - at[0], 0, at[0] - box[2])
  up = max(box[1] - at[1], 0, at[1] - box[3])
  return float(np.hypot(across, up))


def _covered(box: Box, other: Box) -> float:
  """Returns the area that two boxes share."""
  width = min(box[2], other[2]) - max(box[0], other[0])
  height = min(box[3], other[3]) - max(box[1], other[1])
  return max(width, 0) * max(height, 0)
