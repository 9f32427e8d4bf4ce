"""Which tokens can see which: of a mask by its rule, of a memory by its inputs."""

import ast
import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem.core.errors import UserError, shown
from jaxmem.core.ranges import INT32
from jaxmem.core.registry import nearest
from jaxmem.ops.attention_core import masks
from jaxmem.ops.attention_core.tokens import Tokens, visited

MASKS = {
  name.lower(): cls
  for name, cls in inspect.getmembers(masks, inspect.isclass)
  if issubclass(cls, masks.Mask) and cls not in (masks.Mask, masks.Both, masks.Either)
}


def documents(lengths: list[int]) -> jax.Array:
  """Returns the reset flags [1, T] of documents of these lengths in a row."""
  starts = np.cumsum([0, *lengths[:-1]])  # [documents]
  return jnp.zeros((1, sum(lengths)), bool).at[0, starts].set(True)


def seen(mask: masks.Mask, reset: jax.Array, heads: int = 1) -> np.ndarray:
  """Returns [T, T], whether the query sees the key in any head."""
  return np.asarray(masks.dense(mask, reset, heads)[0].any(0))  # [1, A, T, T]


def blocks(mask: masks.Mask, reset: jax.Array, block_size: int) -> np.ndarray:
  """Returns [T/C, T/C], the blocks that the engine computes; the others are skipped."""
  document = jnp.cumsum(reset, axis=1)  # [1, T]
  position = jnp.arange(reset.shape[1], dtype=jnp.int32)[None]
  start = jax.lax.cummax(jnp.where(reset, position, 0), axis=1)  # of its document
  # [1, T], the length of the document of each token
  length = (document[0, :, None] == document[0]).sum(-1, dtype=jnp.int32)[None]
  tokens = Tokens(position, start, length)
  return np.asarray(visited(mask, tokens, tokens, block_size))


def influence(mixer: nn.Module, reset: jax.Array, seed: int = 0) -> np.ndarray:
  """Returns [T, T], how far output t moves when input s is drawn anew.

  It is 0 where the output cannot move, and also where it moves by less than float32 can
  tell: see `sees`.

  Cost: one call on T + 1 rows.

  Args:
    mixer: a mixer, unbound; its parameters are those of a new model.
    reset: True on the first token of a document, [1, T].
    seed: the seed of parameters and inputs.
  """
  length = reset.shape[1]
  draw, init, redraw = jax.random.split(jax.random.key(seed), 3)
  x, anew = (jax.random.normal(k, (1, length, mixer.d_model)) for k in (draw, redraw))
  params = jax.jit(mixer.init)(init, x, mixer.init_state(1))
  # row s has another input at token s alone; the last row is unchanged
  changed = jnp.where(jnp.eye(length, dtype=bool)[..., None], anew, x)
  rows = jnp.concatenate([changed, x])  # [T + 1, T, D]
  resets = jnp.broadcast_to(reset, rows.shape[:2])
  y, _ = jax.jit(mixer.apply)(params, rows, mixer.init_state(length + 1), resets)
  return np.asarray(jnp.linalg.norm(y[:-1] - y[-1], axis=-1)).T  # [s, t] -> [t, s]


def sees(mixer: nn.Module, reset: jax.Array) -> np.ndarray:
  """Returns [T, T], whether output t depends on input s, however little.

  Args:
    mixer: a mixer, unbound.
    reset: True on the first token of a document, [1, T].
  """
  if hasattr(mixer, "mask"):
    return seen(mixer.mask, reset, mixer.num_heads)
  if hasattr(mixer, "sees"):  # a wrapper
    return mixer.sees(sees, reset)
  return _carries(mixer, reset)


