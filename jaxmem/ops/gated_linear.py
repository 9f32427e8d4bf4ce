"""Linear attention with a gate: a matrix that decays and adds, never corrects.

One equation for many memories: no decay (linear attention), a fixed one (RetNet), one a
head (Mamba-2), one a channel (GLA, HGRN2, RWKV-6 with its bonus).

Source: Yang et al. 2023, arXiv:2312.06635, eq. 3 and section 4; Dao and Gu 2024,
arXiv:2405.21060, section 6 (the chunk form); Peng et al. 2024, arXiv:2404.05892, eq. 18
(the bonus).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import decay, scan
from jaxmem.ops.recurrence.precision import products

TRANSITION = "diagonal"  # every row of S decays by itself
VALUE = 2  # v, without which nothing is written
REVERSE_ONLY = ()

Params = tuple[()] | tuple[Float[Array, "H K"]]
Inputs_t = tuple[
  Float[Array, "B G K"],
  Float[Array, "B G K"],
  Float[Array, "B H V"],
  Float[Array, "B H *E"],
]
Inputs = tuple[
  Float[Array, "B T G K"],
  Float[Array, "B T G K"],
  Float[Array, "B T H V"],
  Float[Array, "B T H *E"],
]


class State(NamedTuple):
  """The memory matrix of every head.

  Attributes:
    s: [B, H, K, V], float32 (float64 under float64 inputs), read as s^T q.
  """

  s: Array


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
  return State(jnp.zeros((batch_size, num_heads, key_dim, value_dim), dtype))


def step(
  params: Params, inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B H V"], State]:
  """Computes one token.

      S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T,    y_t = S_t^T q_t

  With a bonus u the query reads the memory before this token, and the token itself with
  the weight u:

      y_t = (S_{t-1} + diag(u) k_t v_t^T)^T q_t

  Cost: 3 K V multiplies a head.

  Args:
    params: none, or the bonus u.
    inputs_t: q and k of G groups, each shared by H/G consecutive heads; v; and g, the
      log decay <= 0 (0 keeps all), [B, H] or, one a key channel, [B, H, K].
    state: memory before the token.

  Returns:
    y_t in the dtype of v, and the memory after the token.
  """
  dtype = state.s.dtype  # a decay of 0.999 is 1 in bfloat16
  q, k, v, g = (a.astype(dtype) for a in inputs_t)
  heads = v.shape[1]
  q, k = _to_heads(q, heads, axis=1), _to_heads(k, heads, axis=1)  # [B, H, K]
  g = g.reshape(*v.shape[:2], -1, 1)  # [B, H, 1, 1] or [B, H, K, 1]
  write = k[..., None] * v[..., None, :]  # [B, H, K, V]
  s = jnp.exp(g) * state.s + write
  # with a bonus the query reads the state before the token, and the token by itself
  read = state.s + params[0].astype(dtype)[..., None] * write if params else s
  y = jnp.einsum("bhk,bhkv->bhv", q, read)  # [B, H, V]
  return y.astype(inputs_t[2].dtype), State(s)


def _to_heads(group: Array, heads: int, axis: int) -> Array:
  """Repeats every group for its heads, which are neighbours: G -> H along `axis`."""
  return jnp.repeat(group, heads // group.shape[axis], axis=axis)


def chunk(
  params: Params,
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """Computes all tokens chunk by chunk, by matrix products.

  With G the sum of g over the chunk's tokens of the same document so far, and
  P_ij = sum_k q_ik k_jk exp(G_ik - G_jk) for j <= i in one document (else 0):

      y = (q exp(G)) S + P v,    S' = exp(G_C) S + (k exp(G_C - G))^T v

  Equal to `step` scanned over time. T/C sequential steps, each C^2 (K + V) + 2 C K V
  multiplies a head (C^2 K only a group where decays are one a head); the chunk is
  computed again in the reverse pass, which keeps one state a chunk. Sums and decays are
  in the state's dtype; matrix products take operands in the dtype of v.

  Args:
    params: none, or the bonus u.
    inputs: q, k, v, g as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens per chunk, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  q, k, v, g = inputs
  batch_size, length, heads, _ = v.shape
  if g.ndim == 4:  # decays by channel scale q and k: heads cannot share them
    q, k = _to_heads(q, heads, axis=2), _to_heads(k, heads, axis=2)  # [B, T, H, K]
  groups = q.shape[2]

  def by_group(a):
    """[B, T, H, ...] -> [B, T, G, N, ...], N heads a group: q k^T is taken once."""
    return a.reshape(*a.shape[:2], groups, -1, *a.shape[3:])

  g = g.astype(scan.state_dtype(v.dtype)).reshape(*v.shape[:3], -1)  # [B, T, H, E]
  g = by_group(g)
  u = params[0].reshape(groups, -1, q.shape[-1]) if params else None  # [G, N, K]
  s = state.s.reshape(batch_size, groups, -1, *state.s.shape[2:])  # [B, G, N, K, V]
  # padding is zeros: g = 0 keeps everything, and k = 0 writes nothing
  y, new = scan.by_chunks(
    functools.partial(_chunk_step, u),
    (q, k, by_group(v), g),
    # K before N: one product of [C, K] with [K, N V] then serves all heads of a group
    State(jnp.moveaxis(s, 2, 3)),  # [B, G, K, N, V]
    reset,
    chunk_size,
  )
  s = jnp.moveaxis(new.s, 3, 2).reshape(state.s.shape)  # [B, H, K, V]
  return y.reshape(batch_size, length, heads, -1), State(s)


