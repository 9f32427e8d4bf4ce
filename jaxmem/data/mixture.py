"""Mixtures: several sources, each at its share of the tokens.

`mix:0.7*stdlib,0.3*path/to/dir` is fair queueing. Every component is its documents in
a new order each epoch, epoch after epoch without end. A document that begins at token
b of its component falls due at b / weight, and documents are read whole, in the order
in which they fall due. So after any number of tokens a component is off its share by
no more than the longest documents, and every epoch of every component reads each of
its documents once, at its own pace.

That order is one fixed token stream without end, in which any position is found without
reading up to it: due dates say nearly where it is. `Lanes` cuts the stream as it cuts
an epoch, and so stays a function of the step alone. It would be simpler to divide the
lanes among the components, but then weights would be multiples of 1 / batch_size, and a
lane would never see two components.
"""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from jaxmem.core.errors import DataError

PREFIX = "mix:"


class Share(NamedTuple):
  """One component of a mixture, as it lies in the documents of a corpus.

  Attributes:
    weight: its share of the tokens; those of a mixture add up to 1.
    documents: how many documents it has; components follow one another.
    num_bytes: bytes of these documents.
  """

  weight: float
  documents: int
  num_bytes: int


class Stretch(NamedTuple):
  """A stretch of a token stream: its documents in order, and where each begins.

  Attributes:
    documents: indices into the corpus.
    begins: of each, from the start of the stretch; the first may be negative.
    end: the position after the last token that may be read.
  """

  documents: Int64[np.ndarray, " documents"]
  begins: Int64[np.ndarray, " documents"]
  end: int


Order = Stretch  # the name before 0.2; it goes in 0.3


def parse(source: str) -> list[tuple[float, str]]:
  """Returns the components of a mixture, their weights scaled to a sum of 1.

  Args:
    source: "mix:WEIGHT*SOURCE,WEIGHT*SOURCE,..."; a comma that no weight follows
      belongs to the source.

  Returns:
    (weight, source) pairs.

  Raises:
    DataError: if a component has no weight or one that is not above 0.
  """
  pairs = []
  for part in re.split(r",(?=[-+.\deE]+\*)", source.removeprefix(PREFIX)):
    number, star, component = part.partition("*")
    try:
      weight = float(number)
    except ValueError:
      weight = 0.0
    if not (star and component and 0 < weight < float("inf")):
      raise DataError(
        f"{part!r} in source {source!r} is not WEIGHT*SOURCE with a weight above 0: "
        "write it like mix:0.7*stdlib,0.3*path/to/dir"
      )
    if component.startswith(PREFIX):
      raise DataError(f"source {source!r} has a mixture in it: write one flat mixture")
    pairs.append((weight, component))
  total = sum(weight for weight, _ in pairs)
  return [(weight / total, component) for weight, component in pairs]


def shuffled(count: int, *seeds: int) -> Int64[np.ndarray, " count"]:
  """Returns 0 .. count - 1 in an order that the seeds decide in all versions.

  It sorts raw Philox words: numpy promises that these never change, which it does not
  promise of Generator.permutation, and a resumed run may meet a newer numpy.
  """
  random = np.random.Philox(np.random.SeedSequence(seeds))
  return np.argsort(random.random_raw(count), kind="stable")


class Schedule:
  """The order of a mixture's documents, without end, found at any position."""

  def __init__(self, starts: np.ndarray, shares: tuple[Share, ...], seed: int):
    """Prepares the components; epochs are ordered when they are read.

    Args:
      starts: where each document begins in the tokens, and last their number.
      shares: the components.
      seed: decides the order of documents in every epoch of every component.
    """
    borders = np.cumsum([0] + [share.documents for share in shares])  # [components + 1]
    self._first = borders[:-1]
    self._lengths = [
      np.diff(starts[low : high + 1])
      for low, high in zip(borders[:-1], borders[1:], strict=True)
    ]
    self._weights = [share.weight for share in shares]
    self._totals = [int(lengths.sum()) for lengths in self._lengths]
    self._slack = sum(int(lengths.max()) for lengths in self._lengths)
    self._seed = seed
    # A stretch reads many epochs of small components, and one or two of large ones.
    self._epoch = functools.lru_cache(maxsize=2 * len(shares) + 2)(self._make_epoch)

  def stretch(self, begin: int, length: int) -> Stretch:
    """Returns the documents that cover some tokens, and perhaps a few more.

    Args:
      begin: the first token, >= 0 and below 2**52: due dates are double precision.
      length: tokens.
    """
    # At least t tokens fall due before t, and at most t and one document of each
    # component: so what is due `slack` earlier was read before `begin`.
    low, high = max(begin - self._slack - 1, 0), begin + length + 1
    components = [self._due(k, low, high) for k in range(len(self._weights))]
    due, documents, lengths = (
      np.concatenate(part) for part in zip(*components, strict=True)
    )
    order = np.argsort(due, kind="stable")  # a tie goes to the first component
    ends = np.cumsum(lengths[order]) + self._before(low) - begin  # from `begin` on
    return Stretch(documents[order], ends - lengths[order], int(ends[-1]))

  def _due(self, k: int, low: int, high: int) -> tuple[np.ndarray, ...]:
    """Returns due dates, indices and lengths of component k, due from low to high."""
    parts = []
    for epoch in self._epochs(k, low, high):
      documents, begins = self._epoch(k, epoch)
      due = (begins + epoch * self._totals[k]) / self._weights[k]
      is_due = (due >= low) & (due <= high)
      selected = documents[is_due]
      parts.append((due[is_due], selected + self._first[k], self._lengths[k][selected]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

  def _before(self, low: int) -> int:
    """Returns how many tokens fall due before `low`."""
    return sum(self._begin_of_first(k, low) for k in range(len(self._weights)))

  def _begin_of_first(self, k: int, low: int) -> int:
    """Returns where in component k its first document begins that is due at `low`."""
    total = self._totals[k]
    for epoch in self._epochs(k, low, low + self._slack / self._weights[k] + total):
      begins = self._epoch(k, epoch)[1] + epoch * total
      later = begins[begins / self._weights[k] >= low]
      if len(later):
        return int(later[0])
    return (epoch + 1) * total

  def _epochs(self, k: int, low: float | int, high: float | int) -> Iterator[int]:
    """Yields the epochs of component k with documents that are due from low to high."""
    # One more epoch on both sides, since rounding may move a document over a border.
    rate = self._weights[k] / self._totals[k]
    return iter(range(max(int(low * rate) - 1, 0), int(high * rate) + 2))

  def _make_epoch(self, k: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns component k's documents in an epoch's order, and where each begins."""
    # in the component
    documents = shuffled(len(self._lengths[k]), self._seed, k, epoch)
    lengths = self._lengths[k][documents]
    return documents, np.cumsum(lengths) - lengths
