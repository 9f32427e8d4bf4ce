"""What the same model would cost with full attention in the place of its memories.

A token of the twin costs more the more tokens stand before it. It is timed with caches
that already hold n tokens, for a few growing n, and a line is fitted:

    seconds of a token = a + b n,    of a text of N tokens = a N + b N^2 / 2

Only the times are real: the twin has random weights and a cache of zeros, as many of
them as it would hold, and it is never asked what it says.
"""

import dataclasses
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import mixers
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry, Pattern, edit_blocks, entry, walk

# Tokens that stand before a timed call, in calls.
CONTEXTS = (0, 1, 2, 4)
REPEATS = 2


class Twin(NamedTuple):
  """Timings of the twin, and the line through them.

  Attributes:
    pattern: of the twin.
    contexts: tokens in the cache, at the middle of the timed call.
    seconds: of a token at each.
    base: a, seconds of a token with nothing before it.
    slope: b, seconds that each token before it adds.
    cache_bytes: a token adds to the cache of a row.
  """

  pattern: Pattern
  contexts: tuple[int, ...]
  seconds: tuple[float, ...]
  base: float
  slope: float
  cache_bytes: int

  def project(self, tokens: int) -> float:
    """Seconds for a document of so many tokens, read by one row."""
    return self.base * tokens + self.slope * tokens**2 / 2


def of_pattern(pattern: Pattern, d_model: int, capacity: int) -> Pattern:
  """Full attention for every memory, with the heads of the attention that is there.

  Where there is none: 4 heads, or 1 where 4 do not divide `d_model`.
  """
  shared = ("num_heads", "num_kv_heads", "head_dim")
  is_attention = lambda item: mixers.get(item.name).Mixer.family == "attention"
  firsts = [next(walk((item,))) for item in pattern]
  own = [dict(item.options) for item in firsts if is_attention(item)]
  heads = own[0] if own else {"num_heads": 1 if d_model % 4 else 4}

  def one(item: Entry) -> Entry:
    first = next(walk((item,)))
    given = dict(first.options) if is_attention(first) else heads
    kept = {key: given[key] for key in shared if key in given}
    return entry("attention", capacity=capacity, **kept)

  return edit_blocks(pattern, one)


def measure(config: LMConfig, length: int) -> Twin:
  """Times the twin of a model, one row of `length` tokens a call.

  Takes a compilation a context, and the times of a few calls.
  """
  contexts, seconds = [], []
  for calls in CONTEXTS:
    before = calls * length
    pattern = of_pattern(config.pattern, config.d_model, before + length)
    model = LM(dataclasses.replace(config, pattern=pattern))
    contexts.append(before + length // 2)
    seconds.append(_time(model, before, length) / length)
  slope, base = np.polyfit(contexts, seconds, 1)
  one = jax.tree.leaves(jax.eval_shape(lambda: model.init_state(1)))
  size = sum(a.size * a.dtype.itemsize for a in one if a.ndim > 2)
  return Twin(
    pattern,
    tuple(contexts),
    tuple(seconds),
    float(base),
    float(slope),
    size // (before + length),
  )


def _time(model: LM, before: int, length: int) -> float:
  """Seconds of a call of `length` tokens behind `before` others, the best of a few."""
  tokens = jnp.zeros((1, length), jnp.int32)
  reset = jnp.zeros((1, length), bool)
  params = jax.jit(model.init)(jax.random.key(0), tokens[:, :1], model.init_state(1))
  losses = jax.jit(
    lambda *args: model.apply(params, *args, method="losses"), donate_argnums=2
  )
  best = float("inf")
  for _ in range(REPEATS + 1):  # the first compiles
    full = jax.tree.map(
      lambda a: jnp.full_like(a, before if a.dtype == jnp.int32 else 0),
      model.init_state(1),
    )
    jax.block_until_ready(full)
    begin = time.perf_counter()
    jax.block_until_ready(losses(tokens, tokens, full, reset))
    best = min(best, time.perf_counter() - begin)
  return best
