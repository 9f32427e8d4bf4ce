"""Our side of the benchmark: the cases and their sizes."""

import functools
import math
from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import ops
from jaxmem.bench import decode, draws
from jaxmem.bench.case import Case
from jaxmem.mixers.longformer import Longformer
from jaxmem.ops.attention_core import blockwise
from jaxmem.ops.attention_core.block_table import BlockTable
from jaxmem.ops.attention_core.scores import Scores
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.ops.recurrence import linear_scan, scan
from jaxmem.parallel.mesh import unboxed

_CELL = {"batch": 8, "length": 1024, "dim": 256}
_MATRIX = {"batch": 1, "length": 4096, "heads": 4, "dim": 128}
_CHANNELS = {"batch": 2, "length": 4096, "dim": 1024}

# Case -> op, draw, standard size. An op without a row is measured on its own example; a
# memory that is a setting of another memory's op has a row under a name of its own.
SIZES: dict[str, tuple[str, Callable, dict[str, int]]] = {
  "attention": (
    "attention",
    draws.attention,
    {"batch": 1, "length": 4096, "heads": 4, "dim": 64},
  ),
  "complex_diagonal": (
    "complex_diagonal",
    draws.complex_diagonal,
    _CHANNELS | {"dim": 512},
  ),
  "dplr": ("dplr", draws.dplr, _MATRIX | {"length": 2048, "dim": 64}),
  "gated_average": ("gated_average", draws.gated_average, _CHANNELS),
  "gated_delta": ("gated_delta", draws.gated_delta, _MATRIX),
  "gated_linear": (
    "gated_linear",
    draws.gated_linear,
    {"batch": 1, "length": 4096, "groups": 1, "heads": 16, "key": 128, "value": 64},
  ),
  "gru": ("gru", draws.gru, _CELL),
  "kda": ("gated_delta", draws.kda, _MATRIX),
  "lstm": ("lstm", draws.lstm, _CELL),
  "mamba": (
    "mamba",
    draws.mamba,
    _CHANNELS | {"batch": 1, "states": 16},
  ),
  "mlstm": ("mlstm", draws.mlstm, _MATRIX),
  "retention": ("gated_linear", draws.retention, _MATRIX),
  "rglru": ("rglru", draws.rglru, _CHANNELS),
  "rnn": ("rnn", draws.rnn, _CELL),
  "short_conv": ("short_conv", draws.short_conv, _CHANNELS | {"taps": 4}),
  "slstm": ("slstm", draws.slstm, _CELL | {"heads": 4}),
  "window": (
    "window",
    draws.window,
    {"batch": 1, "length": 8192, "heads": 4, "dim": 64, "window_size": 512},
  ),
}
# The peers of attention have no rotary embedding; KDA has the chunks of its mixer.
OPTIONS = {
  "attention": {"score": Scores(rotary=None)},
  "window": {"score": Scores(rotary=None)},
  "kda": {"chunk_size": 32},
}
# Growth is measured on one row and one head: otherwise 64k tokens would take minutes.
SMALLER = {"batch": 1, "heads": 1}
GROWTH = {"short": 8192, "long": 65536}
QUICK = {"batch": 1, "heads": 2, "dim": 8, "window_size": 16, "length": 64}
QUICK_GROWTH = {"short": 32, "long": 128}


def fast_form(op: ModuleType) -> Callable:
  """Returns the form of an op that its author names for the CPU, else its last one."""
  op = ops.record(op)
  return op.form(dict(op.fastest).get("cpu", op.form_names[-1]))


def _example(op: ModuleType, batch: int, length: int):
  return op.example(jax.random.key(0), batch, length)


def _op_case(name: str, changes: dict[str, int], quick: bool) -> Case:
  """Returns a row of `SIZES` as a case, with some dimensions replaced.

  Args:
    name: a key of `SIZES`, or an op.
    changes: new sizes of dimensions; those that the op has not are left out.
    quick: tiny sizes.
  """
  if name in SIZES:
    op_name, draw, size = SIZES[name]
  else:
    op_name, draw = name, functools.partial(_example, ops.get(name))
    size = {"batch": 1, "length": 4096}
  for sizes in (QUICK if quick else {}, changes):
    size = size | {dim: n for dim, n in sizes.items() if dim in size}
  form = functools.partial(fast_form(ops.get(op_name)), **OPTIONS.get(name, {}))
  return Case(
    op=name,
    title=f"{name} " + " ".join(f"{k}={v}" for k, v in size.items()),
    tokens=size["batch"] * size["length"],
    draw=functools.partial(draw, **size),
    ours=lambda params, inputs, state: form(params, inputs, state)[0],
  )


