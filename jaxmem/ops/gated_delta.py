"""The gated delta rule: a matrix that forgets by a gate and corrects what it holds.

The gate is one number a head (Gated DeltaNet; 0 is DeltaNet) or one a key channel (Kimi
Delta Attention).

Source: Yang, Kautz and Hatamizadeh 2024, arXiv:2412.06464, eq. 10; by channel Kimi Team
2025, arXiv:2510.26692, section 3; the chunk form from Yang et al. 2024,
arXiv:2406.06484, section 3 (WY representation).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.typing import Reset
from jaxmem.ops.recurrence import decay, scan
from jaxmem.ops.recurrence.precision import products
from jaxmem.ops.recurrence.triangular import unit_lower_inverse

TRANSITION = "matrix"
VALUE = 2  # v, without which nothing is written
REVERSE_ONLY = ()

Inputs_t = tuple[
  Float[Array, "B H K"],
  Float[Array, "B H K"],
  Float[Array, "B H V"],
  Float[Array, "B H *E"],
  Float[Array, "B H"],
]
Inputs = tuple[
  Float[Array, "B T H K"],
  Float[Array, "B T H K"],
  Float[Array, "B T H V"],
  Float[Array, "B T H *E"],
  Float[Array, "B T H"],
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
  params: tuple[()], inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B H V"], State]:
  """Computes one token.

      S' = exp(g_t) S_{t-1},  S_t = S' + k_t beta_t (v_t - S'^T k_t)^T,  y_t = S_t^T q_t

  which is S_t = (I - beta_t k_t k_t^T) Diag(alpha_t) S_{t-1} + beta_t k_t v_t^T.
  Cost: 3 K V multiplies a head.

  Args:
    params: none.
    inputs_t: q (scale it by K^-0.5 before); k (of norm <= 1, or the memory can grow);
      v; g = log alpha <= 0 (0 keeps all), [B, H] or, one a key channel, [B, H, K]; and
      the write strength beta in [0, 2].
    state: memory before the token.

  Returns:
    y_t in the dtype of v, and the memory after the token.
  """
  dtype = state.s.dtype  # a decay of 0.999 is 1 in bfloat16
  q, k, v, g, beta = (a.astype(dtype) for a in inputs_t)
  # one decay a head, or one a channel: [B, H, 1, 1] or [B, H, K, 1]
  s = jnp.exp(g).reshape(*k.shape[:2], -1, 1) * state.s  # [B, H, K, V]
  error = v - jnp.einsum("bhk,bhkv->bhv", k, s)  # [B, H, V]
  s = s + k[..., None] * (beta[..., None] * error)[..., None, :]  # [B, H, K, V]
  y = jnp.einsum("bhk,bhkv->bhv", q, s)  # [B, H, V]
  return y.astype(inputs_t[2].dtype), State(s)


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """Computes all tokens chunk by chunk, by matrix products.

  With G the sum of g over the chunk's tokens of the same document so far, and
  (q, k)_ij = sum_c q_ic exp(G_ic - G_jc) k_jc for j <= i in one document (else 0):

      X = (I + tril(beta (k, k), -1))^{-1}
      E = X beta (v - (exp(G) k) S)
      y = (exp(G) q) S + (q, k) E,   S' = exp(G_C) S + (exp(G_C - G) k)^T E

  Equal to `step` scanned over time. T/C sequential steps, each C^2 (2 K + 2 V) +
  3 C K V + C^3/3 multiplies a head, and C K log2 C exponentials where the gate is one a
  channel; the chunk is computed again in the reverse pass, which keeps one state a
  chunk. Sums, decays and the solve are in the state's dtype; matrix products take
  operands in the dtype of v.

  Args:
    params: none.
    inputs: q, k, v, g, beta as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens per chunk, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  # padding is zeros: g = 0 keeps everything, and beta = 0 writes nothing
  return scan.by_chunks(_chunk_step, inputs, state, reset, chunk_size)


def _chunk_step(state, xs):
  """One chunk: q, k [B, H, C, K], v [B, H, C, V], beta [B, H, C], reset [B, C]."""
  (q, k, v, g, beta), reset = xs
  s, dtype = state.s, state.s.dtype  # [B, H, K, V]
  product = products(v.dtype, dtype)  # narrow operands, wide sums
  beta = beta.astype(dtype)[..., None]  # [B, H, C, 1]
  d = decay.within(g.astype(dtype).reshape(*beta.shape[:-1], -1), reset)
  decay_from_start = decay.from_start(d)  # [B, H, C, E]

  def recall(a):
    """Returns what q or k reads of the state before the chunk."""
    decayed = a.astype(dtype) * decay_from_start
    return product("bhik,bhkv->bhiv", decayed, s)  # [B, H, C, V]

  # A token's error depends on the writes before it in the chunk, which are errors too:
  # (I + A) E = beta (v - recall), solved at once instead of token by token (WY form).
  inverse = unit_lower_inverse(beta * jnp.tril(decay.scores(d, k, k, product), -1))
  error = product("bhij,bhjv->bhiv", inverse, beta * (v.astype(dtype) - recall(k)))
  y = recall(q) + product("bhij,bhjv->bhiv", decay.scores(d, q, k, product), error)
  decay_to_end = decay.to_end(d)  # [B, H, C, E]
  written = product("bhik,bhiv->bhkv", k.astype(dtype) * decay_to_end, error)
  return State(decay.whole(d) * s + written), y.astype(v.dtype)


AXES = State(("batch", "heads", "key", "value"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  heads, key_dim, value_dim = 2, 4, 3
  q, k, v, g, beta, s = jax.random.split(key, 6)
  shape = (batch_size, length, heads)
  keys = jax.random.normal(k, (*shape, key_dim))
  inputs = (
    jax.random.normal(q, (*shape, key_dim)) * key_dim**-0.5,
    keys / jnp.linalg.norm(keys, axis=-1, keepdims=True),
    jax.random.normal(v, (*shape, value_dim)),
    -jax.nn.softplus(jax.random.normal(g, shape)),
    2 * jax.nn.sigmoid(jax.random.normal(beta, shape)),  # above 1 it over-corrects
  )
  state = State(jax.random.normal(s, (batch_size, heads, key_dim, value_dim)))
  return (), inputs, state


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Keys repeat at the largest write strength or have norm 0 or 100; decays reach
  e^-1000. Head 0 repeats one key exactly, head 1 with 10 % noise, beta |k|^2 = 2 and
  no decay; in the middle third keys have norm 0 in row 0 and 100 in the others; in
  the last third of every row the decay is e^-1000 a chunk, and 0 at its first token.
  """
  _, (q, k, v, _, _), state = example(key, batch_size, length)
  same = jnp.broadcast_to(k[:, :1], k.shape)  # [B, T, H, K]
  noisy = same + 0.1 * k  # almost parallel keys: the system is worst conditioned here
  noisy = noisy / jnp.linalg.norm(noisy, axis=-1, keepdims=True)
  k = jnp.stack([same[:, :, 0], noisy[:, :, 1]], axis=2)
  third = length // 3
  middle = slice(third, 2 * third)
  k = k.at[0, middle].set(0.0).at[1:, middle].multiply(100.0)
  g = jnp.zeros(k.shape[:3], k.dtype).at[:, 2 * third :].set(-1000.0 / max(third, 1))
  g = g.at[:, 2 * third].set(-jnp.inf)  # a decay of exactly 0 must give no NaN
  beta = jnp.full_like(g, 2.0).at[1:, middle].divide(100.0**2)
  return (), (q, k, v, g, beta), state
