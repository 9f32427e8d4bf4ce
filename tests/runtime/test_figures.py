"""Every kind of picture, from awkward numbers: its texts stay inside and apart."""

import itertools
import json
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxmem.evaluation.compare import pictures as comparison
from jaxmem.evaluation.inspection import pictures as inspection
from jaxmem.evaluation.inspection.inside import Layer, Memory
from jaxmem.evaluation.inspection.span import Span
from jaxmem.models.pattern import entry
from jaxmem.runtime import figures
from jaxmem.tasks import maps, plots
from jaxmem.tasks.dialogue.turns import Turn
from jaxmem.tasks.language_modeling.paired import Buckets

EYE = np.eye(2, dtype=int)
RNG = np.random.default_rng(0)
LONG = "gated_delta_product:negative_eigenvalues=True:num_householder=3"
LAYERS = [Layer(9 + i, entry("gated_delta_product"), i, 0) for i in range(8)]


@pytest.fixture
def drawn(monkeypatch):
  """The figures that were saved, as they are when they are saved."""
  saved, save = [], Figure.savefig

  def savefig(figure, *args, **options):
    save(figure, *args, **options)
    saved.append(figure)

  monkeypatch.setattr(Figure, "savefig", savefig)
  return saved


def _hidden(axis):
  """The tick labels of an axis that lie outside its limits and are not drawn."""
  low, high = sorted(axis.get_view_interval())
  margin = 1e-9 * (high - low)
  pairs = [
    *zip(axis.get_major_ticks(), axis.get_majorticklocs(), strict=True),
    *zip(axis.get_minor_ticks(), axis.get_minorticklocs(), strict=True),
  ]
  for tick, at in pairs:
    if not low - margin <= at <= high + margin:
      yield from (tick.label1, tick.label2)


def _texts(figure):
  """(text, its box) of all that is written."""
  renderer = figure.canvas.get_renderer()
  hidden = {
    id(text) for axes in figure.axes for a in (axes.xaxis, axes.yaxis)
    for text in _hidden(a)
  }  # fmt: skip
  off = {id(t) for axes in figure.axes if not axes.axison for t in axes.findobj(Text)}
  for axes in figure.axes:
    if not axes.axison:  # what is written there itself is still drawn
      off -= {id(text) for text in axes.texts}
  for text in figure.findobj(Text):
    shown = text.get_visible() and text.get_text().strip()
    if shown and id(text) not in hidden | off:
      yield text.get_text(), Text.get_window_extent(text, renderer)


def check(figure):
  """Texts lie inside the figure and apart, and are large enough at 400 pixels."""
  width, height = figure.bbox.width, figure.bbox.height
  texts = list(_texts(figure))
  assert texts
  for words, box in texts:
    inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
    assert inside, (words, box, figure.bbox)
  for (first, a), (second, b) in itertools.combinations(texts, 2):
    # a pixel of a box is no ink
    across = min(a.x1, b.x1) - max(a.x0, b.x0) - 2
    up = min(a.y1, b.y1) - max(a.y0, b.y0) - 2
    assert min(across, up) <= 0, f"{first!r} lies on {second!r}"


def small(figure):
  """The height of the smallest letters in pixels, where 400 pixels show the figure."""
  sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
  return min(sizes) / 72 * 400 / figure.get_figwidth()


def _row(memory, length, size, seeds, spread=0.1, depths=True):
  at = {
    length * times: np.clip(0.5 + spread * RNG.normal(size=seeds), 0, 1).tolist()
    for times in (1, 2, 4, 8, 16)
  }
  row = {"memory": memory, "length": length, "seeds": seeds, "at": at}
  if depths:
    row["by_depth"] = {n: [0.5, None, *RNG.random(8).tolist()] for n in at}
  return row | {"state_bytes_per_layer": size}


COMPARISONS = {
  "one point": [_row("gru", 8, 64, 1)],
  "twelve at nearly one place": [
    _row(f"{LONG}{i}", 64, 8192 + i, 3, spread=0.01, depths=False) for i in range(12)
  ],
  "corners": [
    _row("mamba2", 24, 70144, 3, 0), _row("attention", 24, 12292, 1, 3),
    _row("a$b$c", 24, 0, 3, 3), _row("lstm", 24, 512, 3),
  ],
  "three lengths": [
    _row(name, length, size + length, 2, depths=False)
    for name, size in (("attention", 4096), (LONG, 9000))
    for length in (16, 64, 256)
  ],
}  # fmt: skip


