"""Who can see what: of a mask by its rule, of a memory by changing its inputs."""

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
  """The reset flags [1, T] of documents of these lengths, one after the other."""
  starts = np.cumsum([0, *lengths[:-1]])
  return jnp.zeros((1, sum(lengths)), bool).at[0, starts].set(True)


def seen(mask: masks.Mask, reset: jax.Array, heads: int = 1) -> np.ndarray:
  """[T, T], whether the query sees the key in any head."""
  return np.asarray(masks.dense(mask, reset, heads)[0].any(0))


def blocks(mask: masks.Mask, reset: jax.Array, block_size: int) -> np.ndarray:
  """[T/C, T/C], the blocks that the engine computes; the others cost nothing."""
  document = jnp.cumsum(reset, axis=1)
  place = jnp.arange(reset.shape[1], dtype=jnp.int32)[None]
  start = jax.lax.cummax(jnp.where(reset, place, 0), axis=1)
  length = (document[0, :, None] == document[0]).sum(-1, dtype=jnp.int32)[None]
  tokens = Tokens(place, start, length)
  return np.asarray(visited(mask, tokens, tokens, block_size))


def influence(mixer: nn.Module, reset: jax.Array, seed: int = 0) -> np.ndarray:
  """[T, T], how far output t moves when input s is drawn anew.

  0 where it cannot, and also where it moves by less than float32 can tell: see `sees`.

  Cost: one call on T + 1 rows.

  Args:
    mixer: a mixer, unbound; its parameters are those of a new model.
    reset: True on the first token of a document, [1, T].
    seed: of parameters and inputs.
  """
  length = reset.shape[1]
  draw, init, other = jax.random.split(jax.random.key(seed), 3)
  x, anew = (jax.random.normal(k, (1, length, mixer.d_model)) for k in (draw, other))
  params = jax.jit(mixer.init)(init, x, mixer.init_state(1))
  changed = jnp.where(jnp.eye(length, dtype=bool)[..., None], anew, x)
  rows = jnp.concatenate([changed, x])
  resets = jnp.broadcast_to(reset, rows.shape[:2])
  y, _ = jax.jit(mixer.apply)(params, rows, mixer.init_state(length + 1), resets)
  return np.asarray(jnp.linalg.norm(y[:-1] - y[-1], axis=-1)).T


def sees(mixer: nn.Module, reset: jax.Array) -> np.ndarray:
  """[T, T], whether output t is made from input s, however little it moves with it.

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
  """[T, T], where NaN in input s arrives at output t, token by token.

  NaN times an underflowed 0 is still NaN, so it arrives wherever there is a way.
  """
  length = reset.shape[1]
  x = jnp.ones((length, length, mixer.d_model))
  params = jax.jit(mixer.init)(jax.random.key(0), x[:1], mixer.init_state(1))
  x = jnp.where(jnp.eye(length, dtype=bool)[..., None], jnp.nan, x)
  resets = jnp.broadcast_to(reset, (length, length))

  def token(state, inputs):
    x, reset = (a[:, None] for a in inputs)
    y, state = mixer.apply(params, x, state, reset)
    return state, jnp.isnan(y).any((1, 2))

  walk = lambda x, resets: jax.lax.scan(token, mixer.init_state(length), (x, resets))
  return np.asarray(jax.jit(walk)(x.swapaxes(0, 1), resets.T)[1])


def layers_needed(sees: np.ndarray, layers: int) -> np.ndarray:
  """[T, T], through how many layers of such sight a key is reached; 0 is never."""
  needed, reached = np.zeros(sees.shape, int), np.eye(len(sees), dtype=bool)
  for layer in range(1, layers + 1):
    reached = (sees.astype(np.float32) @ reached.astype(np.float32)) > 0
    needed[(needed == 0) & reached] = layer
  return needed


def parse(text: str) -> masks.Mask:
  """A mask from an expression: `causal & (window(size=8) | first(2))`.

  Raises:
    UserError: if it cannot be read, or names no mask; names the nearest.
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
      if len(values) > len(names) or not {k.arg for k in keywords} <= set(names):
        raise ValueError(f"{fields(name.lower())} is how it is written")
      given = [*zip(names, values, strict=False), *((k.arg, k.value) for k in keywords)]
      return cls(**{key: _number(key, value) for key, value in given})
  raise ValueError("only masks, their numbers, '&', '|' and brackets")


def _number(key: str, node: ast.AST) -> int | tuple[int, ...]:
  """The whole number that a mask is given, or several.

  Raises:
    UserError: if it is none, or one that no device has.
  """
  try:
    value = ast.literal_eval(node)
  except ValueError:
    value = ast.unparse(node)
  if key == "table":  # of a block table: nested tuples of True and False
    return value
  each = value if isinstance(value, tuple) else (value,)
  if not all(type(number) is int and 0 <= number <= INT32 for number in each):
    raise UserError(
      f"{key} of the mask is {shown(value)}: a whole number in 0 .. {INT32} expected"
    )
  return value


def _named(name: str) -> type[masks.Mask]:
  if name.lower() not in MASKS:
    raise UserError(f"no mask {name!r}: {nearest(name, list(MASKS))}")
  return MASKS[name.lower()]


def fields(name: str) -> str:
  """How a mask is written, such as `window(size, ahead)`."""
  names = [f.name for f in dataclasses.fields(MASKS[name])]
  return f"{name}({', '.join(names)})" if names else name
