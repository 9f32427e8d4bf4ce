"""What the laws are checked on: an op, a mixer, a block, a model, in one shape."""

import dataclasses
import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import ops
from jaxmem.core.op import Op
from jaxmem.core.typing import Form
from jaxmem.testing import layers

# The laws are checked on T = 24 with chunks and blocks of 8.
LENGTH = 24
SMALL = {"chunk_size": 8, "block_size": 8}
# Small sizes for the mixers that have such fields, with what is special about them.
_FIELDS = {
  "num_heads": 2,
  "num_kv_heads": 1,
  "window_size": 6,
  "num_sinks": 2,
  "capacity": 64,
  "segment_length": 4,
  "num_global": 2,
  "dilation": (1, 2),
  "sparse_block": 2,
  "num_random": 1,
  "memory_size": 5,
}


def example_of(name: str) -> dict[str, Any]:
  """Returns options that make the mixer `name` a small case at d_model 8.

  Args:
    name: of the mixer.
  """
  from jaxmem.models.pattern import options  # an op is checked without Flax

  values = {**_FIELDS, **SMALL}
  return {key: values[key] for key in options(name) if key in values}


@dataclasses.dataclass(frozen=True)
class Case:
  """Something with the contract `y, state = f(params, inputs, state, reset)`.

  Attributes:
    name: what it is called in messages.
    forms: form name -> form, jitted, with small chunks; the first is the reference.
    example: `(key, batch_size, length) -> (params, inputs, state)`, state not empty.
    stress: the same with the hardest legal inputs, or None.
    init_state: `batch_size -> state`, or None where only the example knows the sizes.
    as_released: form name -> form with the chunks that users get.
    reverse_only: forms that refuse forward mode.
    longest: tokens of a document at most, where the state holds whole ones; else 0.
    causal: whether a token is read by later ones alone; a memory that reads both ways
      carries nothing, so nothing of it can be split or saved.
    carries: whether a call goes on from the state of the one before. A layer of others
      that returns none begins each call anew: law 3 asks nothing of it.
  """

  name: str
  forms: dict[str, Form]
  example: Callable
  stress: Callable | None
  init_state: Callable[[int], Any] | None
  as_released: dict[str, Form]
  reverse_only: tuple[str, ...]
  longest: int = 0
  causal: bool = True
  carries: bool = True


def of_op(op: Op) -> Case:
  """Returns the case of an op: its forms, its example and its stress inputs.

  Args:
    op: the record of the op.
  """

  def small(name, form):
    # several chunks in few tokens, or borders of chunks would not be seen
    sizes = {k: v for k, v in SMALL.items() if op.takes(name, k)}
    return jax.jit(functools.partial(form, **sizes))

  return Case(
    name=op.name,
    forms={name: small(name, form) for name, form in op.forms},
    example=op.example,
    stress=op.stress,
    init_state=None,
    as_released=dict(op.forms),
    reverse_only=op.reverse_only,
    longest=op.longest,
    causal=op.step is not None,
  )


def of_module(module: Any, inputs: Callable | None = None) -> Case:
  """Returns the case of a Flax module: a mixer, a block, a stack, a model.

  Args:
    module: has `init_state(batch_size)` and is called as `(x, state, reset)`. Where it
      has a field `form` the recurrent one is the reference, or the dense one where it
      says `causal = False`.
    inputs: `(key, batch_size, length) -> x`; None draws activations [B, T, d_model].

  Raises:
    LayerError: if the module is no layer; says what it lacks.
  """
  layers.check_module(module)
  if inputs is None:
    layers.check_width(module)
  fields = {f.name for f in dataclasses.fields(module)}
  small = module.clone(**{k: v for k, v in SMALL.items() if k in fields})
  causal = getattr(module, "causal", True)
  reference = "recurrent" if causal else "dense"
  modules = {"call": small}
  if "form" in fields:  # the module's form last: `example` runs it, and it is traced
    modules = {reference: small.clone(form=reference), small.form: small}

  def activations(key, batch_size, length):
    return jax.random.normal(key, (batch_size, length, module.d_model))

  draw = inputs or activations

  def form(module):
    return jax.jit(
      lambda params, inputs, state, reset=None: module.apply(
        params, *inputs, state, reset
      )
    )

  forms = {name: form(m) for name, m in modules.items()}

  def example(key, batch_size, length):
    first, later, init, noise = jax.random.split(key, 4)
    x = draw(first, batch_size, length)

    def fresh(state):
      return small.apply(small.init(init, x, state), x, state)

    layers.check_call(small, fresh, batch_size, length)
    empty = small.init_state(batch_size)
    params = _unboxed(jax.jit(small.init)(init, x, empty))
    params = _noisy(noise, params)  # zeros at the start must not hide a leak
    reset = jnp.zeros((batch_size, length), bool)
    _, state = list(forms.values())[-1](params, (x,), empty, reset)
    if hasattr(small, "remember"):  # cross-attention, whose state is an encoder's
      state = _encoder_state(small, params, x)
    return params, (draw(later, batch_size, length),), state

  return Case(
    name=type(module).__name__,
    forms=forms,
    example=example,
    stress=None,
    init_state=module.init_state,
    as_released={},
    reverse_only=tuple(name for name in modules if name != reference),
    causal=causal,
  )


def _encoder_state(module, params, x):
  """What a module remembers of an encoder's outputs, fewer in every other row."""
  shape = x.shape[0], module.memory_size, module.d_encoded or module.d_model
  encoded = jax.random.normal(jax.random.key(0), shape)  # [B, M, D]
  valid = module.memory_size - jnp.arange(len(x), dtype=jnp.int32) % 2
  return module.apply(params, encoded, valid, method="remember")


def _unboxed(params):
  """Plain arrays, without the metadata that Flax keeps logical axis names in."""
  from flax.core import meta

  return meta.unbox(params)


@jax.jit
def _noisy(key, params):
  """Adds noise of 0.1 to every float; one draw, as every shape is a compilation."""
  leaves, tree = jax.tree.flatten(params)
  if not leaves:
    return params
  ends = np.cumsum([p.size for p in leaves])
  noise = jnp.split(0.1 * jax.random.normal(key, (ends[-1],)), ends[:-1])
  noisy = [
    p + n.reshape(p.shape).astype(p.dtype)
    if jnp.issubdtype(p.dtype, jnp.floating)
    else p
    for p, n in zip(leaves, noise, strict=True)
  ]
  return jax.tree.unflatten(tree, noisy)


def of(thing: Any, inputs: Callable | None = None) -> Case:
  """Returns the case of an op file, an op's record or a module.

  Args:
    thing: what is under test; a case is returned as it is.
    inputs: see `of_module`.
  """
  if isinstance(thing, Case):
    return thing
  if isinstance(thing, ModuleType):
    layers.check_op(thing)
  if isinstance(thing, ModuleType | Op):
    return of_op(ops.record(thing))
  return of_module(thing, inputs)