def _diagonal_case(quick: bool) -> Case:
  """Returns the bare recurrence h_t = a_t h_{t-1} + b_t, which peers offer alone."""
  shape = (2, 64, 8) if quick else (2, 4096, 1024)

  def draw():
    a, b = draws.normal(shape, shape)
    return (), (draws.sigmoid(a + 2), b), np.zeros((shape[0], shape[2]), np.float32)

  return Case(
    op="diagonal",
    title="diagonal recurrence batch={} length={} dim={}".format(*shape),
    tokens=math.prod(shape[:2]),
    draw=draw,
    ours=lambda params, inputs, state: linear_scan.sequential(*inputs, state)[0],
  )


def _blocks_case(share: float, quick: bool) -> Case:
  """Returns attention under a table of blocks, a share of them set; a token is a block.

  So the nanoseconds a token are those of a block, and say whether time follows the
  blocks that are computed.
  """
  size, count = (8, 8) if quick else (128, 32)
  table = np.random.RandomState(0).uniform(size=(count, count)) < share
  shape = (1, size * count, 4, 64)
  mask = BlockTable(size, tuple(map(tuple, table.tolist())))

  def ours(params, inputs, state):
    position = scan.indices(shape[1])[None]  # [1, T]
    tokens = Tokens(position, jnp.zeros_like(position))  # one document
    return blockwise.attend(*inputs, tokens, tokens, mask, block_size=size)[0]

  return Case(
    op="attention",
    title=f"attention, {table.sum()} of {table.size} blocks of {size} x {size}",
    tokens=int(table.sum()),
    draw=lambda: ((), draws.normal(*[shape] * 3), ()),
    ours=ours,
  )


def _longformer_case(quick: bool) -> Case:
  """Returns the layer with its projections, as an encoder runs it."""
  length, window, count = (64, 16, 2) if quick else (16_384, 512, 16)
  mixer = Longformer(256, 4, window_size=window, num_global=count, causal=False)

  def draw():
    x = draws.normal((1, length, mixer.d_model))
    params = jax.jit(mixer.init)(jax.random.key(0), *x, ())
    return unboxed(params), x, ()

  return Case(
    op="longformer",
    title=f"Longformer layer, window {window} and {count} global, length={length}",
    tokens=length,
    draw=draw,
    ours=lambda params, inputs, state: mixer.apply(params, *inputs, state)[0],
  )


def growing() -> list[str]:
  """Returns the cases whose cost a token must not grow with T: none sees all of T."""

  def sees_all(name: str) -> bool:
    op = ops.record(SIZES[name][0] if name in SIZES else name)
    return bool(op.longest) or op.step is None

  return [name for name in sorted({*ops.names(), *SIZES}) if not sees_all(name)]


@functools.cache
def table(quick: bool = False) -> dict[str, Case]:
  """Returns every case by name: shared kernels, ops by file name, models that write.

  Args:
    quick: tiny sizes, which try the plumbing and measure nothing.
  """
  cases = {"diagonal": _diagonal_case(quick)}
  lengths = QUICK_GROWTH if quick else GROWTH
  for name in sorted({*ops.names(), *SIZES}):
    cases[name] = _op_case(name, {}, quick)
  for name in growing():
    for which, length in lengths.items():
      cases[f"{name}_{which}"] = _op_case(name, SMALLER | {"length": length}, quick)
  far = QUICK_GROWTH["long"] if quick else 131_072
  cases["attention_16k"] = _op_case(
    "attention", {"length": far if quick else 16_384}, quick
  )
  cases["window_128k"] = _op_case("window", SMALLER | {"length": far}, quick)
  cases["blocks_all"] = _blocks_case(1.1, quick)
  cases["blocks_tenth"] = _blocks_case(0.1, quick)
  cases["longformer_layer"] = _longformer_case(quick)
  return cases | decode.table(quick)
