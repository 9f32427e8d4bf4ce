"""Full causal attention that forgets: a decay in the logits.

Source: Lin et al. 2025, arXiv:2503.02130, eq. 4 to 7 (FoX).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops import attention
from jaxmem.ops.attention_core import cache, scores
from jaxmem.ops.attention_core.masks import Causal, Pair, Window
from jaxmem.ops.attention_core.scores import Params, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.timeline import WHOLE, Timeline
from jaxmem.ops.recurrence import scan

TRANSITION = None
REVERSE_ONLY = ("parallel",)
LONGEST = attention.LONGEST

# A log decay that no softmax comes back from; a gate of 0 would have one of -inf.
LEAST = -1e3
# Sums of log decays are kept as a multiple of this and a small rest: exact up to 2^24
# multiples, so for a quarter of a million tokens that forget everything.
UNIT = 16.0

Inputs_t = tuple[
  Float[Array, "B A K"],
  Float[Array, "B H K"],
  Float[Array, "B H V"],
  Float[Array, "B A"],
]
Inputs = tuple[
  Float[Array, "B T A K"],
  Float[Array, "B T H K"],
  Float[Array, "B T H V"],
  Float[Array, "B T A"],
]


class Total(NamedTuple):
  """A sum of log decays, UNIT * coarse + fine: differences are exact at any length."""

  coarse: Float[Array, "..."]  # a whole number
  fine: Float[Array, "..."]


class State(NamedTuple):
  """k, v: [B, W, H, .] in the dtype of the keys; coarse, fine: float32 [B, W, A].

  The document's token p stands in slot p: its key, its value, and the sum of the log
  decays of the tokens 0 .. p. `position`, int32 [B], counts the document's tokens.
  """

  k: Array
  v: Array
  coarse: Array
  fine: Array
  position: Array


def init_state(
  batch_size: int,
  capacity: int,
  num_heads: int,
  num_kv_heads: int,
  key_dim: int,
  value_dim: int,
  dtype=jnp.float32,
) -> State:
  """The empty memory, for documents of up to `capacity` tokens."""
  kv = attention.init_state(
    batch_size, capacity, num_kv_heads, key_dim, value_dim, dtype
  )
  sums = (batch_size, capacity, num_heads)
  zeros = jnp.zeros(sums, scan.state_dtype(jnp.dtype(dtype)))
  return State(kv.k, kv.v, zeros, zeros, kv.position)


@dataclasses.dataclass(frozen=True)
class Forgetting:
  """The sum of the log decays after a key, up to a query's own."""

  def __call__(self, params: Any, query: Total, key: Total, pair: Pair) -> Array:
    heads = pair.head.shape[:2]

    def by_head(a):  # [B, C, A] -> [B, H, N, C]
      return jnp.moveaxis(a, 1, 2).reshape(a.shape[0], *heads, -1)

    query, key = jax.tree.map(by_head, (query, key))
    # coarse and fine parts apart: two long sums are alike, and their rests are exact
    apart = jax.tree.map(lambda q, k: q[..., None] - k[..., None, :], query, key)
    return UNIT * apart.coarse + apart.fine  # [B, H, N, C, C]


FORGETTING = Scores(rotary=None, bias=Forgetting())


def add(a: Total, b: Total) -> Total:
  """a + b, its fine part at most UNIT / 2."""
  fine = a.fine + b.fine
  units = jnp.round(jax.lax.stop_gradient(fine) / UNIT)
  return Total(a.coarse + b.coarse + units, fine - UNIT * units)


def _one(g: Float[Array, "..."]) -> Total:
  """A single log decay, in the dtype of states."""
  fine = jnp.maximum(g.astype(scan.state_dtype(g.dtype)), LEAST)
  zero = jnp.zeros_like(fine)
  return add(Total(zero, zero), Total(zero, fine))


def sums(g: Float[Array, "B T A"], before: Total, reset: Reset | None) -> Total:
  """Each token's sum of the log decays of its document, its own included.

  Args:
    g: log decays, <= 0.
    before: the document's sum before the call, [B, A].
    reset: True on the first token of a document.
  """
  total = _one(g)
  first = add(before, jax.tree.map(lambda a: a[:, 0], total))
  begins = _begins(g, reset)
  total = jax.tree.map(
    lambda a, b: a.at[:, 0].set(jnp.where(begins[:, :1], a[:, 0], b)), total, first
  )
  return jax.lax.associative_scan(_then, (begins, total), axis=1)[1]


def _begins(g: Array, reset: Reset | None) -> Array:
  return jnp.zeros(g.shape[:2], bool) if reset is None else reset


Stretch = tuple[Array, Total]  # whether a document began in it, and the sum since


def _then(a: Stretch, b: Stretch) -> Stretch:
  """Two stretches, one after the other."""
  (began_a, sum_a), (began_b, sum_b) = a, b
  both = add(sum_a, sum_b)
  either = jax.tree.map(lambda x, y: jnp.where(began_b[..., None], x, y), sum_b, both)
  return began_a | began_b, either


def _end(g: Array, reset: Reset | None) -> Stretch:
  """All tokens as one stretch."""
  zero = jnp.zeros((g.shape[0], g.shape[2]), scan.state_dtype(g.dtype))
  total = sums(g, Total(zero, zero), reset)
  return _begins(g, reset).any(1), jax.tree.map(lambda a: a[:, -1], total)


