"""Random inputs of the cases: sizes -> (params, inputs, state), one function an op."""

import numpy as np

from jaxmem import ops


def normal(*shapes, seed: int = 0) -> tuple[np.ndarray, ...]:
  """Draws standard normal arrays in float32, one of each shape."""
  rng = np.random.default_rng(seed)
  return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def sigmoid(x: np.ndarray) -> np.ndarray:
  """Returns 1 / (1 + e^-x)."""
  return 1 / (1 + np.exp(-x))


def _unit(x):
  """Scales the last axis to unit norm."""
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def lstm(batch: int, length: int, dim: int, gates: int = 4, name: str = "lstm"):
  """Draws a cell of as many units as inputs."""
  shapes = (dim, gates * dim), (dim, gates * dim), (gates * dim,), (batch, length, dim)
  w, r, b, x = normal(*shapes)  # [D, G D], [D, G D], [G D], [B, T, D]
  state = ops.get(name).init_state(batch, dim)
  return (w * dim**-0.5, r * dim**-0.5, b), (x,), state


def rnn(batch: int, length: int, dim: int):
  """Draws as `lstm` does, for one gate."""
  return lstm(batch, length, dim, 1, "rnn")


def gru(batch: int, length: int, dim: int):
  """Draws as `lstm`; a second bias of 0 is inside the reset gate, as torch has it."""
  (w, r, b), inputs, state = lstm(batch, length, dim, 3, "gru")
  return (w, r, b, np.zeros(dim, np.float32)), inputs, state


def slstm(batch: int, length: int, dim: int, heads: int):
  """Draws the gates i, f, z and o as a layer's projections give them."""
  size = dim // heads
  # r: [4, H, K, K]
  r, *gates = normal((4, heads, size, size), *[(batch, length, dim)] * 4)
  return (r * size**-0.5,), tuple(gates), ops.get("slstm").init_state(batch, dim)


def rglru(batch: int, length: int, dim: int):
  """Draws gates over their whole range."""
  x, r, i = normal(*[(batch, length, dim)] * 3)  # [B, T, D] each
  decay = np.linspace(1, 4, dim, dtype=np.float32)
  state = ops.get("rglru").init_state(batch, dim)
  return (decay,), (x, sigmoid(r), sigmoid(i)), state


def complex_diagonal(batch: int, length: int, dim: int):
  """Draws inputs for eigenvalues of modulus 0.9 to 0.999 at all angles."""
  (u,) = normal((batch, length, 2, dim))  # [B, T, 2, D]: real and imaginary part
  angle = np.linspace(0, np.pi, dim)
  value = np.linspace(0.9, 0.999, dim) * np.exp(1j * angle)
  lam = np.stack([value.real, value.imag]).astype(np.float32)  # [2, D]
  return (lam,), (u,), ops.get("complex_diagonal").init_state(batch, dim)


def gated_average(batch: int, length: int, dim: int):
  """Draws forget gates around one half."""
  x, g = normal(*[(batch, length, dim)] * 2)  # [B, T, D] each
  return (), (x, np.log(sigmoid(g))), ops.get("gated_average").init_state(batch, dim)


def mamba(batch: int, length: int, dim: int, states: int):
  """Draws rates and step sizes as Mamba initializes them."""
  wide, narrow = (batch, length, dim), (batch, length, states)
  x, dt, b, c = normal(wide, wide, narrow, narrow)  # [B, T, D] twice, [B, T, N] twice
  rate = -np.repeat(np.arange(1, states + 1, dtype=np.float32)[:, None], dim, axis=1)
  state = ops.get("mamba").init_state(batch, states, dim)
  return (rate,), (x, 0.1 * sigmoid(dt), b, c), state


def gated_delta(batch: int, length: int, heads: int, dim: int, per_channel=False):
  """Draws decays as a trained layer has them: most tokens forget a few percent."""
  wide, narrow = (batch, length, heads, dim), (batch, length, heads)
  q, k, v, g, beta = normal(wide, wide, wide, wide if per_channel else narrow, narrow)
  state = ops.get("gated_delta").init_state(batch, heads, dim, dim)
  return (), (q, _unit(k), v, -0.1 * sigmoid(g), sigmoid(beta)), state


def kda(batch: int, length: int, heads: int, dim: int):
  """Draws as `gated_delta`, with a decay a channel."""
  return gated_delta(batch, length, heads, dim, per_channel=True)


def dplr(batch: int, length: int, heads: int, dim: int):
  """Draws in RWKV-7's range: log w in -0.606 .. 0, a rank-one part of unit keys."""
  wide = (batch, length, heads, dim)
  q, k, v, kappa, a, g = normal(*[wide] * 6)  # [B, T, H, K] each
  kappa = _unit(kappa)
  state = ops.get("dplr").init_state(batch, heads, dim, dim)
  inputs = (q, 0.3 * k, v, -kappa, kappa * sigmoid(a), -0.606 * sigmoid(g))
  return (), inputs, state


def gated_linear(
  batch: int, length: int, groups: int, heads: int, key: int, value: int
):
  """Draws one decay a head; the heads of a group share queries and keys."""
  shared, wide = (batch, length, groups, key), (batch, length, heads, value)
  q, k, v, g = normal(shared, shared, wide, (batch, length, heads))  # g: [B, T, H]
  state = ops.get("gated_linear").init_state(batch, heads, key, value)
  return (), (q * key**-0.5, k, v, -0.1 * sigmoid(g)), state


def retention(batch: int, length: int, heads: int, dim: int):
  """Draws as `gated_linear`, with RetNet's fixed decay a head."""
  params, (q, k, v, g), state = gated_linear(batch, length, heads, heads, dim, dim)
  fixed = np.log(1 - 2.0 ** (-5 - np.arange(heads, dtype=np.float32)))  # [H]
  return params, (q, k, v, np.broadcast_to(fixed, g.shape).copy()), state


def mlstm(batch: int, length: int, heads: int, dim: int):
  """Draws log gates: the input's around 0, the forget's near 0."""
  wide, narrow = (batch, length, heads, dim), (batch, length, heads)
  q, k, v, i, f = normal(wide, wide, wide, narrow, narrow)  # i, f: [B, T, H]
  state = ops.get("mlstm").init_state(batch, heads, dim, dim)
  return (), (q * dim**-0.5, k, v, i, np.log(sigmoid(f + 4))), state


def attention(batch: int, length: int, heads: int, dim: int):
  """Draws queries, keys and values, and an empty cache that holds the whole call."""
  state = ops.get("attention").init_state(batch, length, heads, dim, dim)
  return (), normal(*[(batch, length, heads, dim)] * 3), state


def window(batch: int, length: int, heads: int, dim: int, window_size: int):
  """Draws queries, keys and values, and an empty ring."""
  state = ops.get("window").init_state(batch, window_size, heads, dim, dim)
  return (), normal(*[(batch, length, heads, dim)] * 3), state


def short_conv(batch: int, length: int, dim: int, taps: int):
  """Draws the taps and the inputs of a depthwise convolution."""
  w, x = normal((taps, dim), (batch, length, dim))  # [taps, D], [B, T, D]
  return (w,), (x,), ops.get("short_conv").init_state(batch, taps, dim)
