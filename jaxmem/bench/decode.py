"""Whole models that write greedily: after a context, or with the prompt; a long cache.

Every case has one row and is one compiled call.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmem.bench import draws
from jaxmem.bench.case import FORWARD, Case
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.ops import attention
from jaxmem.ops.recurrence import scan
from jaxmem.parallel.mesh import unboxed

# The models have 11 M parameters, as the peers of the same names have.
VOCAB, WIDTH, CONTEXT, NEW = 4096, 320, 1024, 64
HYBRID = "rglru:num_heads=5,rglru:num_heads=5,rglru:num_heads=5,window:num_heads=5"
MAMBA2 = "mamba2:num_heads=10:state_dim=64"
# The sizes of a cache that is read for every token: tokens, key heads, channels.
CACHE = {"length": 65_536, "heads": 4, "dim": 64}


def _model(names: str, d_ff: int, layers: int, quick: bool) -> LM:
  parsed = pattern.parse(names)
  size = dict(d_model=40, d_ff=32) if quick else dict(d_model=WIDTH, d_ff=d_ff)
  groups = 1 if quick else layers // len(parsed)
  return LM(LMConfig(VOCAB, pattern=parsed, num_groups=groups, **size))


def _write(model: LM, params, token, state) -> jax.Array:
  """Writes the NEW likeliest tokens, one after the other."""

  def step(carry, _):
    token, state = carry
    logits, state = model.apply(params, token, state)  # [1, 1, V]
    token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return (token, state), token

  return jax.lax.scan(step, (token, state), length=NEW)[1]


def _draw(model: LM, quick: bool) -> Callable[[], tuple]:
  """Returns a draw of parameters, a prompt, and the state after it."""

  def draw():
    prompt = jax.random.randint(
      jax.random.key(1), (1, 64 if quick else CONTEXT), 0, VOCAB
    )
    empty = model.init_state(1)
    params = unboxed(jax.jit(model.init)(jax.random.key(0), prompt, empty))
    _, state = jax.jit(model.apply)(params, prompt, empty)
    return params, (prompt,), state

  return draw


def _cache_case(quick: bool) -> Case:
  """Returns NEW steps of attention on a cache that is full up to these tokens."""
  size = CACHE | ({"length": 256} if quick else {})
  length, heads, dim = size.values()

  def draw():
    params, inputs, state = draws.attention(1, length, heads, dim)
    new = tuple(a[:, :NEW] for a in inputs)  # [1, NEW, H, K]
    is_read = (scan.indices(length) < length - NEW)[:, None, None]  # [T, 1, 1]
    k, v = (a * is_read for a in inputs[1:])  # [1, T, H, K]
    return params, new, attention.State(k, v, state.position + length - NEW)

  return Case(
    op="decode",
    title=f"full attention, {NEW} steps on a cache of {length}",
    tokens=NEW,
    draw=draw,
    ours=lambda params, inputs, state: attention.FORMS["recurrent"](
      params, inputs, state
    )[0],
    directions=(FORWARD,),
  )


def table(quick: bool) -> dict[str, Case]:
  """Returns the cases by name.

  Args:
    quick: tiny sizes, which try the plumbing and measure nothing.
  """
  hybrid, mamba2 = _model(HYBRID, 864, 8, quick), _model(MAMBA2, 576, 8, quick)

  def after_context(params, inputs, state):
    return _write(hybrid, params, inputs[0][:, -1:], state)

  def with_prompt(params, inputs, state):
    logits, state = mamba2.apply(params, inputs[0], mamba2.init_state(1))
    token = jnp.argmax(logits[:, -1:], axis=-1).astype(jnp.int32)
    return _write(mamba2, params, token, state)

  case = functools.partial(Case, op="decode", tokens=NEW, directions=(FORWARD,))
  return {
    "decode_cache": _cache_case(quick),
    "decode": case(
      title=f"decoding, {NEW} tokens after {CONTEXT}",
      draw=_draw(hybrid, quick),
      ours=after_context,
    ),
    "decode_mamba2": case(
      title=f"Mamba-2, a prompt of {CONTEXT} and {NEW} tokens",
      draw=_draw(mamba2, quick),
      ours=with_prompt,
    ),
  }
