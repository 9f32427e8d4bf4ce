"""Rotary position embedding, exact at any length.

Source: Su et al. 2021, arXiv:2104.09864, eq. 34, with the two halves of a head as the
real and imaginary parts (the layout of GPT-NeoX and Llama); Peng et al. 2023,
arXiv:2309.00071 (YaRN: definition 3, eq. 22 to 25; the NTK-aware base: eq. 15);
Grattafiori et al. 2024, arXiv:2407.21783, section 3.2, with the code of Llama 3.1.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Angles = tuple[Float[Array, "..."], Float[Array, "..."]]
SCALINGS = ("none", "linear", "ntk", "yarn", "llama3")
# Pairs that rotate more often than this in the trained length are kept.
_FAST = {"yarn": 32.0, "llama3": 4.0}


@dataclasses.dataclass(frozen=True)
class Rotary:
  """How fast the pairs of a head rotate.

  Attributes:
    base: theta; a token rotates pair i of K/2 by base^(-2i/K).
    scaling: "none"; "linear" (positions divided by the factor), "ntk" (a larger base,
      so that the slowest pair rotates as if divided), "yarn" (slow pairs divided, fast
      ones kept, between them by the number of the pair; scores a little sharper),
      "llama3" (the same, between them by how often a pair rotates).
    factor: how many times longer than it was trained the model reads, >= 1.
    trained_length: the length it was trained at; used by "yarn" and "llama3".
    fast: pairs that rotate more often than this in `trained_length` are kept; 0 is 32
      for "yarn" and 4 for "llama3".
    slow: pairs that rotate less often are divided.
    dim: how many channels of a head rotate, the first ones; the others say nothing of
      positions (GPT-NeoX). 0 is all. It takes the place of K in `base`.
  """

  base: float = 10_000.0
  scaling: str = "none"
  factor: float = 1.0
  trained_length: int = 0
  fast: float = 0.0
  slow: float = 1.0
  dim: int = 0

  def __post_init__(self):
    if self.scaling not in SCALINGS:
      raise ValueError(
        f"rotary scaling {self.scaling!r}: it is one of {', '.join(SCALINGS)}"
      )
    if self.factor < 1:
      raise ValueError(f"rotary factor {self.factor}: it must be at least 1")
    if self.scaling in _FAST and self.trained_length < 1:
      raise ValueError(
        f"rotary scaling {self.scaling!r} needs the trained length, at least 1"
      )
    if self.fast and self.fast <= self.slow:
      raise ValueError(f"rotary fast {self.fast} must be above slow {self.slow}")
    if self.dim < 0 or self.dim % 2:
      raise ValueError(f"rotary dim {self.dim}: it is 0 or made of pairs")

  def frequencies(self, key_dim: int) -> np.ndarray:
    """Radians a token, float64 [K/2]."""
    i = np.arange(0, key_dim, 2, dtype=np.float64) / key_dim
    base = self.base
    if self.scaling == "ntk":
      # a single pair rotates at the same speed whatever the base
      base = base * self.factor ** (key_dim / max(key_dim - 2, 1))
    kept = base**-i
    if self.scaling == "linear":
      return kept / self.factor
    if self.scaling not in _FAST:
      return kept
    fast = self.fast or _FAST[self.scaling]
    if self.scaling == "yarn":
      ramp = self._yarn_ramp(key_dim, base, fast)
    else:
      rotations = self.trained_length * kept / (2 * math.pi)
      ramp = np.clip((fast - rotations) / (fast - self.slow), 0, 1)
    return kept / self.factor * ramp + kept * (1 - ramp)

  def _yarn_ramp(self, key_dim: int, base: float, fast: float) -> np.ndarray:
    """How much of each pair is divided by the factor, [K/2]."""

    def pair(rotations: float) -> float:
      """The pair that rotates so many times in the trained length."""
      return (
        key_dim
        * math.log(self.trained_length / (rotations * 2 * math.pi))
        / (2 * math.log(base))
      )

    low, high = math.floor(pair(fast)), math.ceil(pair(self.slow))
    low, high = max(low, 0), min(high, key_dim - 1)
    return np.clip((np.arange(key_dim // 2) - low) / max(high - low, 1e-3), 0, 1)

  @property
  def sharpness(self) -> float:
    """What scores are multiplied by."""
    if self.scaling != "yarn":
      return 1.0
    return (0.1 * math.log(self.factor) + 1.0) ** 2


def angles(
  distance: Int[Array, "..."], key_dim: int, rotary: Rotary, dtype: jnp.dtype
) -> Angles:
  """cos and sin of distance times frequency: two arrays [..., K/2].

  The product is taken modulo a turn in fixed point, 2^32 to the turn, with what this
  leaves of the frequency beside it: no distance is too long for float32.
  """
  turns = rotary.frequencies(key_dim) / (2 * np.pi) * 2.0**32  # 2^-32 turns a token
  whole = np.floor(turns)
  rest = jnp.asarray((turns - whole) * 2.0**-32, dtype)
  # uint32 products overflow by whole turns, which is the point
  phase = distance[..., None].astype(jnp.uint32) * jnp.asarray(whole.astype(np.uint32))
  phase = jax.lax.bitcast_convert_type(phase, jnp.int32).astype(dtype) * 2.0**-32
  angle = 2 * np.pi * (phase + distance[..., None].astype(dtype) * rest)
  return jnp.cos(angle), jnp.sin(angle)


def rotate(x: Float[Array, "... K"], by: Angles) -> Float[Array, "... K"]:
  """`x` rotated by the angles; rotate(q, i) . rotate(k, j) depends on i - j alone."""
  cos, sin = by  # [..., K/2]
  x1, x2 = jnp.split(x.astype(cos.dtype), 2, axis=-1)
  return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1).astype(x.dtype)


def back(by: Angles) -> Angles:
  """The opposite rotation."""
  return by[0], -by[1]


def at(
  x: Float[Array, "B T H K"], position: Int[Array, "B T"], rotary: Rotary | None
) -> Float[Array, "B T H K"]:
  """Every token's heads rotated by its position; as they are if `rotary` is None."""
  if rotary is None:
    return x
  dtype = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
  size = rotary.dim or x.shape[-1]
  cos, sin = angles(position, size, rotary, jnp.dtype(dtype))  # [B, T, size/2]
  by = cos[..., None, :], sin[..., None, :]
  if size == x.shape[-1]:
    return rotate(x, by)
  return jnp.concatenate([rotate(x[..., :size], by), x[..., size:]], axis=-1)
