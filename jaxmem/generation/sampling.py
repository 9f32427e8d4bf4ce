"""From logits to a token: what may be drawn, the draw, and where the text is cut."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from jaxmem.core import ranges
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import number


class SamplingError(UserError):
  """A number or a stop string that cannot be used; names it and its range."""


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["temperature", "top_k", "top_p", "min_p", "repetition_penalty"],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Sampling:
  """How tokens are drawn; a pytree, so that other numbers are no new compilation.

  In this order: penalty, temperature, top-k, top-p of what top-k left, min-p.

  Attributes:
    temperature: of the logits, >= 0; 0 takes the likeliest.
    top_k: only the k likeliest, >= 0; 0 is all.
    top_p: only the likeliest whose probability reaches this together, in (0, 1].
    min_p: only those at least this fraction as likely as the likeliest, in [0, 1].
    repetition_penalty: logits of tokens seen before are divided by it where positive
      and multiplied where negative; > 0, 1 is none.
  """

  temperature: float | Array = number(1.0, at_least=0)
  top_k: int | Array = number(0, at_least=0)
  top_p: float | Array = number(1.0, above=0, at_most=1)
  min_p: float | Array = number(0.0, at_least=0, at_most=1)
  repetition_penalty: float | Array = number(1.0, above=0)

  def check(self) -> None:
    """Raises SamplingError if a number is out of range; for numbers, not for arrays."""
    with raised_as(SamplingError):
      ranges.check(self)


def penalize(
  logits: Float[Array, "B V"], seen: Bool[Array, "B V"], penalty: float | Array
) -> Float[Array, "B V"]:
  """The logits with those of tokens seen before made less likely.

  Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1; where a logit is negative
  it is multiplied, or the penalty would be a reward.
  """
  less = jnp.where(logits > 0, logits / penalty, logits * penalty)
  return jnp.where(seen, less, logits)


def restrict(logits: Float[Array, "B V"], how: Sampling) -> Float[Array, "B V"]:
  """The logits with -inf for what top-k, top-p and min-p leave out.

  Tokens as likely as the last one kept are kept too; the likeliest always is. Cost: one
  sort of V numbers a row, and none where top-k and top-p keep all.

  Args:
    logits: after the temperature.
    how: its `top_k`, `top_p` and `min_p`.

  Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2019,
  arXiv:1904.09751 (top-p); Nguyen et al. 2024, arXiv:2407.01082 (min-p).
  """
  nothing = -jnp.inf

  def by_order(logits):
    ordered = jnp.sort(logits, axis=-1, descending=True)
    size = logits.shape[-1]
    last = jnp.where(how.top_k > 0, jnp.minimum(how.top_k, size), size) - 1
    kth = jax.lax.dynamic_index_in_dim(ordered, last, axis=-1)
    ordered = jnp.where(ordered >= kth, ordered, nothing)
    p = jax.nn.softmax(ordered)
    before = jnp.cumsum(p, axis=-1) - p
    inside = jnp.isfinite(ordered) & ((before < how.top_p) | (how.top_p >= 1))
    least = jnp.where(inside, ordered, jnp.inf).min(axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, nothing)

  ordering = (jnp.asarray(how.top_k) > 0) | (jnp.asarray(how.top_p) < 1)
  logits = jax.lax.cond(ordering, by_order, lambda logits: logits, logits)
  least = logits.max(axis=-1, keepdims=True) + jnp.log(jnp.float32(how.min_p))
  return jnp.where(logits >= least, logits, nothing)


def draw(
  logits: Float[Array, "B V"],
  seen: Bool[Array, "B V"],
  keys: UInt32[Array, "B words"],
  position: Int[Array, " B"],
  how: Sampling,
  vocab_size: int,
) -> Int[Array, " B"]:
  """One token a row; what a row draws depends on that row alone.

  Args:
    logits: of the next token.
    seen: the tokens that the penalty is for.
    keys: the data of a threefry key a row.
    position: of the token to be drawn; its number is folded into the key.
    how: see `Sampling`.
    vocab_size: ids at or above it, the padding of the table, are never drawn.
  """
  known = jnp.arange(logits.shape[-1]) < vocab_size
  logits = penalize(logits, seen, how.repetition_penalty)
  logits = jnp.where(known, logits, -jnp.inf)

  def random(logits):
    folded = jax.vmap(jax.random.fold_in)(row_keys(keys), position)
    # from the largest down, so that a temperature near 0 overflows to -inf only
    below = logits - logits.max(axis=-1, keepdims=True)
    kept = restrict(below / jnp.maximum(how.temperature, 1e-30), how)
    return jax.vmap(jax.random.categorical)(folded, kept).astype(jnp.int32)

  likeliest = lambda logits: jnp.argmax(logits, axis=-1).astype(jnp.int32)
  return jax.lax.cond(jnp.asarray(how.temperature) > 0, random, likeliest, logits)


def row_keys(data: UInt32[Array, "B words"]) -> Array:
  """The keys of `key_data`; threefry, whose numbers do not depend on the batch."""
  return jax.random.wrap_key_data(data, impl="threefry2x32")


class Cutter:
  """A text as it comes, held back where it may yet become a stop string.

  cutter = Cutter([b"END"])
  cutter.feed(b"the E"), cutter.feed(b"ND of")  # (b"the ", False), (b"", True)
  """

  def __init__(self, stops: Sequence[bytes]):
    """Raises SamplingError for an empty stop string, which is everywhere."""
    if not all(stops):
      raise SamplingError("a stop string is empty: give at least one character")
    self._stops = tuple(stops)
    self._held = b""

  def feed(self, text: bytes) -> tuple[bytes, bool]:
    """What is now known to stand before any stop, and whether a stop is complete."""
    text = self._held + text
    found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
    if found:
      self._held = b""
      return text[: min(found)], True
    longest = min(max(map(len, self._stops), default=1) - 1, len(text))
    held = next((n for n in range(longest, 0, -1) if self._begins(text[-n:])), 0)
    self._held = text[len(text) - held :]
    return text[: len(text) - held], False

  def rest(self) -> bytes:
    """What was held back, at the end of a text that met no stop."""
    held, self._held = self._held, b""
    return held

  def _begins(self, end: bytes) -> bool:
    return any(stop.startswith(end) for stop in self._stops)
