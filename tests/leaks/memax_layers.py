"""The layers of memax: memoroids and cells in Equinox, told by start flags."""

import importlib

import jax
import jax.numpy as jnp

from .layer import D_MODEL, Layer, of_call

KEY = 4
# name -> (module under memax.equinox, keywords beyond hidden_size and recurrent_size)
LAYERS = {
  "LRU": ("semigroups.lru", {"hidden_size": D_MODEL, "recurrent_size": D_MODEL}),
  "S6": ("semigroups.s6", {"hidden_size": D_MODEL, "recurrent_size": D_MODEL}),
  "FART": ("semigroups.fart", {"hidden_size": D_MODEL, "recurrent_size": KEY}),
  "FWP": ("semigroups.fwp", {"hidden_size": D_MODEL, "recurrent_size": KEY}),
  "FFM": (
    "semigroups.ffm",
    {"hidden_size": D_MODEL, "context_size": 3, "trace_size": KEY},
  ),
  "DeltaNet": ("semigroups.delta", {"hidden_size": D_MODEL, "recurrent_size": KEY}),
  "GDN": ("semigroups.gdn", {"hidden_size": D_MODEL, "recurrent_size": KEY}),
  "Stack": ("semigroups.stack", {"recurrent_size": D_MODEL, "window_size": 4}),
  "Attention": (
    "semigroups.attn",
    {"recurrent_size": D_MODEL, "positional_embedding": "rope", "window_size": 6},
  ),
  "GRU": ("set_actions.gru", {"recurrent_size": D_MODEL}),
  "LSTM": ("set_actions.lstm", {"recurrent_size": D_MODEL}),
}


def _layer(name: str) -> Layer:
  import equinox

  where, sizes = LAYERS[name]
  maker = getattr(importlib.import_module(f"memax.equinox.{where}"), name)
  module = maker(**sizes, key=jax.random.key(0))
  params, rest = equinox.partition(module, equinox.is_inexact_array)
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    a + 0.2 * jax.random.normal(k, a.shape, a.dtype)
    for a, k in zip(leaves, keys, strict=True)
  ]
  start = module.initialize_carry()

  def call(params, x, state, reset):
    built = equinox.combine(jax.tree.unflatten(tree, params), rest)

    def row(x, state, reset):
      carry = jax.tree.map(
        _onto, start, jax.tree.unflatten(jax.tree.structure(start), state)
      )
      states, y = built(carry, (x, reset))
      last = built.latest_recurrent_state(states)
      return y, tuple(jax.tree.leaves(jax.tree.map(_since, start, last)))

    return jax.vmap(row)(x, state, reset)

  def empty(batch_size):
    zeros = jax.tree.map(lambda a: _since(jnp.asarray(a), jnp.asarray(a)), start)
    return tuple(jnp.stack([a] * batch_size) for a in jax.tree.leaves(zeros))

  case = of_call(f"memax {name}", moved, call, empty)
  return Layer(
    name=f"memax {name}", package="memax", path="JAX, Equinox", told="start flags",
    claims=True, packed=case, carried=case,
  )  # fmt: skip


def _since(start, state):
  """A carry as its difference from the first: zeros are the empty memory."""
  if state.dtype == bool:
    return state ^ start
  difference = state - start
  if jnp.iscomplexobj(difference):  # the laws compare real numbers
    return jnp.stack([difference.real, difference.imag], -1)
  return difference


def _onto(start, difference):
  if start.dtype == bool:
    return start ^ difference
  if jnp.iscomplexobj(start):
    difference = jax.lax.complex(difference[..., 0], difference[..., 1])
  return start + difference


def layers() -> list[Layer]:
  """Returns the rows of memax."""
  return [_layer(name) for name in LAYERS]
