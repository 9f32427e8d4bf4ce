"""From a step to a form: lifting over time, forgetting, padding, cutting in chunks."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.typing import Form, Reset, State


def state_dtype(dtype: jnp.dtype) -> jnp.dtype:
  """Returns the dtype of recurrent state under activations of `dtype`.

  It is float32, or float64 under float64: sums over thousands of tokens, and decays
  near 1, have no room in bfloat16.
  """
  return jnp.dtype(jnp.float64 if jnp.finfo(dtype).bits == 64 else jnp.float32)


def indices(length: int) -> Int[Array, " I"]:
  """Returns 0 .. length - 1, int32 whatever the precision: positions are int32."""
  return jnp.arange(length, dtype=jnp.int32)


def where_row(rows: Bool[Array, " B"], yes: State, no: State) -> State:
  """Picks the state `yes` or the state `no` for every row of the batch.

  Args:
    rows: which rows take `yes`.
    yes: a state, [B, ...] in every leaf, or the number 0 for the empty memory.
    no: a state.

  Returns:
    A state shaped and typed as `no`.
  """

  def pick(a, b):
    mask = rows.reshape(rows.shape + (1,) * (b.ndim - 1))  # [B, 1, ...]
    return jnp.where(mask, jnp.asarray(a, b.dtype), b)

  if isinstance(yes, int):
    return jax.tree.map(lambda b: pick(yes, b), no)
  return jax.tree.map(pick, yes, no)


def forget(state: State, reset: Bool[Array, " B"]) -> State:
  """Empties the state in the rows where `reset` is True: zeros are the empty memory."""
  return where_row(reset, 0, state)


def recurrent(step: Callable) -> Form:
  """Makes the form that every op has: `step` scanned over time, after forgetting.

  Cost: T sequential steps; its gradient keeps every state.

  Args:
    step: `step(params, inputs_t, state, **options) -> (y_t, state)`.

  Returns:
    A form, `form(params, inputs, state, reset=None, **options) -> (y, state)`.
  """

  def form(params, inputs, state, reset: Reset | None = None, **options):
    def body(state, xs):
      inputs_t, reset_t = xs
      if reset_t is not None:
        state = forget(state, reset_t)
      y_t, state = step(params, inputs_t, state, **options)
      return state, y_t

    xs = jax.tree.map(_swap_time, (tuple(inputs), reset))  # [T, B, ...]
    inputs_by_token, _ = xs
    if inputs_by_token[0].shape[0] == 1:  # one token: decoding needs no loop
      state, y = body(state, jax.tree.map(lambda a: a[0], xs))
      return jax.tree.map(lambda a: a[:, None], y), state
    state, y = jax.lax.scan(body, state, xs)
    return jax.tree.map(_swap_time, y), state

  return form


def _swap_time(a: Array) -> Array:
  """[B, T, ...] -> [T, B, ...], and back."""
  return a.swapaxes(0, 1)


def of_any_rows(forms: dict[str, Form]) -> dict[str, Form]:
  """Makes the forms of an op accept a batch without rows.

  Its outputs are empty arrays, whose shapes are found without a run: axes of size 0
  cannot be cut into heads or chunks.

  Args:
    forms: name -> form.

  Returns:
    The same forms, which raise ValueError for 0 tokens.
  """
  return {name: _of_any_rows(form) for name, form in forms.items()}


def _of_any_rows(form: Form) -> Form:
  # `wraps` keeps the signature: `Op.keywords` reads the options of a form from it
  @functools.wraps(form)
  def sized(params, inputs, state, reset: Reset | None = None, **options):
    rows, length = inputs[0].shape[:2]
    check_length(length)
    if rows:
      return form(params, inputs, state, reset, **options)

    def one_row(a):
      return jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype)

    inputs, state, reset = jax.tree.map(one_row, (tuple(inputs), state, reset))
    run = functools.partial(form, **options)
    shapes = jax.eval_shape(run, params, inputs, state, reset)
    return jax.tree.map(lambda a: jnp.zeros((0, *a.shape[1:]), a.dtype), shapes)

  return sized


def check_length(length: int) -> None:
  """Raises ValueError if a call has no token."""
  if not length:
    raise ValueError("a call with 0 tokens: give at least one")


def per_channel(w: Float[Array, " D"], x: Float[Array, "... D"]) -> Array:
  """Broadcasts `w`, one number a channel, to the shape and dtype of `x`.

  The broadcast is written out for the sake of its gradient, a sum over rows and tokens:
  for one row ([1, T, D]) XLA on CPU sums that of an implicit broadcast fifty times
  slower.

  Args:
    w: a bias, a gain, a decay.
    x: what it is used with, elementwise.
  """
  return jax.lax.broadcast_in_dim(w.astype(x.dtype), x.shape, (x.ndim - 1,))


def documents(reset: Reset) -> Int[Array, "B T"]:
  """Numbers each token's document within the call; 0 continues what came before."""
  return jnp.cumsum(reset.astype(jnp.int32), axis=1)


