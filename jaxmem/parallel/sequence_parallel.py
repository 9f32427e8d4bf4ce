"""Sequence parallelism: a form over shards of time gives the single-device answer.

    start_i = (f_{i-1} o ... o f_0)(state),    y_i, _ = form(inputs_i, start_i)

Where what a shard does to a state has a summary (`transitions.py`), the starts come
from log2 N exchanges of summaries. Attention reads across shards instead
(`sharded_timeline.py`). A nonlinear memory has neither: it swaps time for rows, or its
shards run one after the other. That the answers are equal is law 7 of `jaxmem.testing`.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from jaxmem.core.op import Op
from jaxmem.core.typing import Reset, State
from jaxmem.ops.recurrence import scan
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.sharded_timeline import ShardedTimeline
from jaxmem.parallel.transitions import Call, Family, family

AXIS = meshes.RULES["time"]


def shards() -> int:
  """Returns how many parts the ambient mesh cuts time into; 1 without a mesh."""
  return jax.sharding.get_abstract_mesh().shape.get(AXIS, 1)


def over_time(
  op: Op,
  run: Callable,
  takes_timeline: bool,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None,
  options: dict[str, Any],
) -> tuple[Array, State]:
  """Computes `run(params, inputs, state, reset)` with time cut over the ambient mesh.

  Cost: a linear op runs its form twice a shard (a matrix the first time with V + K
  columns) and exchanges log2 N summaries; see `ShardedTimeline` for forms that take a
  `timeline`, `_all_to_all` and `_pipelined` for the others. Rows stay cut over data and
  fsdp; devices along other axes repeat the computation.

  Args:
    op: the record of the op.
    run: the form of the op, all options bound.
    takes_timeline: whether the form reads across shards itself, by a `timeline`.
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    options: options that every form of the op takes.

  Returns:
    y, and the memory after the last token of the last shard.

  Raises:
    ValueError: if the shards do not divide T.
  """
  mesh, count = jax.sharding.get_abstract_mesh(), shards()
  rows, length = inputs[0].shape[:2]
  if length % count:
    raise ValueError(
      f"{length} tokens do not divide into {count} shards on mesh axis {AXIS!r}"
    )
  spec = meshes.time_spec(mesh, rows)
  whole = PartitionSpec(spec[0])
  timeline = ShardedTimeline(AXIS, meshes.attention_layout.value)

  def local(params, inputs, state, reset):
    if takes_timeline:
      return run(params, inputs, state, reset, timeline=timeline)
    call = Call(op, run, options, params, inputs, reset)
    kind = family(op)
    both_ways = op.step is None
    # rows that divide keep every device busy; otherwise the shards take turns
    if both_ways or (kind is None and inputs[0].shape[0] % count == 0):
      return _all_to_all(call, state, count)
    start = _pipelined if kind is None else functools.partial(_composed, kind)
    y, end = run(params, inputs, start(call, state, count), reset)
    return y, _from_last(end, count)

  # unchecked: carries that start as constants are not yet marked as varying by shard
  return jax.shard_map(
    local,
    in_specs=(PartitionSpec(), spec, whole, spec),  # a state [B, ...] has no time
    out_specs=(spec, whole),
    check_vma=False,
  )(params, inputs, state, reset)


def _shift(tree: Any, by: int, count: int) -> Any:
  """Sends every shard's tree to the shard `by` places later.

  The first `by` shards get zeros, which are the empty memory.
  """
  permutation = [(i, i + by) for i in range(count - by)]
  return jax.tree.map(lambda a: jax.lax.ppermute(a, AXIS, permutation), tree)


def _where(here: Array, yes: Any, no: Any) -> Any:
  return jax.tree.map(lambda a, b: jnp.where(here, a, b), yes, no)


def _from_last(state: State, count: int) -> State:
  """Broadcasts the last shard's state to all shards."""
  is_last = jax.lax.axis_index(AXIS) == count - 1

  def broadcast(a):
    # a sum whose other terms are 0: no device receives the states of all
    return jax.lax.psum(jnp.where(is_last, a, jnp.zeros_like(a)), AXIS)

  return jax.tree.map(broadcast, state)


def _composed(kind: Family, call: Call, state: State, count: int) -> State:
  """Returns the state that each shard starts from: the summaries before it, composed.

  Shard i ends with f_{i-1} o ... o f_0 o c, where the constant c is the carried state:

      shard             0     1         2           3
      after shift       c     f0        f1          f2
      span 1            c     f0 c      f1 f0       f2 f1
      span 2            c     f0 c      f1 f0 c     f2 f1 f0 c
  """
  shard, length = jax.lax.axis_index(AXIS), call.inputs[0].shape[1]
  total = _shift(kind.summary(call, state), 1, count)
  total = _where(shard == 0, kind.initial(state), total)
  span = 1
  while span < count:
    earlier = _shift(total, span, count)
    longer = kind.compose(call, earlier, total, span * length)
    total = _where(shard >= span, longer, total)  # the other shards received zeros
    span *= 2
  return kind.state(total)


def _all_to_all(call: Call, state: State, count: int) -> tuple[Array, State]:
  """Computes whole rows instead of shards of time, between two all-to-alls.

  Rows that the shards do not divide are padded, for ops whose state is ().
  """
  _log_once(call.op.name, f"swaps time for rows over {count} shards")
  exchange = functools.partial(jax.lax.all_to_all, axis_name=AXIS, tiled=True)
  batch_size = call.inputs[0].shape[0]

  def to_rows(a):
    """[B, T/N, ...] -> [B/N, T, ...]."""
    return exchange(scan.pad_time(a, count, axis=0), split_axis=0, concat_axis=1)

  inputs, reset = jax.tree.map(to_rows, (call.inputs, call.reset))
  rows, shard = inputs[0].shape[0], jax.lax.axis_index(AXIS)
  state = jax.tree.map(
    lambda a: jax.lax.dynamic_slice_in_dim(a, shard * rows, rows), state
  )
  y, end = call.run(call.params, inputs, state, reset)  # y [B/N, T, ...]
  y = exchange(y, split_axis=1, concat_axis=0)[:batch_size]  # [B, T/N, ...]
  return y, jax.tree.map(lambda a: jax.lax.all_gather(a, AXIS, tiled=True), end)


def _pipelined(call: Call, state: State, count: int) -> State:
  """Returns the state that each shard starts from, passed from shard to shard.

  Cost: the time of the whole sequence on one device, as all shards but one wait. The
  reverse pass runs a shard again and keeps one state a turn.
  """
  _log_once(call.op.name, f"waits for its turn: {count} shards run one after the other")
  shard = jax.lax.axis_index(AXIS)

  @jax.checkpoint
  def turn(state, i):
    # a branch, not a mask: the shards whose turn it is not compute nothing
    end = jax.lax.cond(shard == i, call.last, lambda state: state, state)
    return _where(shard == i + 1, _shift(end, 1, count), state), None

  return jax.lax.scan(turn, state, jnp.arange(count - 1))[0]


@functools.cache  # every trace makes the choice; one line of the log is enough
def _log_once(op: str, message: str) -> None:
  logging.getLogger("jaxmem").info("%s %s", op, message)
