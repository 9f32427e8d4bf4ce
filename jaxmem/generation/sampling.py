"""Sampling: restricts logits, draws tokens, and cuts text at stop strings."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from jaxmem.core import ranges
from jaxmem.core.errors import UserError, raised_as
from jaxmem.core.ranges import number


class SamplingError(UserError):
  """A number or a stop string cannot be used; the message names it and its range."""


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["temperature", "top_k", "top_p", "min_p", "repetition_penalty"],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class Sampling:
  """How tokens are drawn; a pytree, so that other numbers need no new compilation.

  The order is: penalty, temperature, top-k, top-p of what top-k has left, min-p.

  Attributes:
    temperature: divides the logits, >= 0; 0 takes the likeliest token.
    top_k: keeps the k likeliest tokens, >= 0; 0 keeps all.
    top_p: keeps the likeliest tokens that together reach this probability, in (0, 1].
    min_p: keeps tokens at least this fraction as likely as the likeliest, in [0, 1].
    repetition_penalty: divides positive logits of tokens seen before and multiplies
      negative ones; > 0, 1 is none.
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

  def typed(self) -> "Sampling":
    """Returns the same numbers as Python's types: 1 and 1.0 need one compilation."""
    values: dict[str, Any] = {name: float(value) for name, value in vars(self).items()}
    return Sampling(**values | {"top_k": int(self.top_k)})


# How text is drawn where nothing is said. At temperature 1 a small model writes noise,
# since its errors are spread over the unlikely tokens.
DEFAULT = Sampling(temperature=0.8, top_p=0.95)


def penalize(
  logits: Float[Array, "B V"], seen: Bool[Array, "B V"], penalty: float | Array
) -> Float[Array, "B V"]:
  """Makes tokens that were seen before less likely.

  Args:
    logits: the logits of the next token.
    seen: which tokens were seen.
    penalty: see `Sampling.repetition_penalty`.

  Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1.
  """
  # dividing a negative logit would raise it, which would reward the repetition
  penalized = jnp.where(logits > 0, logits / penalty, logits * penalty)
  return jnp.where(seen, penalized, logits)


def restrict(logits: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B V"]:
  """Sets the logits of tokens that top-k, top-p and min-p leave out to -inf.

  Tokens as likely as the last one kept are kept too; the likeliest always is.

  Cost: one sort of V numbers a row, or none where top-k and top-p keep all.

  Args:
    logits: the logits after the temperature.
    sampling: gives `top_k`, `top_p` and `min_p`.

  Source: Fan et al. 2018, arXiv:1805.04833 (top-k); Holtzman et al. 2019,
  arXiv:1904.09751 (top-p); Nguyen et al. 2024, arXiv:2407.01082 (min-p).
  """
  top_k, top_p = sampling.top_k, sampling.top_p

  def keep_top(logits):
    ordered = jnp.sort(logits, axis=-1, descending=True)  # [B, V]
    size = logits.shape[-1]
    last = jnp.where(top_k > 0, jnp.minimum(top_k, size), size) - 1
    kth = jax.lax.dynamic_index_in_dim(ordered, last, axis=-1)  # [B, 1]
    ordered = jnp.where(ordered >= kth, ordered, -jnp.inf)
    p = jax.nn.softmax(ordered)
    before = jnp.cumsum(p, axis=-1) - p
    # top_p 1 by its own clause: rounded sums may reach 1 before the last token
    inside = jnp.isfinite(ordered) & ((before < top_p) | (top_p >= 1))
    threshold = jnp.where(inside, ordered, jnp.inf).min(axis=-1, keepdims=True)
    return jnp.where(logits >= threshold, logits, -jnp.inf)

  # a branch, since the sort is most of the cost of a draw
  needs_order = (jnp.asarray(top_k) > 0) | (jnp.asarray(top_p) < 1)
  logits = jax.lax.cond(needs_order, keep_top, lambda logits: logits, logits)
  threshold = logits.max(axis=-1, keepdims=True) + jnp.log(jnp.float32(sampling.min_p))
  return jnp.where(logits >= threshold, logits, -jnp.inf)


def draw(
  logits: Float[Array, "B V"],
  seen: Bool[Array, "B V"],
  keys: UInt32[Array, "B words"],
  position: Int[Array, " B"],
  sampling: Sampling,
  vocab_size: int,
) -> Int[Array, " B"]:
  """Draws one token a row; the draw of a row depends on that row alone.

  Args:
    logits: the logits of the next token.
    seen: the tokens that the penalty applies to.
    keys: the data of a threefry key a row.
    position: the position of the token, which is folded into the key.
    sampling: how tokens are drawn.
    vocab_size: ids at or above it, the padding of the table, are never drawn.
  """
  in_vocab = jnp.arange(logits.shape[-1]) < vocab_size  # [V]
  logits = penalize(logits, seen, sampling.repetition_penalty)
  logits = jnp.where(in_vocab, logits, -jnp.inf)

  def random(logits):
    folded = jax.vmap(jax.random.fold_in)(row_keys(keys), position)
    # the largest becomes 0, so that a temperature near 0 overflows to -inf only
    shifted = logits - logits.max(axis=-1, keepdims=True)
    scaled = shifted / jnp.maximum(sampling.temperature, 1e-30)
    restricted = restrict(scaled, sampling)
    return jax.vmap(jax.random.categorical)(folded, restricted).astype(jnp.int32)

  def greedy(logits):
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)

  return jax.lax.cond(jnp.asarray(sampling.temperature) > 0, random, greedy, logits)


def row_keys(data: UInt32[Array, "B words"]) -> Array:
  """Wraps key data as threefry keys, whose numbers do not depend on the batch."""
  return jax.random.wrap_key_data(data, impl="threefry2x32")


class Cutter:
  """Cuts a text at stop strings as it arrives; what may become one is held back.

  cutter = Cutter([b"END"])
  cutter.feed(b"the E"), cutter.feed(b"ND of")  # (b"the ", False), (b"", True)
  """

  def __init__(self, stops: Sequence[bytes]):
    """Begins a text.

    Args:
      stops: the stop strings.

    Raises:
      SamplingError: if a stop string is empty, since it would match everywhere.
    """
    if not all(stops):
      raise SamplingError("a stop string is empty: give at least one character")
    self._stops = tuple(stops)
    self._held = b""

  def feed(self, text: bytes) -> tuple[bytes, bool]:
    """Adds text.

    Args:
      text: the next bytes.

    Returns:
      The bytes that certainly precede any stop, and whether a stop is complete.
    """
    text = self._held + text
    positions = [at for stop in self._stops if (at := text.find(stop)) >= 0]
    if positions:
      self._held = b""
      return text[: min(positions)], True
    # hold back the longest end of the text with which a stop string begins
    longest = min(max(map(len, self._stops), default=1) - 1, len(text))
    count = next((n for n in range(longest, 0, -1) if self._begins(text[-n:])), 0)
    self._held = text[len(text) - count :]
    return text[: len(text) - count], False

  def rest(self) -> bytes:
    """Returns what was held back, at the end of a text that met no stop."""
    text, self._held = self._held, b""
    return text

  def _begins(self, end: bytes) -> bool:
    """Returns whether a stop string begins with `end`."""
    return any(stop.startswith(end) for stop in self._stops)
