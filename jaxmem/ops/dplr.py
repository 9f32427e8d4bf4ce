"""A matrix whose transition is diagonal plus low rank: RWKV-7's memory.

The gated delta rule is the setting a_t = exp(g_t) k_t, b_t = -beta_t k_t with writes
beta_t k_t v_t^T. It keeps its own op: there both low-rank terms have the left factor
k_t, which halves the products of tokens with tokens and leaves one write, not two.

Source: Peng et al. 2025, arXiv:2503.14456, section 4 (there in rows: S is our S^T); the
chunk form after Yang et al. 2024, arXiv:2406.06484, section 3 (WY representation).
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
  Float[Array, "B H K"],
  Float[Array, "B H K"],
  Float[Array, "B H K"],
]
Inputs = tuple[
  Float[Array, "B T H K"],
  Float[Array, "B T H K"],
  Float[Array, "B T H V"],
  Float[Array, "B T H K"],
  Float[Array, "B T H K"],
  Float[Array, "B T H K"],
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

      S_t = (Diag(exp(g_t)) + b_t a_t^T) S_{t-1} + k_t v_t^T,   y_t = S_t^T q_t

  Cost: 4 K V multiplies a head.

  Args:
    params: none.
    inputs_t: q; k; v; a, which reads the memory before it decays, and b, where that is
      written back (RWKV-7: a = -kappa and b = kappa * rate for kappa of norm 1); and
      g <= 0, the log decay of every key channel.
    state: what is remembered.

  Returns:
    y_t in the dtype of v, and the state.
  """
  dtype = state.s.dtype  # sums of many tokens: bfloat16 would lose the later ones
  q, k, v, a, b, g = (x.astype(dtype) for x in inputs_t)
  # a reads S_{t-1}, before the decay: so the low-rank term is b a^T, not b a^T Diag
  read = jnp.einsum("bhk,bhkv->bhv", a, state.s)  # [B, H, V]
  corrected = jnp.exp(g)[..., None] * state.s + _outer(b, read)  # [B, H, K, V]
  s = corrected + _outer(k, v)  # [B, H, K, V]
  y = jnp.einsum("bhk,bhkv->bhv", q, s)  # [B, H, V]
  return y.astype(inputs_t[2].dtype), State(s)


def _outer(x: Float[Array, "B H K"], y: Float[Array, "B H V"]) -> Array:
  """x y^T of every row and head, [B, H, K, V]."""
  return x[..., :, None] * y[..., None, :]


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 32,
) -> tuple[Float[Array, "B T H V"], State]:
  """Computes all tokens chunk by chunk, by matrix products.

  With G the sum of g over the chunk's tokens of the same document so far, G' the same
  before the token, and (q, k)_ij = sum_c q_ic exp(G_ic - G_jc) k_jc for j <= i in one
  document, (a, k)'_ij that with G' for j < i (else 0):

      U = (I - (a, b)')^{-1} ((a, k)' V + (exp(G') a) S)
      y = (exp(G) q) S + (q, k) V + (q, b) U
      S' = exp(G_C) S + (exp(G_C - G) k)^T V + (exp(G_C - G) b)^T U

  Equal to `step` scanned over time. T/C sequential steps, each C^2 (4 K + 4 V) +
  4 C K V + C^3/3 multiplies a head; the chunk is computed again in the reverse pass,
  which keeps one state a chunk. Sums, decays and the solve are in the state's dtype;
  matrix products take operands in the dtype of v.

  Args:
    params: none.
    inputs: q, k, v, a, b, g as in `step`.
    state: memory before the first token.
    reset: True on the first token of a document.
    chunk_size: tokens per chunk, C >= 1; T need not be a multiple.

  Returns:
    y in the dtype of v, and the memory after the last token.

  Raises:
    ValueError: if chunk_size < 1.
  """
  # padding is zeros: log decay 0 keeps everything, and keys of 0 write nothing
  return scan.by_chunks(_chunk_step, inputs, state, reset, chunk_size)


