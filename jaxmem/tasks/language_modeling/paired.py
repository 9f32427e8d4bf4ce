"""Costs of tokens in several ways of reading: sums by bucket, paired token by token.

All ways read the same tokens, so the difference of two ways has a standard error of its
own, far below that of either cost.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Buckets:
  """Means of n buckets.

  Attributes:
    edges: [n + 1], the borders of the buckets.
    mean: [n], the means; NaN where a bucket is empty.
    error: [n], the standard errors of the mean, as if tokens were independent.
    count: [n], the numbers of tokens.
  """

  edges: np.ndarray
  mean: np.ndarray
  error: np.ndarray
  count: np.ndarray


@dataclasses.dataclass(frozen=True)
class PairedSums:
  """Sums over the tokens of each of N buckets, float64.

  Attributes:
    bits: way -> [N], sums of the costs; differences are to the first way.
    squares: way -> [N], sums of the squared differences to the first way.
    tokens: [N], numbers of tokens.
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
      bucket: [n], the bucket of each token.
      costs: way -> [n] bits, in the order of `bits`.
    """
    count = len(self.tokens)
    first = next(iter(costs.values()))  # [n], the costs that others are compared to
    for way, cost in costs.items():
      self.bits[way] += np.bincount(bucket, weights=cost, minlength=count)
      squared = (cost - first) ** 2  # the first way's own are all 0
      self.squares[way] += np.bincount(bucket, weights=squared, minlength=count)
    self.tokens[:] += np.bincount(bucket, minlength=count)  # [N]

  def copy(self) -> "PairedSums":
    """Returns a copy, which later additions do not change."""
    bits, squares = (
      {way: values.copy() for way, values in sums.items()}
      for sums in (self.bits, self.squares)
    )
    return PairedSums(bits, squares, self.tokens.copy())

  def arrays(self) -> tuple[list, list, np.ndarray]:
    """Returns the sums as lists in the order of the ways, since JAX sorts dict keys."""
    return list(self.bits.values()), list(self.squares.values()), self.tokens

  def restored(self, arrays: tuple[list, list, np.ndarray]) -> "PairedSums":
    """Returns the sums of the same ways whose `arrays` these are."""
    bits, squares = (dict(zip(self.bits, values, strict=True)) for values in arrays[:2])
    return PairedSums(bits, squares, arrays[2])

  def gain(self, way: str, inside: Any) -> tuple[float, float]:
    """Returns the mean saving of the first way on a token, over some buckets.

    Args:
      way: the other way.
      inside: an index or a slice of the buckets.

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
    """Returns the mean saving of the first way on a token, by bucket.

    Args:
      way: the other way.
      edges: the edges of the first buckets; later buckets are left out.
    """
    count = len(edges) - 1
    total = (self.bits[way] - next(iter(self.bits.values())))[:count]
    tokens = self.tokens[:count]
    mean, error = self._mean(total, self.squares[way][:count], tokens)
    return Buckets(edges, mean, error, tokens)

  @staticmethod
  def _mean(total: Any, squares: Any, count: Any) -> tuple[Any, Any]:
    with np.errstate(invalid="ignore", divide="ignore"):  # empty buckets become NaN
      mean = np.divide(total, count)
      # E[x^2] - E[x]^2 may round below 0
      variance = np.maximum(np.divide(squares, count) - mean**2, 0)
      return mean, np.sqrt(variance / count)