def _carries(mixer: nn.Module, reset: jax.Array) -> np.ndarray:
  """Returns [T, T], whether NaN in input s reaches output t, token by token.

  NaN times an underflowed 0 is still NaN, so it arrives wherever there is a path.
  """
  length = reset.shape[1]
  x = jnp.ones((length, length, mixer.d_model))
  params = jax.jit(mixer.init)(jax.random.key(0), x[:1], mixer.init_state(1))
  x = jnp.where(jnp.eye(length, dtype=bool)[..., None], jnp.nan, x)  # row s: NaN at s
  resets = jnp.broadcast_to(reset, (length, length))

  def token(state, inputs):
    x, reset = (a[:, None] for a in inputs)  # [T, D] -> [T, 1, D]
    y, state = mixer.apply(params, x, state, reset)
    return state, jnp.isnan(y).any((1, 2))

  # one token a call: a chunked form would multiply NaN into positions that it masks
  @jax.jit
  def outputs(x, resets):
    return jax.lax.scan(token, mixer.init_state(length), (x, resets))[1]

  return np.asarray(outputs(x.swapaxes(0, 1), resets.T))


def layers_needed(sees: np.ndarray, layers: int) -> np.ndarray:
  """Returns [T, T], through how many such layers a key is reached; 0 is never."""
  needed, reached = np.zeros(sees.shape, int), np.eye(len(sees), dtype=bool)  # [T, T]
  for layer in range(1, layers + 1):
    # a product of floats goes through BLAS, one of booleans does not
    reached = (sees.astype(np.float32) @ reached.astype(np.float32)) > 0
    needed[(needed == 0) & reached] = layer
  return needed


def parse(text: str) -> masks.Mask:
  """Returns the mask of an expression: `causal & (window(size=8) | first(2))`.

  Raises:
    UserError: if it cannot be read, or names no mask; the message names the nearest.
  """
  try:
    return _mask(ast.parse(text, mode="eval").body)
  except UserError:
    raise
  except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else error
    raise UserError(
      f"cannot read the mask {shown(text)}: {why}; an example: "
      "'causal & (window(8) | first(2))'"
    ) from error


def _mask(node: ast.AST) -> masks.Mask:
  match node:
    case ast.BinOp(left, ast.BitAnd(), right):
      return _mask(left) & _mask(right)
    case ast.BinOp(left, ast.BitOr(), right):
      return _mask(left) | _mask(right)
    case ast.Name(name):
      return _named(name)()
    case ast.Call(ast.Name(name), values, keywords):
      cls = _named(name)
      names = [field.name for field in dataclasses.fields(cls)]
      # checked here, since the constructor's own message would not show the form
      if len(values) > len(names) or not {k.arg for k in keywords} <= set(names):
        raise ValueError(f"{fields(name.lower())} is how it is written")
      args = [*zip(names, values, strict=False), *((k.arg, k.value) for k in keywords)]
      return cls(**{key: _number(key, value) for key, value in args})
  raise ValueError("only masks, their numbers, '&', '|' and brackets")


def _number(key: str, node: ast.AST) -> int | tuple[int, ...]:
  """Returns the integer argument of a mask, or several of them.

  Raises:
    UserError: if it is no integer of 0 .. 2**31 - 1.
  """
  try:
    value = ast.literal_eval(node)
  except ValueError:
    value = ast.unparse(node)
  if key == "table":  # of a block table: nested tuples of True and False
    return value
  numbers = value if isinstance(value, tuple) else (value,)
  if not all(type(number) is int and 0 <= number <= INT32 for number in numbers):
    raise UserError(
      f"{key} of the mask is {shown(value)}: a whole number in 0 .. {INT32} expected"
    )
  return value


def _named(name: str) -> type[masks.Mask]:
  if name.lower() not in MASKS:
    raise UserError(f"no mask {name!r}: {nearest(name, list(MASKS))}")
  return MASKS[name.lower()]


def fields(name: str) -> str:
  """Returns how a mask is written, such as `window(size, ahead)`."""
  names = [f.name for f in dataclasses.fields(MASKS[name])]
  return f"{name}({', '.join(names)})" if names else name
