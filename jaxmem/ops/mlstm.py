"""mLSTM: a matrix with exponential input gates, kept in range by a running maximum.

Source: Beck et al. 2024, arXiv:2405.04517, eq. 19 to 27 and appendix A.3; the chunk
form from Beck et al. 2025, arXiv:2503.14376, section 3.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import decay, scan
from jaxmem.ops.recurrence.precision import products

TRANSITION = "matrix"
REVERSE_ONLY = ()

NOTHING = -1e30  # the log of an input gate that is shut

Inputs_t = tuple[
  Float[Array, "B H K"],
  Float[Array, "B H K"],
  Float[Array, "B H V"],
  Float[Array, "B H"],
  Float[Array, "B H"],
]
Inputs = tuple[
  Float[Array, "B T H K"],
  Float[Array, "B T H K"],
  Float[Array, "B T H V"],
  Float[Array, "B T H"],
  Float[Array, "B T H"],
]


class State(NamedTuple):
  """The memory matrix of every head and its normaliser, which are e^m c and e^m n.

  No output depends on m, so that the empty memory may have m = 0.

  Attributes:
    c: [B, H, K, V], float32 (float64 under float64 inputs).
    n: [B, H, K], likewise.
    m: [B, H], likewise: the log of the scale, a running maximum.
  """

  c: Array
  n: Array
  m: Array


def init_state(
  batch_size: int, num_heads: int, key_dim: int, value_dim: int, dtype=jnp.float32
) -> State:
  """Returns the empty memory, all zeros.

  Args:
    batch_size: B, rows.
    num_heads: H, heads.
    key_dim: K, key features of a head.
    value_dim: V, value features of a head.
    dtype: of the state.
  """
  shape = (batch_size, num_heads)
  return State(
    jnp.zeros((*shape, key_dim, value_dim), dtype),
    jnp.zeros((*shape, key_dim), dtype),
    jnp.zeros(shape, dtype),
  )


def step(
  params: tuple[()], inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B H V"], State]:
  """Computes one token.

      m_t = max(f_t + m_{t-1}, i_t)
      c_t = e^{f_t + m_{t-1} - m_t} c_{t-1} + e^{i_t - m_t} k_t v_t^T,  n_t: v = 1
      y_t = c_t^T q_t / max(|n_t^T q_t|, e^{-m_t})

  Cost: 3 K V multiplies a head.

  Args:
    params: none.
    inputs_t: q (scale it by K^-0.5 before); k; v; i, the log of the input gate, any
      number; and f, the log of the forget gate, <= 0.
    state: what is remembered.

  Returns:
    y_t in the dtype of v, and the state.
  """
  q, k, v, i, f = (a.astype(state.c.dtype) for a in inputs_t)
  m = jnp.maximum(f + state.m, i)  # [B, H]
  # both exponents are <= 0, so nothing overflows whatever the input gate is
  keep, write = jnp.exp(f + state.m - m)[..., None], jnp.exp(i - m)[..., None]
  c = keep[..., None] * state.c + (write * k)[..., None] * v[..., None, :]  # [B,H,K,V]
  n = keep * state.n + write * k  # [B, H, K]
  read, weight = jnp.einsum("bhk,bhkv->bhv", q, c), jnp.einsum("bhk,bhk->bh", q, n)
  return _normalized(read, weight, m).astype(inputs_t[2].dtype), State(c, n, m)


def _normalized(
  read: Float[Array, "*B V"], weight: Float[Array, "*B"], m: Float[Array, "*B"]
) -> Array:
  """read / max(|weight|, e^-m), scaled so that no exponential overflows."""
  # numerator and denominator times e^min(m, 0): then e^-m becomes 1 where m < 0
  scale = jnp.exp(jnp.minimum(m, 0))
  least = jnp.exp(-jnp.clip(m, 0, 80))  # not 0: a key of norm 0 has weight 0
  return read * (scale / jnp.maximum(jnp.abs(weight) * scale, least))[..., None]


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """Computes all tokens chunk by chunk, by matrix products.

  With F the sum of f over the chunk's tokens of the same document so far, m' the m of
  the chunk's state (0 for later documents) and j <= t in one document:

      m_t = max(F_t + m', max_j (F_t - F_j + i_j))
      P_tj = e^{F_t - F_j + i_j - m_t} (q_t . k_j),    r_t = e^{F_t + m' - m_t}
      y_t = (r_t c^T q_t + sum_j P_tj v_j) / max(|r_t n^T q_t + sum_j P_tj|, e^{-m_t})

  Equal to `step` scanned over time, m too: a running maximum of sums may be taken in
  any order. T/C sequential steps, each C^2 (K + V) + 2 C K V multiplies a head; the
  chunk is computed again in the reverse pass, which keeps one state a chunk. Sums and
  gates are in the state's dtype; matrix products take operands in the dtype of v.

  Args:
    params: none.
    inputs: q, k, v, i, f as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens per chunk, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  scan.check_chunk_size(chunk_size)
  q, k, v, i, f = inputs
  # zeros would be input gates of e^0: padding must write nothing and leave m alone
  padding = -q.shape[1] % min(chunk_size, q.shape[1])
  i = jnp.pad(i, ((0, 0), (0, padding), (0, 0)), constant_values=NOTHING)
  return scan.by_chunks(_chunk_step, (q, k, v, i, f), state, reset, chunk_size)


def _chunk_step(state, xs):
  """One chunk: q, k [B, H, C, K], v [B, H, C, V], i, f [B, H, C], reset [B, C]."""
  (q, k, v, i, f), reset = xs
  dtype = state.c.dtype
  product = products(v.dtype, dtype)  # narrow operands, wide sums
  d = decay.within(f.astype(dtype)[..., None], reset)
  total, old = d.write[..., 0], d.document == 0  # [B, H, C], [B, 1, C]
  # the weights of each token's write and of the chunk's state where a token reads, as
  # logs: their maximum must be known before any of them is exponentiated
  log = total[..., :, None] - total[..., None, :] + i.astype(dtype)[..., None, :]
  log = jnp.where(decay.seen(d.document), log, -jnp.inf)  # [B, H, C, C]
  before = total + jnp.where(old, state.m[..., None], 0)
  m = jnp.maximum(before, log.max(-1))  # [B, H, C]

  # no y depends on m, so no gradient need go through the maximum
  fixed = jax.lax.stop_gradient(m)
  weights = product("bhik,bhjk->bhij", q, k) * jnp.exp(log - fixed[..., None])
  left = jnp.exp(jnp.where(old, before - fixed, -jnp.inf))  # [B, H, C]
  read = product("bhij,bhjv->bhiv", weights, v)  # [B, H, C, V]
  read = read + left[..., None] * product("bhik,bhkv->bhiv", q, state.c)
  weight = weights.sum(-1) + left * jnp.einsum(
    "bhik,bhk->bhi", q.astype(dtype), state.n
  )
  y = _normalized(read, weight, fixed)

  # here m keeps its gradient, as in `step`: it is part of the state, and may be read
  last = m[..., -1]  # [B, H]
  kept = jnp.exp(jnp.where(old[..., -1], before[..., -1] - last, -jnp.inf))
  k = k.astype(dtype) * jnp.exp(log[..., -1, :] - last[..., None])[..., None]
  c = kept[..., None, None] * state.c + product("bhik,bhiv->bhkv", k, v)
  n = kept[..., None] * state.n + k.sum(-2)  # [B, H, K]
  return State(c, n, last), y.astype(v.dtype)


AXES = State(
  ("batch", "heads", "key", "value"), ("batch", "heads", "key"), ("batch", "heads")
)
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


class Stretch(NamedTuple):
  """What a stretch of tokens does to any memory: S -> e^f S + state.

  Attributes:
    state: what the stretch writes into an empty memory.
    f: [B, H], the log of what is left of the memory before it.
  """

  state: State
  f: Array


def initial(state: State) -> Stretch:
  """Returns a stretch that ends in `state` whatever came before it.

  Args:
    state: a memory.
  """
  return Stretch(state, jnp.full_like(state.m, NOTHING))


given = initial  # its name before 0.2


def summary(
  last: Callable, inputs: Inputs, state: State, reset: Reset | None
) -> Stretch:
  """Returns the stretch of `inputs`, by one run of a form.

  Args:
    last: memory before the first token -> memory after the last.
    inputs: see `step`.
    state: any memory of these sizes.
    reset: True on the first token of a document.
  """
  f = inputs[4].astype(state.m.dtype).sum(1)  # [B, H]
  if reset is not None:  # nothing from before the stretch outlives a reset
    f = jnp.where(reset.any(1, keepdims=True), NOTHING, f)
  zeros = jnp.zeros_like
  # m = 0, the empty memory's, would be a maximum: here there is none yet
  empty = State(zeros(state.c), zeros(state.n), jnp.full_like(state.m, NOTHING))
  return Stretch(last(empty), f)


def compose(first: Stretch, then: Stretch) -> Stretch:
  """Returns the stretch of two stretches, one after the other.

  Args:
    first: the earlier one.
    then: the later one.
  """
  before, after = first.state, then.state
  m = jnp.maximum(then.f + before.m, after.m)  # [B, H]
  keep, add = jnp.exp(then.f + before.m - m), jnp.exp(after.m - m)
  n = keep[..., None] * before.n + add[..., None] * after.n
  keep, add = keep[..., None, None], add[..., None, None]
  state = State(keep * before.c + add * after.c, n, m)
  # bounded below: what is forgotten twice is not more than forgotten
  return Stretch(state, jnp.maximum(first.f + then.f, NOTHING))


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  heads, key_dim, value_dim = 2, 4, 3
  q, k, v, i, f, *s = jax.random.split(key, 8)
  shape = (batch_size, length, heads)
  inputs = (
    jax.random.normal(q, (*shape, key_dim)) * key_dim**-0.5,
    jax.random.normal(k, (*shape, key_dim)),
    jax.random.normal(v, (*shape, value_dim)),
    2 * jax.random.normal(i, shape),
    -jax.nn.softplus(jax.random.normal(f, shape)),
  )
  empty = init_state(batch_size, heads, key_dim, value_dim)
  c, n, m = (jax.random.normal(key, a.shape) for key, a in zip(s, empty, strict=True))
  return (), inputs, State(c, n, m)


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  One key repeats; head 0 keeps all for two thirds of the tokens, and the last third
  decays by e^-1000 a chunk. In row 0 the input gates are e^-50 but for a token of e^50,
  and a third of the keys has norm 0.
  """
  _, (q, k, v, i, f), state = example(key, batch_size, length)
  third = length // 3
  k = jnp.broadcast_to(k[:, :1], k.shape).at[0, third : 2 * third].set(0.0)
  i = i.at[0].set(-50.0).at[0, third + 1].set(50.0)
  f = f.at[:, :, 0].set(0.0).at[:, 2 * third :].set(-1000.0 / max(third, 1))
  return (), (q, k, v, i, f), state