@pytest.mark.parametrize("case", COMPARISONS)
def test_pictures_of_a_comparison(case, drawn, tmp_path):
  rows, chance = COMPARISONS[case], {8: 0.2, 24: 0.02, 16: 0.2, 64: 0.5, 256: 0.9}
  paths = comparison.draw(rows, f"mqar:pairs=8:{LONG}", tmp_path, chance)
  names = ["frontier.png", "by_length.png", "depth.png"]
  assert [path.name for path in paths] == names[: 2 + ("by_depth" in rows[0])]
  for figure in drawn:
    check(figure)
    assert small(figure) > 9
  frontier, by_length = drawn[:2]
  legend = [text.get_text() for text in by_length.findobj(Text)]
  assert "guess among what was seen" in legend
  names = {row["memory"] for row in rows}
  texts = frontier.axes[0].texts
  assert len(texts) == len(names)
  frame = frontier.axes[0].get_window_extent()
  for text in texts:
    box = Text.get_window_extent(text)
    assert frame.x0 <= box.x0 and box.x1 <= frame.x1


def test_seeds_and_chance_are_drawn(drawn, tmp_path):
  rows = [_row("gru", 8, 64, 3), _row("lstm", 8, 128, 3)]
  comparison.draw(rows, "parity", tmp_path, {8: 0.5, 16: 0.5})
  frontier, by_length, _ = (figure.axes[0] for figure in drawn)
  bars = [tuple(c.get_segments()[0][:, 1]) for c in frontier.collections[:2]]
  ends = [(min(row["at"][8]), max(row["at"][8])) for row in rows]
  np.testing.assert_allclose(bars, ends)
  assert any(list(line.get_ydata()) == [0.5, 0.5] for line in frontier.lines)
  assert any(list(line.get_ydata()) == [0.5, 0.5] for line in by_length.lines)


def _buckets(edges):
  count = len(edges) - 1
  mean = RNG.normal(size=count)
  mean[-1] = math.nan
  counts = (RNG.random(count) * 1e7).astype(int)
  return Buckets(np.array(edges), mean, np.abs(mean) / 3, counts)


DOUBLING = [0, *(128 << i for i in range(14))]


def _draw_loss(path):
  log = path.with_suffix(".jsonl")
  lines = [{"step": 1, "bits_per_byte": None}, {"step": 10, "bits_per_byte": 3e-5}]
  log.write_text("\n".join(map(json.dumps, lines)))
  plots.loss_curve(log, path, heldout=2.5e-5)


def _draw_turns(path):
  scores = {
    way: {turn: Turn(1 if turn == 29 else 40, turn % 2) for turn in range(2, 30)}
    for way in ("carried", "reset")
  }
  plots.turns(scores, path, f"Dialogues of /data/{LONG}/{LONG}.jsonl", ("x" * 99, 0.1))


def _draw_forecast(path):
  values, after = RNG.normal(size=40).cumsum(), RNG.normal(size=20)
  series = plots.Forecast(
    values, after, after + 1, (after, after + 2), 0.8, ("seasonal naive", after - 1)
  )
  plots.forecast(series, path, f"{LONG}: last window of x.csv", "OT, standardised")


def _draw_sight(path):
  seen = np.tril(np.ones((300, 300), bool))
  maps.sight(path, f"{LONG}+{LONG}", seen, np.tril(np.ones((9, 9), bool)), 12 * seen)


def _draw_confusion(path):
  names = [f"{i} {LONG}" for i in range(12)]
  counts = RNG.integers(0, 30_000, (12, 12))
  counts[3] = 0
  maps.confusion(path, counts, names, "held out")


def _draw_depths(path):
  grid = RNG.random((11, 12)) * 100
  grid[2, 3] = math.nan
  lengths = [1000 * 2**i for i in range(12)]
  maps.depths(path, grid, np.linspace(0, 1, 11).tolist(), lengths)


def _draw_spans(path):
  span = Span(np.r_[np.exp(-np.arange(99.0)), 0])
  inspection.spans(path, span, dict.fromkeys(LAYERS, span))


def _draw_maps(path):
  weights = np.tril(RNG.random((32, 32)))
  titles = [f"{layer}, mean of heads" for layer in LAYERS[:5]]
  inspection.maps(path, dict.fromkeys(titles, weights), 100_000)


def _draw_memories(path):
  norms = RNG.random((20, 2)) * 1e4
  layers = {layer: Memory(norms, norms / 200, 64) for layer in LAYERS[:2]}
  memories = layers | {LAYERS[3]: Memory(norms, None, 0)}
  inspection.memories(path, 10 * np.arange(1, 21), memories)