def _last(state: State) -> Total:
  """The sum up to the newest token kept; zero in the empty memory."""
  newest = jnp.maximum(state.position - 1, 0)[:, None] % state.fine.shape[1]
  return Total(*(cache.take(a, newest)[:, 0] for a in (state.coarse, state.fine)))


def step(
  params: Params, inputs_t: Inputs_t, state: State, *, score: Scores = FORGETTING
) -> tuple[Float[Array, "B A V"], State]:
  """One token, the p-th of its document.

      y_p = sum_j softmax_j(K^-0.5 q_p . k_j + sum_{j < l <= p} g_l) v_j,   0 <= j <= p

  NaN where the cache is full, as in `attention.step`. Cost: 2 (K + V) capacity
  multiplies a head.

  Args:
    params: see `window.step`.
    inputs_t: q, k, v as in `window.step`; g, the log of every query head's forget gate,
      <= 0; below -1000 it is taken for that.
    state: what is remembered.
    score: what the softmax is of, with the bias `Forgetting`.

  Returns:
    y_p in the dtype of v, and the state.
  """
  p, capacity = state.position, state.k.shape[1]
  q, k, v, g = attention.zero_beyond(inputs_t, p, capacity)

  def rotate(x):  # [B, H, K]
    return score.rotate(x[:, None], p[:, None])[:, 0]

  total = add(_last(state), _one(g))  # [B, A]
  ring = cache.write(tuple(state[:4]), p, (rotate(k), v, *total))
  keys, values, *key_sums = ring
  age = cache.ages(p, capacity)  # [B, W]
  pair = scores.pair(p, p[:, None] - age, q.shape[1], k.shape[1])
  query_sum = jax.tree.map(lambda a: a[:, None], total)  # [B, 1, A]
  extras = query_sum, Total(*key_sums)
  s = score.one(params, rotate(q), keys, pair, age <= p[:, None], *extras)
  y = score.read(params, s, values)
  return attention.nan_beyond(y, p, capacity), State(*ring, p + 1)


def parallel(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  score: Scores = FORGETTING,
  block_size: int = 128,
  timeline: Timeline = WHOLE,
) -> tuple[Float[Array, "B T A V"], State]:
  """All tokens at once, in blocks of queries and keys.

  Equal to `step` scanned over time. Cost: as `attention.parallel`, and log T passes
  over the gates.

  Args:
    params: see `step`.
    inputs: q, k, v, g as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    score: see `step`.
    block_size: tokens of a block, C >= 1; T need not be a multiple.
    timeline: where the call's tokens lie.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if block_size < 1.
  """
  queries = timeline.call(state.position, inputs[0].shape[1], reset)
  position, capacity = queries.in_document, state.k.shape[1]  # [B, T]
  q, k, v, g = attention.zero_beyond(inputs, position, capacity)
  no_border = jnp.zeros(state.position.shape, bool)
  initial = no_border, _last(state)
  # the gates of the tokens here are summed for other devices only if there are any
  _, before = timeline.before(lambda: _end(g, reset), initial, _then)
  total = sums(g, before, reset)  # [B, T, A]
  kept = score.rotate(k, position), v, total
  ring = state.k, state.v, Total(state.coarse, state.fine)
  spec = AttentionSpec(Causal() & Window(capacity), score, block_size)
  rotated = score.rotate(q, position)
  y, lse = timeline.attend(
    spec, params, rotated, kept, queries, ring, state.position, total
  )
  (keys, values, kept_sums), count = timeline.after(ring, kept, queries)
  y = attention.nan_beyond(
    score.apply_attention_sink(params, y, lse), position, capacity
  )
  return y, State(keys, values, *kept_sums, count)


AXES = State(
  *[("batch", "slots", "heads", None)] * 2,
  *[("batch", "slots", "heads")] * 2,
  ("batch",),
)
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "parallel": parallel})


def example(key: Array, batch_size: int, length: int):
  """A small random case, every row with tokens kept: (params, inputs, state)."""
  params, inputs, kept = attention.example(key, batch_size, length)
  heads = inputs[0].shape[2]
  draw = jax.random.fold_in(key, 3)
  g = jax.nn.log_sigmoid(2 + jax.random.normal(draw, (batch_size, length, heads)))
  slot = scan.indices(kept.k.shape[1])
  filled = (slot < kept.position[:, None])[..., None]
  sums = -0.2 * (1.0 + slot.astype(g.dtype))[:, None]
  fine = jnp.broadcast_to(jnp.where(filled, sums, 0), (*filled.shape[:2], heads))
  coarse = jnp.zeros_like(fine)
  return params, (*inputs, g), State(kept.k, kept.v, coarse, fine, kept.position)


def stress(key: Array, batch_size: int, length: int):
  """Scores of several hundred; every fifth gate forgets e^-1000, others nothing."""
  params, (q, k, v), _ = attention.stress(key, batch_size, length)
  _, (*_, g), state = example(key, batch_size, length)
  gates = jnp.where(scan.indices(length)[:, None] % 5 == 4, -1000.0, 0.0)
  return params, (q, k, v, jnp.broadcast_to(gates, g.shape).astype(g.dtype)), state
