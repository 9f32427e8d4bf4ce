"""Our side of the benchmark: what is measured, at which size, against which target."""

import dataclasses
import functools
import math
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import ops
from jaxmem.ops import attention, diagonal

OURS = "jaxmem"


@dataclasses.dataclass(frozen=True)
class Case:
  """Something to measure.

  Attributes:
    op: what `--ops` calls it.
    title: what the tables call it.
    tokens: tokens of one call, all rows together.
    draw: `() -> (params, inputs, state)`; params and inputs are differentiated.
    ours: `(params, inputs, state) -> y`.
  """

  op: str
  title: str
  tokens: int
  draw: Callable[[], tuple]
  ours: Callable


@dataclasses.dataclass(frozen=True)
class Target:
  """A number that was promised: a measure of ours as a fraction of another's.

  Attributes:
    row: what the table calls it.
    ours: a case, measured on our side.
    theirs: (case, contestant).
    must, stretch: the promised fraction and the hoped one.
    measure: "seconds", "temp_bytes" or "ns_per_token", forward and backward.
  """

  row: str
  ours: str
  theirs: tuple[str, str]
  must: float
  stretch: float
  measure: str = "seconds"


def _normal(*shapes, seed: int = 0) -> tuple[np.ndarray, ...]:
  rng = np.random.default_rng(seed)
  return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def _sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def fast_form(op: ModuleType) -> Callable:
  """The form of an op that its author names for the CPU, else its last one."""
  name = getattr(op, "FASTEST", {}).get("cpu", list(op.FORMS)[-1])
  return op.FORMS[name]


def _lstm(batch: int, length: int, dim: int):
  w, r, b, x = _normal((dim, 4 * dim), (dim, 4 * dim), (4 * dim,), (batch, length, dim))
  scale = dim**-0.5
  state = ops.get("lstm").init_state(batch, dim)
  return (w * scale, r * scale, b), (x,), state


def _rglru(batch: int, length: int, dim: int):
  x, r, i = _normal(*[(batch, length, dim)] * 3)
  state = ops.get("rglru").init_state(batch, dim)
  return (
    (np.linspace(1, 4, dim, dtype=np.float32),),
    (x, _sigmoid(r), _sigmoid(i)),
    state,
  )


def _gated_delta(batch: int, length: int, heads: int, dim: int):
  wide, narrow = (batch, length, heads, dim), (batch, length, heads)
  q, k, v, g, beta = _normal(wide, wide, wide, narrow, narrow)
  k = k / np.linalg.norm(k, axis=-1, keepdims=True)
  state = ops.get("gated_delta").init_state(batch, heads, dim, dim)
  # decays as a trained layer has them: most tokens forget a few percent
  return (), (q, k, v, -0.1 * _sigmoid(g), _sigmoid(beta)), state


def _window(batch: int, length: int, heads: int, dim: int, window_size: int):
  state = ops.get("window").init_state(batch, window_size, heads, dim, dim)
  return (), _normal(*[(batch, length, heads, dim)] * 3), state


def _short_conv(batch: int, length: int, dim: int, taps: int):
  w, x = _normal((taps, dim), (batch, length, dim))
  return (w,), (x,), ops.get("short_conv").init_state(batch, taps, dim)


# op -> draw; standard sizes; sizes of growth; the same when only the plumbing is tried.
# An op without a row is measured on its own example.
SIZES = {
  "gated_delta": (_gated_delta, {"batch": 1, "length": 4096, "heads": 4, "dim": 128}),
  "lstm": (_lstm, {"batch": 8, "length": 1024, "dim": 256}),
  "rglru": (_rglru, {"batch": 2, "length": 4096, "dim": 1024}),
  "short_conv": (_short_conv, {"batch": 2, "length": 4096, "dim": 1024, "taps": 4}),
  "window": (
    _window,
    {"batch": 1, "length": 8192, "heads": 4, "dim": 64, "window_size": 512},
  ),
}
# The peers of the window know no rotation.
OPTIONS = {"window": {"rotary_base": None}}
# Growth is measured on one row and one head, or a call of 64k tokens takes minutes.
SMALLER = {"batch": 1, "heads": 1}
GROWTH = {"short": 8192, "long": 65536}
QUICK = {"batch": 1, "heads": 2, "dim": 8, "window_size": 16, "length": 64}
QUICK_GROWTH = {"short": 32, "long": 128}


