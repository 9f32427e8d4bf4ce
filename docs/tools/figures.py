"""The figures of docs/from-rnn.md: python -m docs.tools.figures"""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import matplotlib
import numpy as np

from docs.tools import decay
from jaxmem.evaluation import visibility
from jaxmem.models import pattern
from jaxmem.ops import additive_attention, gated_delta, gated_linear

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

FOLDER = Path(__file__).parents[1] / "from-rnn"
# Okabe and Ito's colours, which the colour-blind tell apart; lines differ in style too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#555555"
STYLES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (GREY, ":"))


def _lines(axes, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
  for (name, (x, y)), (color, style) in zip(curves.items(), STYLES, strict=False):
    axes.plot(x, y, color=color, linestyle=style, linewidth=2, label=name)
  axes.legend(frameon=False)


def hidden_state(figure) -> None:
  """Influence by distance of three cells, as `decay.json` has it."""
  axes, kept = figure.subplots(), decay.read()
  x = np.array(decay.DISTANCES)
  names = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
  _lines(
    axes,
    {s: (x, np.maximum(kept[name], decay.FLOOR)) for name, s in names.items()},
  )
  axes.set(
    yscale="log",
    ylim=(decay.FLOOR, 3),
    xlim=(0, 64),
    xlabel="tokens between input and output, new layers",
    ylabel="how far the output moves",
  )


def gates(figure) -> None:
  """What constant forget gates keep."""
  axes, x = figure.subplots(), np.arange(0, 1001)
  _lines(axes, {f"gate {f}": (x, f**x) for f in (0.9, 0.99, 0.999)})
  axes.set(xlabel="tokens since the input", ylabel="share that is kept")


def encoder_decoder(figure) -> None:
  """The weights of additive attention for queries in another order than the keys."""
  order, size = [2, 0, 1, 4, 3], 5
  one_hot = jnp.eye(size)
  queries = (2 * one_hot - 1)[jnp.array(order)][None]  # [1, T, K]
  # the values are one-hot, so that what is read is the weights
  count = jnp.array([size], jnp.int32)
  state = additive_attention.State(2 * one_hot[None], one_hot[None], count)
  w = jnp.full(size, -2.0)
  weights = additive_attention.parallel((w,), (queries,), state)[0][0]
  axes = figure.subplots()
  image = axes.imshow(np.asarray(weights), cmap="cividis", vmin=0, vmax=1)
  axes.set(xlabel="encoded token", ylabel="token that is written")
  figure.colorbar(image, label="weight")


def state_bytes(figure) -> None:
  """Bytes that one row carries, d_model 1024."""
  axes, x = figure.subplots(), 2 ** np.arange(8, 18)

  def size(text: str) -> int:
    (entry,) = pattern.parse(text)
    return pattern.state_bytes(pattern.built(entry, 1024, "float32"))

  grows = [size(f"attention:capacity={n}") for n in x.tolist()]
  fixed = {
    "window of 1,024": size("window:window_size=1024"),
    "gated delta rule": size("gated_delta"),
    "RG-LRU": size("rglru"),
  }
  _lines(
    axes,
    {"attention": (x, np.array(grows))}
    | {name: (x, np.full(len(x), n)) for name, n in fixed.items()},
  )
  axes.set(xscale="log", yscale="log")
  axes.set(xlabel="tokens read", ylabel="bytes of state a row")


def masks(figure) -> None:
  """Who sees whom in five masks."""
  texts = {
    "whole": "causal",
    "window": "causal & window(8)",
    "with sinks": "causal & (window(8) | first(2))",
    "dilated": "causal & dilated(4, 4)",
    "global": "causal & (window(6) | Global(2))",
  }
  reset = visibility.documents([32])
  for axes, (title, text) in zip(figure.subplots(1, 5), texts.items(), strict=True):
    axes.imshow(visibility.seen(visibility.parse(text), reset), cmap="cividis")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
  figure.supxlabel("key", fontsize=10)
  figure.supylabel("query", fontsize=10)


def delta(figure) -> None:
  """Recall of eight keys that are written twice, by a sum and by the delta rule."""
  pairs, size = 8, 32
  draw = np.random.default_rng(0)
  keys = draw.normal(size=(pairs, size)).astype(np.float32)
  keys /= np.linalg.norm(keys, axis=1, keepdims=True)
  values = draw.normal(size=(2 * pairs, size)).astype(np.float32)
  k = jnp.asarray(np.concatenate([keys, keys]))[None, :, None]  # [B, T, H, K]
  v = jnp.asarray(values)[None, :, None]
  log_decay = jnp.zeros(k.shape[:3])  # nothing is forgotten
  errors: dict[str, list[float]] = {"sum": [], "delta rule": []}
  for end in range(1, 2 * pairs + 1):
    inputs = [a[:, :end] for a in (k, k, v, log_decay)]
    strength = 1 + inputs[3]
    _, sums = gated_linear.FORMS["recurrent"](
      (), tuple(inputs), _empty(gated_linear, size)
    )
    _, rule = gated_delta.FORMS["recurrent"](
      (), (*inputs, strength), _empty(gated_delta, size)
    )
    for name, state in (("sum", sums), ("delta rule", rule)):
      recalled = keys[:end] @ np.asarray(state.s[0, 0])  # every key so far is asked
      # the newest value of each: those written again, then the older ones
      newest = np.concatenate([values[pairs:end], values[max(0, end - pairs) : pairs]])
      error = np.linalg.norm(recalled - newest[: len(recalled)], axis=1).mean()
      errors[name].append(float(error))
  axes, x = figure.subplots(), np.arange(1, 2 * pairs + 1)
  scale = float(np.linalg.norm(values, axis=1).mean())
  _lines(axes, {n: (x, np.array(e) / scale) for n, e in errors.items()})
  axes.axvline(pairs + 0.5, color=GREY, linewidth=1)
  axes.text(pairs + 0.7, 0.03, "keys get new values", color=GREY)
  axes.set(xlabel="writes", ylabel="error of recall, relative", ylim=(-0.05, None))


def _empty(op, size: int):
  return op.init_state(1, 1, size, size)


# File -> what draws it, and its size in inches.
FIGURES: dict[str, tuple[Callable, tuple[float, float]]] = {
  "hidden-state": (hidden_state, (6, 3)),
  "gates": (gates, (6, 3)),
  "encoder-decoder": (encoder_decoder, (4.5, 3.2)),
  "state-bytes": (state_bytes, (6, 3)),
  "masks": (masks, (7, 2)),
  "delta": (delta, (6, 3)),
}


def draw(name: str, path: Path) -> None:
  """Draws one figure.

  Args:
    name: a key of `FIGURES`.
    path: the PNG to write.
  """
  function, size = FIGURES[name]
  figure = plt.figure(figsize=size, layout="constrained")
  function(figure)
  figure.savefig(path, dpi=100, metadata={"Software": None})
  plt.close(figure)


if __name__ == "__main__":
  FOLDER.mkdir(exist_ok=True)
  for name in FIGURES:
    draw(name, FOLDER / f"{name}.png")