def _chunk_step(u, state, xs):
  """One chunk: s [B, G, K, N, V], u [G, N, K] or None, v [B, G, C, N, V]."""
  (q, k, v, g), reset = xs  # q, k [B, G, C, K], g [B, G, C, N, E]
  s, dtype = state.s, state.s.dtype
  product = products(v.dtype, dtype)  # narrow operands, wide sums
  d = decay.within(jnp.moveaxis(g, 2, 3), reset)  # [B, G, N, C, E]
  read = d if u is None else decay.before(d)  # a bonus: q reads S_{t-1}
  weights = decay.scores(read, q[:, :, None], k[:, :, None], product)  # [B,G,N,C,C]
  y = product("bgnij,bgjnv->bginv", weights, v)  # [B, G, C, N, V]
  if u is not None:
    bonus = q.astype(dtype) * k.astype(dtype)  # [B, G, C, K]: a token reads itself
    bonus = jnp.einsum("bgik,gnk->bgin", bonus, u.astype(dtype))
    y = y + bonus[..., None] * v.astype(dtype)
  # [B, G, C, N, 1] where decays are one a head, [B, G, C, 1, K] where one a channel
  start, end = (
    jnp.moveaxis(a, 2, 3) for a in (decay.from_start(read), decay.to_end(d))
  )
  if g.shape[-1] == 1:
    # a number a head commutes with the sum over K: q and k stay shared by the group
    y = y + start * product("bgik,bgknv->bginv", q, s)
    added = product("bgik,bginv->bgknv", k, end * v.astype(dtype))
  else:
    y = y + product("bgik,bgknv->bginv", start[:, :, :, 0] * q.astype(dtype), s)
    added = product("bgik,bginv->bgknv", end[:, :, :, 0] * k.astype(dtype), v)
  s = jnp.moveaxis(decay.whole(d), 2, 3) * s + added  # [B, G, K, N, V]
  return State(s), y.astype(v.dtype)


AXES = State(("batch", "heads", "key", "value"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def example(
  key: Array,
  batch_size: int,
  length: int,
  *,
  groups: int = 2,
  per_channel: bool = True,
  bonus: bool = False,
):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  heads, key_dim, value_dim = 2, 4, 3
  q, k, v, g, u, s = jax.random.split(key, 6)
  shape = (batch_size, length)
  rates = (heads, key_dim) if per_channel else (heads,)
  inputs = (
    jax.random.normal(q, (*shape, groups, key_dim)) * key_dim**-0.5,
    jax.random.normal(k, (*shape, groups, key_dim)),
    jax.random.normal(v, (*shape, heads, value_dim)),
    -jax.nn.softplus(jax.random.normal(g, (*shape, *rates))),
  )
  params = (jax.random.normal(u, (heads, key_dim)),) if bonus else ()
  state = State(jax.random.normal(s, (batch_size, heads, key_dim, value_dim)))
  return params, inputs, state


def stress(key: Array, batch_size: int, length: int, **options):
  """Returns the hardest legal inputs: (params, inputs, state).

  One key repeats at norm 100, and a third of row 0 has keys of norm 0. For two thirds
  of the tokens head 0 keeps all and head 1 forgets all now and then; the last third
  decays by e^-1000 a chunk.
  """
  params, (q, k, v, g), state = example(key, batch_size, length, **options)
  same = jnp.broadcast_to(k[:, :1], k.shape)
  k = 100 * same / jnp.linalg.norm(same, axis=-1, keepdims=True)
  third = length // 3
  k = k.at[0, third : 2 * third].set(0.0)
  g = g.at[:, :, 0].set(0.0).at[:, ::7, 1].set(-100.0)
  # differences of such sums must not be taken where they are positive: e^1000 overflows
  g = g.at[:, 2 * third :].set(-1000.0 / max(third, 1))
  return params, (q, k, v, g), state