def _example(op: ModuleType, batch: int, length: int):
  return op.example(jax.random.key(0), batch, length)


def _op_case(name: str, changes: dict[str, int], quick: bool) -> Case:
  """An op at its standard size with some dimensions replaced."""
  op = ops.get(name)
  draw, size = SIZES.get(
    name, (functools.partial(_example, op), {"batch": 1, "length": 4096})
  )
  known = lambda some: {k: v for k, v in some.items() if k in size}
  size = size | known(QUICK if quick else {}) | known(changes)
  form = functools.partial(fast_form(op), **OPTIONS.get(name, {}))
  return Case(
    op=name,
    title=f"{name} " + " ".join(f"{k}={v}" for k, v in size.items()),
    tokens=size["batch"] * size["length"],
    draw=functools.partial(draw, **size),
    ours=lambda params, inputs, state: form(params, inputs, state)[0],
  )


def _attention_case(quick: bool) -> Case:
  length = 64 if quick else 4096
  shape = (1, length, 2, 8) if quick else (1, length, 4, 64)

  def ours(params, inputs, state):
    first = jnp.zeros(shape[:2], jnp.int32)
    return attention.interval_attention(*inputs, first)[0]

  return Case(
    op="attention",
    title=f"causal attention batch=1 length={length} heads={shape[2]} dim={shape[3]}",
    tokens=length,
    draw=lambda: ((), _normal(*[shape] * 3), ()),
    ours=ours,
  )


def _diagonal_case(quick: bool) -> Case:
  shape = (2, 64, 8) if quick else (2, 4096, 1024)

  def draw():
    a, b = _normal(shape, shape)
    return (), (_sigmoid(a + 2), b), np.zeros((shape[0], shape[2]), np.float32)

  return Case(
    op="diagonal",
    title="diagonal recurrence batch={} length={} dim={}".format(*shape),
    tokens=math.prod(shape[:2]),
    draw=draw,
    ours=lambda params, inputs, state: diagonal.sequential(*inputs, state)[0],
  )


@functools.cache
def table(quick: bool = False) -> dict[str, Case]:
  """Every case by name: two of shared kernels, three of every op found by file name.

  Args:
    quick: tiny sizes, which try the plumbing and measure nothing.
  """
  cases = {"attention": _attention_case(quick), "diagonal": _diagonal_case(quick)}
  for name in ops.names():
    cases[name] = _op_case(name, {}, quick)
    lengths = QUICK_GROWTH if quick else GROWTH
    for which, length in lengths.items():
      cases[f"{name}_{which}"] = _op_case(name, SMALLER | {"length": length}, quick)
  return cases


def targets() -> list[Target]:
  """What was promised, forward and backward, as fractions of a peer's."""
  growth = [
    Target(
      f"{name}: ns per token, 64k / 8k",
      f"{name}_long",
      (f"{name}_short", OURS),
      1.25,
      1.1,
      "ns_per_token",
    )
    for name in ops.names()
  ]
  return [
    Target("causal attention", "attention", ("attention", "torch_sdpa"), 0.87, 0.70),
    Target(
      "causal attention, memory",
      "attention",
      ("attention", "jax_nn_attention"),
      0.1,
      0.03,
      "temp_bytes",
    ),
    Target("window 512", "window", ("window", "torch_window"), 0.62, 0.4),
    Target(
      "gated delta rule",
      "gated_delta",
      ("gated_delta", "transformers_gated_delta"),
      0.40,
      0.25,
    ),
    Target(
      "diagonal recurrence", "diagonal", ("diagonal", "accelerated_scan"), 0.45, 0.30
    ),
    Target("LSTM", "lstm", ("lstm", "torch_lstm"), 1.35, 1.0),
    Target("LSTM", "lstm", ("lstm", "flax_lstm"), 0.62, 0.5),
    *growth,
  ]
