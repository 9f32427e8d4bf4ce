"""How far a new layer's memory reaches: python -m docs.tools.decay

Measures every layer that carries a state and keeps the curves in `decay.json`; the site
draws them.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from jaxmem import mixers
from jaxmem.evaluation import visibility
from jaxmem.runtime import figures
from jaxmem.testing import example_of

FILE = Path(__file__).with_suffix(".json")
LENGTH, D_MODEL = 128, 32
DISTANCES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
# An influence below this share of a token's own is drawn at the bottom.
FLOOR = 1e-6


def names() -> list[str]:
  """Returns the layers whose memory fades: all but those of attention."""
  return [n for n in mixers.names() if mixers.get(n).Mixer.family != "attention"]


def curve(name: str) -> list[float]:
  """Measures how far an output moves with an input `DISTANCES` tokens before it.

  Args:
    name: of the layer.

  Returns:
    The root mean square over all pairs of a distance, as a share of distance 0.
  """
  cls = mixers.get(name).Mixer
  options = {"num_heads": 2} if "num_heads" in example_of(name) else {}
  mixer = cls(d_model=D_MODEL, **options)
  moved = visibility.influence(mixer, visibility.documents([LENGTH]))  # [T, T]
  means = [np.sqrt(np.mean(np.diagonal(moved, -d) ** 2)) for d in DISTANCES]
  return [float(f"{mean / means[0]:.2e}") for mean in means]


def read() -> dict[str, list[float]]:
  """Returns the curves that are kept, by layer."""
  return json.loads(FILE.read_text())


def picture(name: str) -> bytes:
  """Draws the curve of a layer over those of all others, as SVG.

  Args:
    name: of the layer.
  """
  curves = read()
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / f"{name}.svg"
    _draw(name, curves, path)
    return path.read_bytes()


def _draw(name: str, curves: dict[str, list[float]], path: Path) -> None:
  with figures.saving(path, height=2.3) as (figure, grid):
    axes, x = grid[0, 0], np.array(DISTANCES) + 1
    for other, values in curves.items():
      style = {"color": "#bbbbbb", "lw": 0.7, "zorder": 1}
      if other == name:
        style = {"color": figures.BLUE, "lw": 2.5, "zorder": 2, "label": name}
      axes.plot(x, np.maximum(values, FLOOR), **style)
    axes.plot([], [], color="#bbbbbb", lw=0.7, label="the other layers")
    axes.set(xscale="log", yscale="log", ylim=(FLOOR, 3))
    ticks = [0, 1, 3, 7, 15, 31, 63, 96]
    axes.set_xticks([d + 1 for d in ticks], [str(d) for d in ticks])
    axes.minorticks_off()
    axes.set_xlabel("tokens between input and output")
    axes.set_ylabel("how far the output moves")
    figures.legend(figure)


if __name__ == "__main__":
  curves = {name: curve(name) for name in names()}
  lines = [f' "{name}": {json.dumps(values)}' for name, values in curves.items()]
  FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