def pad_time(x: Array, multiple: int, axis: int = 1) -> Array:
  """Appends zeros to an axis, up to the next multiple.

  Args:
    x: an array.
    multiple: of which the length of the axis becomes one.
    axis: the axis, time unless another is named.
  """
  missing = -x.shape[axis] % multiple
  if not missing:
    return x
  widths = [(0, 0)] * x.ndim
  widths[axis] = (0, missing)
  return jnp.pad(x, widths)


def to_chunks(x: Array, chunk_size: int) -> Array:
  """Cuts time into chunks: [B, T, ...] -> [T/C, B, C, ...], zeros behind the last."""
  x = pad_time(x, chunk_size)
  x = x.reshape(x.shape[0], x.shape[1] // chunk_size, chunk_size, *x.shape[2:])
  return x.swapaxes(0, 1)


def from_chunks(x: Float[Array, "..."], length: int) -> Array:
  """Joins chunks: [T/C, B, C, ...] -> [B, T, ...], the inverse of `to_chunks`."""
  x = x.swapaxes(0, 1)
  return x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:])[:, :length]


def by_chunks(
  chunk_step: Callable,
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None,
  chunk_size: int,
) -> tuple[Array, State]:
  """Walks over time chunk by chunk, heads before time inside a chunk.

  Cost: T/C sequential steps; the reverse pass computes a chunk again and keeps one
  state a chunk.

  Args:
    chunk_step: `(state, (inputs [B, H, C, ...], reset [B, C])) -> (state, y)`.
    inputs: [B, T, H, ...] each; zeros are put behind the last token.
    state: before the first token; taken to its dtype under the first of the inputs.
    reset: True on the first token of a document.
    chunk_size: C >= 1.

  Returns:
    y [B, T, H, ...], and the state after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  check_chunk_size(chunk_size)
  length, dtype = inputs[0].shape[1], state_dtype(inputs[0].dtype)
  size = min(chunk_size, length)
  # heads before time, so that products of a chunk are batched over leading axes
  xs = tuple(jnp.moveaxis(to_chunks(a, size), 3, 2) for a in inputs)  # [T/C, B, H, C]
  if reset is not None:
    reset = to_chunks(reset, size)  # [T/C, B, C]
  # the scan itself prevents that the second computation is merged with the first
  body = jax.checkpoint(chunk_step, prevent_cse=False)
  # an empty memory made inside jit is a constant, and XLA on CPU (jax 0.10 to 0.12) may
  # read a product with a constant from memory that nobody wrote: NaN
  state = jax.lax.optimization_barrier(state)
  state = jax.tree.map(lambda a: a.astype(dtype), state)
  state, y = jax.lax.scan(body, state, (xs, reset))
  return from_chunks(jnp.moveaxis(y, 2, 3), length), state


def check_chunk_size(chunk_size: int) -> None:
  """Raises ValueError unless a chunk has at least one token."""
  if chunk_size < 1:
    raise ValueError(f"chunk_size is {chunk_size}: it must be at least 1")
