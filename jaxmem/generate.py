"""Text from a model: the prompt by the chunk forms, then one token after the other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxmem.models.lm import LM
from jaxmem.typing import State


@functools.partial(jax.jit, static_argnames=("model", "max_tokens", "vocab_size"))
def sample(
  model: LM,
  params: Any,
  prompt: Int[Array, "B T"],
  state: State,
  key: Array,
  *,
  max_tokens: int,
  vocab_size: int,
  temperature: float | Array = 1.0,
) -> tuple[Int[Array, "B N"], State]:
  """Draws tokens after a prompt, at constant memory however long.

  Args:
    model: the language model.
    params: its parameters.
    prompt: what is read first.
    state: memory before the prompt; `model.init_state(B)` for none.
    key: random.
    max_tokens: N, how many are drawn.
    vocab_size: ids at or above it, the padding of the table, are never drawn.
    temperature: > 0; below 1 sharpens.

  Returns:
    The tokens drawn, and the memory after all but the last of them.
  """

  def draw(logits, key):
    known = jnp.arange(logits.shape[-1]) < vocab_size
    return jax.random.categorical(key, jnp.where(known, logits, -1e30) / temperature)

  def body(carry, key):
    token, state = carry
    logits, state = model.apply(params, token[:, None], state)
    token = draw(logits[:, -1], key)
    return (token, state), token

  first, *rest = jax.random.split(key, max_tokens)
  logits, state = model.apply(params, prompt, state)
  token = draw(logits[:, -1], first)
  if not rest:
    return token[:, None], state
  (_, state), tokens = jax.lax.scan(body, (token, state), jnp.stack(rest))
  return jnp.concatenate([token[:, None], tokens.T], axis=1), state
