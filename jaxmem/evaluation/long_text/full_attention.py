"""What the same model would cost with full attention in place of its memories.

A token of this baseline costs more the more tokens precede it. It is timed with caches
that already hold n tokens, for a few growing n, and a line is fitted:

    seconds of a token = a + b n,    of a text of N tokens = a N + b N^2 / 2

Only the times are real: the baseline has random weights and a cache of zeros, as many
of them as it would hold, and its outputs are not used.
"""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import mixers
from jaxmem.models import pattern as patterns
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry, Pattern, edit_blocks, entry, walk

# How many tokens precede a timed call, in multiples of its length.
CONTEXTS = (0, 1, 2, 4)
REPEATS = 2
# Options of attention that the baseline takes over.
_HEADS = ("num_heads", "num_kv_heads", "head_dim")


class FullAttention(NamedTuple):
  """Timings of the baseline, and the line through them.

  Attributes:
    pattern: the pattern of the baseline.
    contexts: tokens in the cache, at the middle of the timed call.
    seconds: the time of a token at each context.
    base: a, the seconds of a token with an empty cache.
    slope: b, the seconds that each token in the cache adds.
    cache_bytes: the bytes that a token adds to the cache of a row.
  """

  pattern: Pattern
  contexts: tuple[int, ...]
  seconds: tuple[float, ...]
  base: float
  slope: float
  cache_bytes: int

  def project(self, tokens: int) -> float:
    """Returns the seconds of a document of so many tokens, read by one row."""
    # the integral of a + b n over the tokens of the text
    return self.base * tokens + self.slope * tokens**2 / 2


def of_pattern(pattern: Pattern, d_model: int, capacity: int) -> Pattern:
  """Replaces every memory by full attention.

  It has the heads of the attention that it replaces, else of the first attention of the
  pattern; where there is none, 4 heads, or 1 where 4 do not divide `d_model`.
  """

  def is_attention(item: Entry) -> bool:
    return mixers.get(item.name).Mixer.family == "attention"

  firsts = [next(walk((item,))) for item in pattern]
  options = [dict(item.options) for item in firsts if is_attention(item)]
  default = options[0] if options else {"num_heads": 1 if d_model % 4 else 4}

  def full(item: Entry) -> Entry:
    first = next(walk((item,)))
    heads = dict(first.options) if is_attention(first) else default
    heads = {key: heads[key] for key in _HEADS if key in heads}
    return entry("attention", capacity=capacity, **heads)

  return edit_blocks(pattern, full)


def measure(config: LMConfig, length: int) -> FullAttention:
  """Times the baseline of a model, one row of `length` tokens a call.

  Cost: a compilation a context, and a few calls.
  """
  contexts, seconds = [], []
  for calls in CONTEXTS:
    cached = calls * length
    pattern = of_pattern(config.pattern, config.d_model, cached + length)
    model = LM(dataclasses.replace(config, pattern=pattern))
    contexts.append(cached + length // 2)  # the mean over the tokens of the call
    seconds.append(_time(model, cached, length) / length)
  slope, base = np.polyfit(contexts, seconds, 1)  # highest power first
  one_row = jax.tree.leaves(jax.eval_shape(lambda: model.init_state(1)))
  # keys and values have at least three axes; counters and positions do not grow
  size = sum(a.size * a.dtype.itemsize for a in one_row if a.ndim > 2)
  return FullAttention(
    pattern,
    tuple(contexts),
    tuple(seconds),
    float(base),
    float(slope),
    size // (cached + length),
  )


def numbers(measured: FullAttention, tokens: int, seconds: float) -> dict[str, Any]:
  """Returns the measured cost of the baseline, and its projection for a text.

  Args:
    measured: the timings of the baseline.
    tokens: the length of the text, as one document.
    seconds: the time that the model itself took.
  """
  projected = measured.project(tokens)
  return {
    "pattern": patterns.show(measured.pattern),
    "contexts": list(measured.contexts),
    "microseconds_per_token": [1e6 * s for s in measured.seconds],
    "base_microseconds": 1e6 * measured.base,
    "slope_microseconds": 1e6 * measured.slope,
    "tokens": tokens,
    "seconds": projected,
    "times_slower": projected / max(seconds, 1e-9),
    "cache_mib": measured.cache_bytes * tokens / 1024**2,
  }


def lines(numbers: dict[str, Any]) -> list[str]:
  """Returns what `jaxmem eval --twin` prints of `numbers`."""
  pairs = zip(numbers["contexts"], numbers["microseconds_per_token"], strict=True)
  points = ", ".join(f"{micro:,.0f} after {n:,}" for n, micro in pairs)
  return [
    f"full-attention baseline {numbers['pattern'].split(',')[0]} ...: microseconds a "
    f"token {points}; fitted {numbers['base_microseconds']:,.1f} + "
    f"{numbers['slope_microseconds']:.5f} n",
    f"projected for one document of {numbers['tokens']:,} tokens: "
    f"{numbers['seconds'] / 60:,.1f} min and {numbers['cache_mib']:,.0f} MiB of keys "
    f"and values, {numbers['times_slower']:,.1f} times as long as this reading",
  ]


def _time(model: LM, cached: int, length: int) -> float:
  """Returns the seconds of a call of `length` tokens after `cached` others."""
  tokens = jnp.zeros((1, length), jnp.int32)
  reset = jnp.zeros((1, length), bool)
  params = jax.jit(model.init)(jax.random.key(0), tokens[:, :1], model.init_state(1))

  @functools.partial(jax.jit, donate_argnames="state")  # a copy would count as time
  def losses(tokens, targets, state, reset):
    return model.apply(params, tokens, targets, state, reset, method="losses")

  best = float("inf")
  for _ in range(REPEATS + 1):  # the first compiles
    # integers count tokens: the cache says that it is filled, its zeros are not read
    full = jax.tree.map(
      lambda a: jnp.full_like(a, cached if a.dtype == jnp.int32 else 0),
      model.init_state(1),
    )
    jax.block_until_ready(full)
    begin = time.perf_counter()
    jax.block_until_ready(losses(tokens, tokens, full, reset))
    best = min(best, time.perf_counter() - begin)  # other processes only add time
  return best