def _chunk_step(state, xs):
  """One chunk: q, k, a, b, g [B, H, C, K], v [B, H, C, V], reset [B, C]."""
  (q, k, v, a, b, g), reset = xs
  s, dtype = state.s, state.s.dtype  # [B, H, K, V]
  mm = products(v.dtype, dtype)  # narrow operands, wide sums
  after = decay.within(g.astype(dtype), reset)  # of q, which reads S_t
  before = decay.before(after)  # of a, which reads S_{t-1}

  def from_tokens(scores, values):
    return mm("bhij,bhjv->bhiv", scores, values)  # [B, H, C, V]

  def from_state(x, left):
    return mm("bhik,bhkv->bhiv", x.astype(dtype) * left, s)  # [B, H, C, V]

  def written(x, values):
    left = decay.to_end(after)  # [B, H, C, K]
    return mm("bhik,bhiv->bhkv", x.astype(dtype) * left, values)  # [B, H, K, V]

  # u_i = S_{i-1}^T a_i depends on the u before it: a triangular system, solved at once
  inverse = unit_lower_inverse(-decay.scores(before, a, b, mm))  # [B, H, C, C]
  u = from_tokens(decay.scores(before, a, k, mm), v)  # [B, H, C, V]
  u = u + from_state(a, decay.from_start(before))
  u = from_tokens(inverse, u)
  y = from_state(q, decay.from_start(after))  # [B, H, C, V]
  y = y + from_tokens(decay.scores(after, q, k, mm), v)
  y = y + from_tokens(decay.scores(after, q, b, mm), u)
  s = decay.whole(after) * s + written(k, v) + written(b, u)  # [B, H, K, V]
  return State(s), y.astype(v.dtype)


AXES = State(("batch", "heads", "key", "value"))
FORMS = scan.of_any_rows({"recurrent": scan.recurrent(step), "chunk": chunk})


def example(key: Array, batch_size: int, length: int):
  """Returns a small random case with a non-empty state: (params, inputs, state)."""
  heads, key_dim, value_dim = 2, 4, 3
  q, k, v, a, b, g, s = jax.random.split(key, 7)
  shape = (batch_size, length, heads)

  def normal(key, dim):
    return jax.random.normal(key, (*shape, dim))

  a = normal(a, key_dim)
  a = -a / jnp.linalg.norm(a, axis=-1, keepdims=True)
  inputs = (
    normal(q, key_dim),
    normal(k, key_dim) * key_dim**-0.5,
    normal(v, value_dim),
    a,
    -a * jax.nn.sigmoid(normal(b, key_dim)),  # RWKV-7's kappa times its rate
    -jnp.exp(-0.5) * jax.nn.sigmoid(normal(g, key_dim)),  # and its range of decays
  )
  state = State(jax.random.normal(s, (batch_size, heads, key_dim, value_dim)))
  return (), inputs, state


def stress(key: Array, batch_size: int, length: int):
  """Returns the hardest legal inputs: (params, inputs, state).

  Keys repeat at the largest write strength or have norm 0 or 100; decays reach
  e^-1000. Head 0 repeats one key exactly, head 1 with 10 % noise, b = -2 a (a
  reflection) and no decay; a third of row 0 has keys of norm 0, of row 1 keys a of
  norm 100 (b of norm 0.02); the last third of every row a decay of e^-1000 a chunk in
  half of the channels, and of 0 at its first token.
  """
  _, (q, k, v, a, _, g), state = example(key, batch_size, length)
  same = jnp.broadcast_to(a[:, :1], a.shape)
  noisy = same + 0.1 * a  # almost parallel keys: the system is worst conditioned here
  noisy = noisy / jnp.linalg.norm(noisy, axis=-1, keepdims=True)
  a = jnp.stack([same[:, :, 0], noisy[:, :, 1]], axis=2)
  third = length // 3
  a = a.at[0, third : 2 * third].set(0.0)
  b = (-2 * a).at[1:, third : 2 * third].divide(100.0)
  a = a.at[1:, third : 2 * third].multiply(100.0)
  fast = jnp.where(jnp.arange(g.shape[-1]) % 2 == 0, -1000.0 / max(third, 1), 0.0)
  g = jnp.zeros_like(g).at[:, 2 * third :].set(fast)
  g = g.at[:, 2 * third].set(-jnp.inf)
  # b is written back into what has decayed: else |b a^T| > decay and the memory grows
  b = b * jnp.exp(g)
  return (), (q, k, v, a, b, g), state
