"""The gated delta rule: a matrix that forgets by a gate and corrects what it holds.

Source: Yang, Kautz and Hatamizadeh 2024, arXiv:2412.06464, eq. 10; the chunk form from
Yang et al. 2024, arXiv:2406.06484, section 3 (WY representation).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.ops import scan
from jaxmem.ops.precision import einsum
from jaxmem.ops.triangular import unit_lower_inverse
from jaxmem.typing import Reset

TRANSITION = "matrix"
VALUE = 2  # v
REVERSE_ONLY = ()

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
  """s: [B, H, K, V], float32 (float64 under float64 inputs), read as s^T q."""

  s: Array


def init_state(
  batch_size: int, num_heads: int, key_dim: int, value_dim: int, dtype=jnp.float32
) -> State:
  """The empty memory."""
  return State(jnp.zeros((batch_size, num_heads, key_dim, value_dim), dtype))


def step(
  params: tuple[()], inputs_t: Inputs_t, state: State
) -> tuple[Float[Array, "B H V"], State]:
  """One token.

      S' = exp(g_t) S_{t-1},  S_t = S' + k_t beta_t (v_t - S'^T k_t)^T,  y_t = S_t^T q_t

  which is S_t = alpha_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T.
  Cost: 3 K V multiplies a head.

  Args:
    params: none.
    inputs_t: q (scale it by K^-0.5 before); k (of norm <= 1, or the memory can grow);
      v; g = log alpha <= 0 (0 keeps all); and the write strength beta in [0, 2].
    state: what is remembered.

  Returns:
    y_t in the dtype of v, and the state.
  """
  dtype = state.s.dtype
  q, k, v, g, beta = (a.astype(dtype) for a in inputs_t)
  s = jnp.exp(g)[..., None, None] * state.s
  error = v - jnp.einsum("bhk,bhkv->bhv", k, s)
  s = s + k[..., None] * (beta[..., None] * error)[..., None, :]
  y = jnp.einsum("bhk,bhkv->bhv", q, s)
  return y.astype(inputs_t[2].dtype), State(s)


def chunk(
  params: tuple[()],
  inputs: Inputs,
  state: State,
  reset: Reset | None = None,
  *,
  chunk_size: int = 64,
) -> tuple[Float[Array, "B T H V"], State]:
  """All tokens, chunk by chunk, by matrix products.

  With G the sum of g over the chunk's tokens of the same document so far, and
  D_ij = exp(G_i - G_j) for j <= i in one document (else 0):

      X = (I + tril(beta_i (k_i . k_j) D_ij, -1))^{-1}
      E = X beta (v - exp(G) k S)
      y = exp(G) q S + (q k^T * D) E,   S' = exp(G_C) S + (D_C k)^T E

  Equal to `step` scanned over time. T/C sequential steps, each C^2 (2 K + 2 V) +
  3 C K V + C^3/3 multiplies a head; the chunk is computed again in the reverse pass,
  which keeps one state a chunk. Sums, decays and the solve are in the state's dtype;
  matrix products take operands in the dtype of v.

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
  scan.check_chunk_size(chunk_size)
  length = inputs[2].shape[1]
  size = min(chunk_size, length)
  dtype = scan.state_dtype(inputs[2].dtype)
  heads_first = lambda a: jnp.moveaxis(scan.to_chunks(a, size), 3, 2)  # [T/C, B, H, C]
  xs = tuple(heads_first(a) for a in inputs)  # padding writes nothing: beta = 0, g = 0
  if reset is not None:
    reset = scan.to_chunks(reset, size)
  body = jax.checkpoint(_chunk_step, prevent_cse=False)
  s, y = jax.lax.scan(body, state.s.astype(dtype), (xs, reset))
  return scan.from_chunks(jnp.moveaxis(y, 2, 3), length), State(s)


def _chunk_step(s, xs):
  """One chunk: s [B, H, K, V], inputs [B, H, C, ...], reset [B, C]."""
  (q, k, v, g, beta), reset = xs
  dtype, operand = s.dtype, v.dtype
  size = q.shape[2]
  mm = lambda spec, a, b: einsum(spec, a.astype(operand), b.astype(operand), dtype)
  beta = beta.astype(dtype)[..., None]
  visible = jnp.tril(jnp.ones((size, size), bool))
  old = jnp.ones((), dtype)  # 1 for tokens of the document that s belongs to
  if reset is not None:
    number = scan.documents(reset)
    visible = visible & (number[:, None, :, None] == number[:, None, None, :])
    old = (number == 0)[:, None].astype(dtype)
  # sums by document, not one cumulated sum: other documents get gradients of exactly 0
  total = jnp.where(visible, g.astype(dtype)[..., None, :], 0).sum(-1)
  # masked before exp: what is not visible may be e^+1000
  decay = jnp.exp(
    jnp.where(visible, total[..., :, None] - total[..., None, :], -jnp.inf)
  )
  from_s = (jnp.exp(total) * old)[..., None]
  to_end = decay[..., -1, :, None]

  a = beta * mm("bhik,bhjk->bhij", k, k) * jnp.tril(decay, -1)
  x = unit_lower_inverse(a)
  held = mm("bhik,bhkv->bhiv", k, s) * from_s
  error = mm("bhij,bhjv->bhiv", x, beta * (v.astype(dtype) - held))
  scores = mm("bhik,bhjk->bhij", q, k) * decay
  y = mm("bhik,bhkv->bhiv", q, s) * from_s + mm("bhij,bhjv->bhiv", scores, error)
  s = s * from_s[..., -1:, :] + mm("bhik,bhiv->bhkv", k.astype(dtype) * to_end, error)
  return s, y.astype(operand)


FORMS = {"recurrent": scan.recurrent(step), "chunk": chunk}


def example(key: Array, batch_size: int, length: int):
  """A small random case with a non-empty state: (params, inputs, state)."""
  heads, key_dim, value_dim = 2, 4, 3
  q, k, v, g, beta, s = jax.random.split(key, 6)
  shape = (batch_size, length, heads)
  keys = jax.random.normal(k, (*shape, key_dim))
  inputs = (
    jax.random.normal(q, (*shape, key_dim)) * key_dim**-0.5,
    keys / jnp.linalg.norm(keys, axis=-1, keepdims=True),
    jax.random.normal(v, (*shape, value_dim)),
    -jax.nn.softplus(jax.random.normal(g, shape)),
    2 * jax.nn.sigmoid(jax.random.normal(beta, shape)),
  )
  state = State(jax.random.normal(s, (batch_size, heads, key_dim, value_dim)))
  return (), inputs, state


def stress(key: Array, batch_size: int, length: int):
  """Repeated keys at the largest write strength, keys of norm 0, decay of e^-1000.

  Head 0 repeats one key exactly, head 1 with 10 % noise, beta = 2 and no decay; a third
  of row 0 has keys of norm 0, the last third of every row a decay of e^-1000 a chunk.
  """
  _, (q, k, v, _, _), state = example(key, batch_size, length)
  same = jnp.broadcast_to(k[:, :1], k.shape)
  noisy = same + 0.1 * k
  noisy = noisy / jnp.linalg.norm(noisy, axis=-1, keepdims=True)
  k = jnp.stack([same[:, :, 0], noisy[:, :, 1]], axis=2)
  third = length // 3
  k = k.at[0, third : 2 * third].set(0.0)
  g = jnp.zeros(k.shape[:3], k.dtype).at[:, 2 * third :].set(-1000.0 / max(third, 1))
  return (), (q, k, v, g, jnp.full_like(g, 2.0)), state
