"""The side of the split that each document of a source stands on.

What a source is stands in `jaxmem.data.documents`; several are a mixture,
`mix:WEIGHT*SOURCE,...`, see `jaxmem.data.mixture`.

About a tenth of the bytes is held out, by *group*: the first component of the name, a
package or a directory. Near-copies such as encodings/cp1250.py and encodings/cp1251.py
share a group and so never stand on both sides; equal documents never do, whatever
their groups: `jaxmem.data.leaks` has the rule.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from jaxmem.core.errors import DataError
from jaxmem.data import leaks, mixture
from jaxmem.data.documents import find
from jaxmem.data.piece import Piece


def split(source: str, heldout: str = "") -> leaks.Parted:
  """The documents of a source, parted into training and held-out.

  Groups are walked in the order of the SHA-256 of their names, and each that keeps the
  held-out bytes at or below a tenth of all is held out. Where no group is that small (a
  single book, three files) the last tenth of the bytes is held out, in the order of the
  names: the one document that the cut goes through stands on both sides, its beginning
  in training and its end in held-out. Equal documents are on one side, see
  `jaxmem.data.leaks`.

  Args:
    source: any but a mixture.
    heldout: a source whose documents are the held-out ones, all of `source` then being
      training; "" applies the rule above.

  Returns:
    {"train": pieces, "heldout": pieces}, neither empty, each sorted by name.

  Raises:
    DataError: if a source does not exist, matches no file or only empty ones, if it is
      too small to part, if a file stands in both sources, or if training has no
      document that is not held out.
  """
  sides, repeats = _split(source, heldout and _known(heldout), heldout)
  return _pieces(sides, repeats)


def mixed(
  source: str, heldout: str = ""
) -> tuple[leaks.Parted, tuple[mixture.Share, ...]]:
  """As `split`, of mixtures too.

  Each component is parted by the rule of `split`, and its documents are named behind
  its number. What is held out is not weighed. Documents of one component that are held
  out in another leave training.

  Args:
    source: any source.
    heldout: as for `split`; not a mixture.

  Returns:
    The pieces of both sides, component by component, and the components' shares of
    training, () for what is not a mixture.

  Raises:
    DataError: as `split`, or if a file is training in one component and held out in
      another.
  """
  if not source.startswith(mixture.PREFIX):
    return split(source, heldout), ()
  components = mixture.parse(source)
  held = heldout and _known(heldout)
  parts, repeats = zip(*(_split(c, held, heldout) for _, c in components), strict=True)
  if heldout:
    parts = [{"train": p["train"], "heldout": []} for p in parts]
    parts[0]["heldout"] = held  # the same for every component
  else:
    _refuse_leak(source, parts)
    parts, lost = _apart(source, parts)
    repeats += (lost,)
  shares = tuple(
    mixture.Share(weight, len(own["train"]), sum(k.piece.size for k in own["train"]))
    for (weight, _), own in zip(components, parts, strict=True)
  )
  sides = {
    side: [k.below(i) for i, own in enumerate(parts) for k in own[side]]
    for side in ("train", "heldout")
  }
  return _pieces(sides, sum(repeats, leaks.Repeats())), shares


class _Known(NamedTuple):
  """A document, or a part of one, and what tells equal documents.

  Attributes:
    piece: where it is.
    key: of the whole document, see `leaks.key`.
  """

  piece: Piece
  key: leaks.Key

  def below(self, number: int) -> "_Known":
    """Named below the number of a component."""
    named = dataclasses.replace(self.piece, name=f"{number}/{self.piece.name}")
    return self._replace(piece=named)


_Sides = dict[str, list[_Known]]


def _known(source: str) -> list[_Known]:
  return [_Known(piece, leaks.key(piece.read())) for piece in find(source)]


def _keys(every: Iterable[_Known]) -> list[leaks.Key]:
  return [known.key for known in every]


def _pieces(sides: _Sides, repeats: leaks.Repeats) -> leaks.Parted:
  return leaks.Parted({s: [k.piece for k in own] for s, own in sides.items()}, repeats)


def _split(
  source: str, held: list[_Known] | str, heldout: str
) -> tuple[_Sides, leaks.Repeats]:
  """Parts one source; `held` are the documents of `heldout`, if it is given."""
  every = _known(source)
  if heldout:
    _refuse_overlap(every, held, source, heldout)
    return _without(every, held, source)
  total = sum(known.piece.size for known in every)
  groups = _heldout_groups([known.piece for known in every])
  if total < 2 or not groups:
    return _cut(every, source)
  if not _shared(every, groups):
    return _by_group(every, groups), leaks.Repeats()
  names = [known.piece.group for known in every]
  together = leaks.joined(names, _keys(every))
  if whole := _heldout_groups([known.piece for known in every], together):
    count = sum(i != first for i, first in enumerate(leaks.first_of_each(_keys(every))))
    return _by_group(every, whole), leaks.Repeats(together=count)
  sides = _by_group(every, groups)
  held = leaks.known(_keys(sides["heldout"]))
  if all(known.key in held for known in sides["train"]):
    return _cut(every, source)
  return _without(sides["train"], sides["heldout"], source)


def _by_group(every: Sequence[_Known], groups: set[str]) -> _Sides:
  return {
    "train": [known for known in every if known.piece.group not in groups],
    "heldout": [known for known in every if known.piece.group in groups],
  }


def _shared(every: Sequence[_Known], groups: set[str]) -> bool:
  """Whether a document is on both sides."""
  sides = _by_group(every, groups)
  return bool(leaks.known(_keys(sides["train"])) & leaks.known(_keys(sides["heldout"])))


def _without(
  train: list[_Known], held: list[_Known], source: str
) -> tuple[_Sides, leaks.Repeats]:
  """Training without what is held out."""
  parted = leaks.separate(
    {"train": train, "heldout": held}, lambda k: k.key, repr(source), "documents"
  )
  return dict(parted), parted.repeats


def _apart(source: str, parts: Sequence[_Sides]) -> tuple[list[_Sides], leaks.Repeats]:
  """Components without what is held out in another one."""
  found, lost = [], 0
  for i, own in enumerate(parts):
    others = {
      key
      for j, other in enumerate(parts)
      if j != i
      for key in leaks.known(_keys(other["heldout"]))
    }
    train, left_out = leaks.without(own["train"], _keys(own["train"]), others)
    if not train:
      raise DataError(
        f"all {left_out} documents of component {i} of source {source!r} are held out "
        "in another: keep components apart, or name another source as heldout"
      )
    found.append(own | {"train": train})
    lost += left_out
  return found, leaks.Repeats(left_out=lost)


def _refuse_leak(source: str, parts: Sequence[_Sides]) -> None:
  """Refuses a file that is training in one component and held out in another."""
  place = functools.cache(leaks.place)  # a file may have many documents
  places: dict[str, dict] = {"train": {}, "heldout": {}}
  for i, own in enumerate(parts):
    for side, every in own.items():
      for known in every:
        at = place(known.piece.path)
        places[side].setdefault(at, (known.piece.path, set()))[1].add(i)
  for at, (path, components) in places["heldout"].items():
    others = places["train"].get(at, (path, set()))[1]
    if others and len(others | components) > 1:
      raise DataError(
        f"{path} is training in one component of source {source!r} and held out in "
        "another: keep components apart, or name another source as heldout"
      )


def _heldout_groups(
  pieces: Sequence[Piece], together: Mapping[str, str] | None = None
) -> set[str]:
  """Groups of a tenth of the bytes.

  Args:
    pieces: the documents.
    together: for each group the name of those that stand with it on one side.
  """
  together = together or {piece.group: piece.group for piece in pieces}
  sizes: dict[str, int] = {}
  for piece in pieces:
    one = together[piece.group]
    sizes[one] = sizes.get(one, 0) + piece.size
  room = sum(sizes.values()) // 10
  held, walked = set(), set()
  for group in sorted(together, key=_hash):
    one = together[group]
    if one not in walked and sizes[one] <= room:
      room -= sizes[one]
      held.add(one)
    walked.add(one)
  return {group for group, one in together.items() if one in held}


def _hash(group: str) -> bytes:
  return hashlib.sha256(os.fsencode(group)).digest()


def _cut(every: Sequence[_Known], source: str) -> tuple[_Sides, leaks.Repeats]:
  """The last tenth of the bytes and what stands before it.

  Of equal documents the first counts, and the others stand with it. Those that are
  equal to the one that is cut are left out.
  """
  firsts = leaks.first_of_each(_keys(every))
  different = [known for i, known in enumerate(every) if firsts[i] == i]
  total = sum(known.piece.size for known in different)
  if total < 2:
    raise DataError(
      f"source {source!r} holds {total} byte, too little to hold a part out: give at "
      "least 2 bytes, or name another source as heldout"
    )
  at, begin = total - max(1, total // 10), 0
  sides: _Sides = {"train": [], "heldout": []}
  whole: dict[leaks.Key, str] = {}
  for known in different:
    piece = known.piece
    here = min(max(piece.start, piece.start + at - begin), piece.stop)
    if piece.start < here < piece.stop:
      here = piece.border(here)
    before, behind = (
      dataclasses.replace(piece, **part) for part in ({"stop": here}, {"start": here})
    )
    begin += piece.size
    sides["train"] += [known._replace(piece=before)] if before.size else []
    sides["heldout"] += [known._replace(piece=behind)] if behind.size else []
    if not (before.size and behind.size):
      whole[known.key] = "train" if before.size else "heldout"
  left_out = 0
  for i, known in enumerate(every):
    if firsts[i] != i and known.key in whole:
      sides[whole[known.key]].append(known)
    elif firsts[i] != i:
      left_out += 1
  for own in sides.values():
    own.sort(key=lambda known: known.piece.name)
  together = len(every) - len(different) - left_out
  return sides, leaks.Repeats(together, left_out)


def _refuse_overlap(
  every: Sequence[_Known], held: Sequence[_Known], source: str, heldout: str
) -> None:
  place = functools.cache(leaks.place)  # a file may have many documents
  real = {place(known.piece.path): known.piece.name for known in every}
  both = [known.piece for known in held if place(known.piece.path) in real]
  if both:
    first, other = both[0].name, real[place(both[0].path)]
    name = first if first == other else f"{first}, in {source!r} {other}"
    raise DataError(
      f"{len(both)} files stand in both source {source!r} and heldout {heldout!r}, the "
      f"first is {name}: keep them apart, or the held-out loss means nothing"
    )