PICTURES = {
  "loss": _draw_loss,
  "gain by document": lambda path: plots.gain(
    {"re-read": _buckets(DOUBLING), "reset": _buckets(DOUBLING)},
    path, "What carrying saves", "position in the document", counts=True,
  ),
  "gain by segment": lambda path: plots.gain(
    {"reset": _buckets([0, 1])}, path, "What carrying saves", "position", counts=False
  ),
  "by position": lambda path: plots.by_position(
    DOUBLING, {w: RNG.random(14).tolist() for w in (LONG, "carried")}, path, "x.txt"
  ),
  "turns": _draw_turns,
  "forecast": _draw_forecast,
  "sight": _draw_sight,
  "one layer": lambda path: maps.sight(path, "a", EYE / 2, None, EYE),
  "confusion": _draw_confusion,
  "two classes": lambda path: maps.confusion(path, EYE, "ab", "test"),
  "depths": _draw_depths,
  "one depth": lambda path: maps.depths(path, np.array([[math.nan]]), [0.5], [128]),
  "gates": lambda path: inspection.gates(
    path, "a_gate", {layer: RNG.random((1, 30, 4)) for layer in LAYERS}
  ),
  "decays": lambda path: inspection.decays(
    path, {layer: -RNG.random((1, 30, 4)) for layer in LAYERS}
  ),
  "spans": _draw_spans,
  "attention": _draw_maps,
  "memories": _draw_memories,
}  # fmt: skip


@pytest.mark.parametrize("kind", PICTURES)
def test_texts_stay_inside_and_apart(kind, drawn, tmp_path):
  path = tmp_path / f"{kind}.png"
  PICTURES[kind](path)
  (figure,) = drawn
  check(figure)
  assert path.read_bytes()[:4] == b"\x89PNG"
  if figure.get_figwidth() == figures.WIDTH:  # tables of many classes are wider
    assert small(figure) > 9


def test_a_forecast_names_its_series_and_shows_interval_and_naive_line(drawn, tmp_path):
  _draw_forecast(tmp_path / "forecast.png")
  texts = [text.get_text() for text in drawn[0].findobj(Text)]
  assert {"observed", "forecast", "seasonal naive", "interval of 80%"} <= set(texts)
  assert "OT, standardised" in texts
  assert len(drawn[0].axes[0].collections) == 1  # the interval
  values = np.zeros(720)
  series = plots.Forecast(values, values, values, (values, values))
  plots.forecast(series, tmp_path / "long.png", "a series", "OT")
  check(drawn[1])
  assert "first 192 of 720 steps" in drawn[1].get_suptitle()
  assert {len(line.get_xdata()) for line in drawn[1].axes[0].lines[:3]} == {96, 192}


def _linear(color):
  channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
  return np.where(
    channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
  )


def _lab(linear):
  """CIELAB of linear sRGB, in which equal distances look about equally large."""
  to_xyz = np.array(
    [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
  )
  xyz = to_xyz @ linear / np.array([0.9505, 1, 1.0888])
  x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Source: Machado, Oliveira and Fernandes 2009, the matrix of severity 1.
DEUTERANOPIA = np.array(
  [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]
)


@pytest.mark.parametrize("colors, least", [
  (figures.PALETTE, 15), (tuple(figures.WAYS.values()), 30),
])  # fmt: skip
def test_the_colour_blind_tell_colours_apart(colors, least):
  def distances(matrix, colors=colors):
    labs = [_lab(np.clip(matrix @ _linear(color), 0, 1)) for color in colors]
    return [np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2)]

  assert min(distances(np.eye(3))) > least
  assert min(distances(DEUTERANOPIA)) > least
  # red and green of the same brightness would not pass
  bad = ("#d05050", "#808040")
  assert distances(DEUTERANOPIA, bad) < [15] < distances(np.eye(3), bad)


def test_styles_of_series_differ():
  styles = [tuple(figures.series_style(i).values()) for i in range(28)]
  assert len({style[:2] for style in styles}) == 28


def test_settings_of_the_user_change_nothing_and_stay(tmp_path):
  import matplotlib

  def picture(name):
    with figures.saving(tmp_path / name, "title") as (_, grid):
      grid[0, 0].plot([1, 2])
    return (tmp_path / name).read_bytes()

  first = picture("a.png")
  with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red"}):
    assert picture("b.png") == first
    assert matplotlib.rcParams["font.size"] == 20
