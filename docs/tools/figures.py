"""The figures of docs/from-rnn.md: python -m docs.tools.figures"""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from docs.tools import decay
from jaxmem.evaluation import visibility
from jaxmem.models import pattern
from jaxmem.ops import additive_attention, gated_delta, gated_linear
from jaxmem.runtime import figures as style

FOLDER = Path(__file__).parents[1] / "from-rnn"
DASHES = ("-", "--", "-.", ":")  # lines differ in style, not in colour alone


def _lines(axes, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
  for (name, (x, y)), dash, color in zip(
    curves.items(), DASHES, style.PALETTE, strict=False
  ):
    axes.plot(x, y, color=color, linestyle=dash, linewidth=1.8, label=name)
  style.legend(axes.figure)


def hidden_state(grid) -> None:
  """Influence by distance of three cells, as `decay.json` has it."""
  axes, kept = grid[0, 0], decay.read()
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


def gates(grid) -> None:
  """What constant forget gates keep."""
  axes, x = grid[0, 0], np.arange(0, 1001)
  _lines(axes, {f"gate {f}": (x, f**x) for f in (0.9, 0.99, 0.999)})
  axes.set(xlabel="tokens since the input", ylabel="share that is kept")


def encoder_decoder(grid) -> None:
  """The weights of additive attention for queries in another order than the keys."""
  order, size = [2, 0, 1, 4, 3], 5
  one_hot = jnp.eye(size)
  queries = (2 * one_hot - 1)[jnp.array(order)][None]  # [1, T, K]
  # the values are one-hot, so that what is read is the weights
  count = jnp.array([size], jnp.int32)
  state = additive_attention.State(2 * one_hot[None], one_hot[None], count)
  w = jnp.full(size, -2.0)
  weights = additive_attention.parallel((w,), (queries,), state)[0][0]
  axes = grid[0, 0]
  image = style.heat_map(axes, np.asarray(weights), "{:.2f}", vmin=0, vmax=1)
  axes.set(xlabel="encoded token", ylabel="token that is written")
  axes.figure.colorbar(image, ax=axes, label="weight")


def state_bytes(grid) -> None:
  """Bytes that one row carries, d_model 1024."""
  axes, x = grid[0, 0], 2 ** np.arange(8, 18)

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


def masks(grid) -> None:
  """Who sees whom in five masks."""
  texts = {
    "whole": "causal",
    "window": "causal & window(8)",
    "with sinks": "causal & (window(8) | first(2))",
    "dilated": "causal & dilated(4, 4)",
    "global": "causal & (window(6) | Global(2))",
  }
  reset = visibility.documents([32])
  for axes, (title, text) in zip(grid[0], texts.items(), strict=True):
    axes.imshow(visibility.seen(visibility.parse(text), reset), cmap="cividis")
    axes.set_title(title)
    axes.grid(False)
    axes.set(xticks=[], yticks=[], xlabel="key")
  grid[0, 0].set_ylabel("query")


def delta(grid) -> None:
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
  axes, x = grid[0, 0], np.arange(1, 2 * pairs + 1)
  scale = float(np.linalg.norm(values, axis=1).mean())
  _lines(axes, {n: (x, np.array(e) / scale) for n, e in errors.items()})
  axes.axvline(pairs + 0.5, color=style.GREY, linewidth=1)
  axes.text(pairs + 0.7, 0.03, "keys get new values", color="#555555")
  axes.set(xlabel="writes", ylabel="error of recall, relative", ylim=(-0.05, None))


def _empty(op, size: int):
  return op.init_state(1, 1, size, size)


# File -> what draws it, its height in inches, and its columns of axes.
FIGURES: dict[str, tuple[Callable, float, int]] = {
  "hidden-state": (hidden_state, 2.3, 1),
  "gates": (gates, 2.3, 1),
  "encoder-decoder": (encoder_decoder, 2.6, 1),
  "state-bytes": (state_bytes, 2.3, 1),
  "masks": (masks, 1.2, 5),
  "delta": (delta, 2.3, 1),
}


def draw(name: str, path: Path) -> None:
  """Draws one figure.

  Args:
    name: a key of `FIGURES`.
    path: the PNG to write.
  """
  function, height, columns = FIGURES[name]
  with style.saving(path, height=height, columns=columns) as (_, grid):
    function(grid)


if __name__ == "__main__":
  FOLDER.mkdir(exist_ok=True)
  for name in FIGURES:
    draw(name, FOLDER / f"{name}.png")
