"""What tokens cost in several ways of reading: sums by bucket, paired token by token.

All ways read the same tokens, so the difference of two ways has a standard error of its
own, far below that of either cost.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Buckets:
  """Means by bucket.

  Attributes:
    edges: n + 1 borders.
    mean: n means; NaN where there is nothing.
    error: n standard errors of the mean, as if tokens were independent.
    count: n numbers of tokens.
  """

  edges: np.ndarray
  mean: np.ndarray
  error: np.ndarray
  count: np.ndarray


@dataclasses.dataclass(frozen=True)
class PairedSums:
  """Sums over the tokens of each of N buckets, float64.

  Attributes:
    bits: way -> [N], of the costs; differences are to the first way.
    squares: way -> [N], of the squares of what a token costs more than in the first.
    tokens: [N], how many.
  """

  bits: dict[str, np.ndarray]
  squares: dict[str, np.ndarray]
  tokens: np.ndarray

  @classmethod
  def zeros(cls, ways: Sequence[str], count: int) -> "PairedSums":
    """Returns the sums of no tokens, in `count` buckets."""
    bits, squares = ({way: np.zeros(count) for way in ways} for _ in range(2))
    return cls(bits, squares, np.zeros(count, np.int64))

  def add(self, bucket: np.ndarray, costs: Mapping[str, np.ndarray]) -> None:
    """Adds tokens in place.

    Args:
      bucket: [n], which bucket each is in.
      costs: way -> [n] bits, in the order of `bits`.
    """
    count = len(self.tokens)
    first = next(iter(costs.values()))
    for way, cost in costs.items():
      self.bits[way] += np.bincount(bucket, weights=cost, minlength=count)
      more = (cost - first) ** 2
      self.squares[way] += np.bincount(bucket, weights=more, minlength=count)
    self.tokens[:] += np.bincount(bucket, minlength=count)

  def copy(self) -> "PairedSums":
    """Returns sums that later additions do not reach."""
    bits, squares = (
      {way: values.copy() for way, values in sums.items()}
      for sums in (self.bits, self.squares)
    )
    return PairedSums(bits, squares, self.tokens.copy())

  def arrays(self) -> tuple[list, list, np.ndarray]:
    """Returns the sums as a tree, ways in their order: a tree of arrays sorts keys."""
    return list(self.bits.values()), list(self.squares.values()), self.tokens

  def restored(self, arrays: tuple[list, list, np.ndarray]) -> "PairedSums":
    """Returns the sums of the same ways whose `arrays` these are."""
    bits, squares = (dict(zip(self.bits, values, strict=True)) for values in arrays[:2])
    return PairedSums(bits, squares, arrays[2])

  def gain(self, way: str, inside: Any) -> tuple[float, float]:
    """Returns what the first way saves on a token, in the mean of some buckets.

    Args:
      way: the other way.
      inside: an index of the buckets.

    Returns:
      Bits a token, and the standard error.
    """
    mean, error = self._mean(
      (self.bits[way] - next(iter(self.bits.values())))[inside].sum(),
      self.squares[way][inside].sum(),
      self.tokens[inside].sum(),
    )
    return float(mean), float(error)

  def gains(self, way: str, edges: np.ndarray) -> Buckets:
    """Returns what the first way saves on a token, by bucket.

    Args:
      way: the other way.
      edges: of the first buckets; those behind are left out.
    """
    count = len(edges) - 1
    more = (self.bits[way] - next(iter(self.bits.values())))[:count]
    tokens = self.tokens[:count]
    return Buckets(edges, *self._mean(more, self.squares[way][:count], tokens), tokens)

  @staticmethod
  def _mean(total: Any, squares: Any, count: Any) -> tuple[Any, Any]:
    with np.errstate(invalid="ignore", divide="ignore"):
      mean = np.divide(total, count)
      variance = np.maximum(np.divide(squares, count) - mean**2, 0)
      return mean, np.sqrt(variance / count)
