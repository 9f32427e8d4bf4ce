"""The split of a source: which documents train, and which are held out.

`jaxmem.data.documents` says what a source is; several sources are a mixture,
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
from jaxmem.data.file_slice import FileSlice


def split(source: str, heldout: str = "") -> leaks.Parted:
  """Splits the documents of a source into training and held-out ones.

  Groups are walked in the order of the SHA-256 of their names, and each that keeps the
  held-out bytes at or below a tenth of all is held out. Where no group is that small (a
  single book, three files) the last tenth of the bytes is held out, in the order of the
  names: the one document that the cut goes through stands on both sides, its beginning
  in training and its end in held-out. Equal documents are on one side, see
  `jaxmem.data.leaks`.

  Args:
    source: any source but a mixture.
    heldout: a source whose documents are held out, all of `source` being training then;
      "" applies the rule above.

  Returns:
    {"train": slices, "heldout": slices}, neither empty, each sorted by name.

  Raises:
    DataError: if a source does not exist, matches no file or only empty ones, if it is
      too small to split, if a file stands in both sources, or if training has no
      document that is not held out.
  """
  sides, repeats = _split(source, heldout and _keyed(heldout), heldout)
  return _slices(sides, repeats)


def mixed(
  source: str, heldout: str = ""
) -> tuple[leaks.Parted, tuple[mixture.Share, ...]]:
  """Splits a source that may be a mixture.

  Each component is split as by `split`, and its number is put before the names of its
  documents. Held-out documents have no weight. Documents of one component that are held
  out in another leave training.

  Args:
    source: any source.
    heldout: as for `split`; not a mixture.

  Returns:
    The slices of both sides by component, and the components' shares of training, ()
    for what is not a mixture.

  Raises:
    DataError: as `split`, or if a file is training in one part and held out in another.
  """
  if not source.startswith(mixture.PREFIX):
    return split(source, heldout), ()
  components = mixture.parse(source)
  holdout = heldout and _keyed(heldout)
  pairs = (_split(component, holdout, heldout) for _, component in components)
  parts, repeats = zip(*pairs, strict=True)
  if heldout:
    parts = [{"train": sides["train"], "heldout": []} for sides in parts]
    parts[0]["heldout"] = holdout  # the same for every component
  else:
    _refuse_leak(source, parts)
    parts, left_out = _apart(source, parts)
    repeats += (left_out,)
  shares = tuple(
    mixture.Share(weight, len(train), sum(d.slice.size for d in train))
    for (weight, _), train in zip(components, (s["train"] for s in parts), strict=True)
  )
  joined = {
    side: [document.below(i) for i, p in enumerate(parts) for document in p[side]]
    for side in ("train", "heldout")
  }
  return _slices(joined, sum(repeats, leaks.Repeats())), shares


class _Keyed(NamedTuple):
  """A document, or a part of one, and the key that equal documents share.

  Attributes:
    slice: where it lies.
    key: that of the whole document, see `leaks.key`.
  """

  slice: FileSlice
  key: leaks.Key

  def below(self, number: int) -> "_Keyed":
    """Returns the document named below the number of a component."""
    name = f"{number}/{self.slice.name}"
    return _Keyed(dataclasses.replace(self.slice, name=name), self.key)


_Sides = dict[str, list[_Keyed]]
_Split = tuple[_Sides, leaks.Repeats]


def _keyed(source: str) -> list[_Keyed]:
  """Reads every document of a source for its key."""
  return [_Keyed(document, leaks.key(document.read())) for document in find(source)]


def _keys(documents: Iterable[_Keyed]) -> list[leaks.Key]:
  return [document.key for document in documents]


def _slices(sides: _Sides, repeats: leaks.Repeats) -> leaks.Parted:
  """Returns the sides without the keys."""
  slices = {side: [d.slice for d in documents] for side, documents in sides.items()}
  return leaks.Parted(slices, repeats)


def _split(source: str, holdout: list[_Keyed] | str, heldout: str) -> _Split:
  """Splits one source; equal documents are on one side.

  Groups that share a document are taken together, or, if that makes them too large,
  stay apart and training loses the copies. If training would lose everything, or no
  group is small enough, the last tenth of the bytes is cut off.
  """
  documents = _keyed(source)
  if heldout:
    _refuse_overlap(documents, holdout, source, heldout)
    return _without(documents, holdout, source)
  slices = [document.slice for document in documents]
  groups = _heldout_groups(slices)
  if sum(s.size for s in slices) < 2 or not groups:
    return _cut(documents, source)
  if not _shared(documents, groups):
    return _by_group(documents, groups), leaks.Repeats()
  keys = _keys(documents)
  together = leaks.joined([s.group for s in slices], keys)
  if joined_groups := _heldout_groups(slices, together):
    repeats = sum(i != first for i, first in enumerate(leaks.first_of_each(keys)))
    return _by_group(documents, joined_groups), leaks.Repeats(together=repeats)
  sides = _by_group(documents, groups)
  heldout_keys = leaks.content_keys(_keys(sides["heldout"]))
  if all(document.key in heldout_keys for document in sides["train"]):
    return _cut(documents, source)
  return _without(sides["train"], sides["heldout"], source)


def _by_group(documents: Sequence[_Keyed], groups: set[str]) -> _Sides:
  """Holds out the documents of some groups."""
  return {
    "train": [d for d in documents if d.slice.group not in groups],
    "heldout": [d for d in documents if d.slice.group in groups],
  }


def _shared(documents: Sequence[_Keyed], groups: set[str]) -> bool:
  """Returns whether a document stands on both sides."""
  train, heldout = map(_keys, _by_group(documents, groups).values())
  return not leaks.content_keys(train).isdisjoint(heldout)


def _without(train: list[_Keyed], heldout: list[_Keyed], source: str) -> _Split:
  """Takes out of training what equals a held-out document."""
  splits = {"train": train, "heldout": heldout}
  parted = leaks.separate(splits, lambda d: d.key, repr(source), "documents")
  return dict(parted), parted.repeats


def _apart(source: str, parts: Sequence[_Sides]) -> tuple[list[_Sides], leaks.Repeats]:
  """Takes out of each component's training what another component holds out."""
  separated, total = [], 0
  for i, sides in enumerate(parts):
    heldout_keys = leaks.content_keys(
      key for j, p in enumerate(parts) if j != i for key in _keys(p["heldout"])
    )
    train, left_out = leaks.without(sides["train"], _keys(sides["train"]), heldout_keys)
    if not train:
      raise DataError(
        f"all {left_out} documents of component {i} of source {source!r} are held out "
        "in another: keep components apart, or name another source as heldout"
      )
    separated.append(sides | {"train": train})
    total += left_out
  return separated, leaks.Repeats(left_out=total)


def _refuse_leak(source: str, parts: Sequence[_Sides]) -> None:
  """Refuses a file that is training in one component and held out in another."""
  file_id = functools.cache(leaks.file_id)  # a file may have many documents
  files: dict[str, dict] = {"train": {}, "heldout": {}}  # id -> path, components
  for i, sides in enumerate(parts):
    for side, documents in sides.items():
      for document in documents:
        path = document.slice.path
        files[side].setdefault(file_id(path), (path, set()))[1].add(i)
  for number, (path, components) in files["heldout"].items():
    trained = files["train"].get(number, (path, set()))[1]
    if trained and len(trained | components) > 1:
      raise DataError(
        f"{path} is training in one component of source {source!r} and held out in "
        "another: keep components apart, or name another source as heldout"
      )


def _heldout_groups(
  slices: Sequence[FileSlice], together: Mapping[str, str] | None = None
) -> set[str]:
  """Returns groups of about a tenth of the bytes.

  Args:
    slices: the documents.
    together: for each group the name of the set of groups that stays on one side with
      it; None makes every group a set of its own.
  """
  together = together or {document.group: document.group for document in slices}
  sizes: dict[str, int] = {}
  for document in slices:
    joint = together[document.group]
    sizes[joint] = sizes.get(joint, 0) + document.size
  room = sum(sizes.values()) // 10
  heldout, visited = set(), set()
  # in the order of a hash, so that neither names nor the order of files decide
  for group in sorted(together, key=lambda g: hashlib.sha256(os.fsencode(g)).digest()):
    joint = together[group]
    if joint not in visited and sizes[joint] <= room:
      room -= sizes[joint]
      heldout.add(joint)
    visited.add(joint)
  return {group for group, joint in together.items() if joint in heldout}


def _cut(documents: Sequence[_Keyed], source: str) -> _Split:
  """Holds out the last tenth of the bytes; everything before it is training.

  Of equal documents the first counts, and the others stand with it. Those that are
  equal to the one that is cut are left out.
  """
  firsts = leaks.first_of_each(_keys(documents))
  different = [d for i, d in enumerate(documents) if firsts[i] == i]
  total = sum(d.slice.size for d in different)
  if total < 2:
    raise DataError(
      f"source {source!r} holds {total} byte, too little to hold a part out: give at "
      "least 2 bytes, or name another source as heldout"
    )
  # offsets in all documents end to end: of the cut, and of the current document
  cut, begin = total - max(1, total // 10), 0
  sides: _Sides = {"train": [], "heldout": []}
  side_of: dict[leaks.Key, str] = {}  # of the documents that are not cut
  for document in different:
    part = document.slice
    at = min(max(part.start, part.start + cut - begin), part.stop)
    if part.start < at < part.stop:
      at = part.border(at)
    head = dataclasses.replace(part, stop=at)
    tail = dataclasses.replace(part, start=at)
    begin += part.size
    sides["train"] += [document._replace(slice=head)] if head.size else []
    sides["heldout"] += [document._replace(slice=tail)] if tail.size else []
    if not (head.size and tail.size):
      side_of[document.key] = "train" if head.size else "heldout"
  left_out = 0
  for i, document in enumerate(documents):
    if firsts[i] != i and document.key in side_of:
      sides[side_of[document.key]].append(document)
    elif firsts[i] != i:
      left_out += 1
  for side in sides.values():
    side.sort(key=lambda d: d.slice.name)
  together = len(documents) - len(different) - left_out
  return sides, leaks.Repeats(together, left_out)


def _refuse_overlap(
  documents: Sequence[_Keyed], holdout: Sequence[_Keyed], source: str, heldout: str
) -> None:
  """Refuses a file that both sources have."""
  file_id = functools.cache(leaks.file_id)  # a file may have many documents
  names = {file_id(d.slice.path): d.slice.name for d in documents}
  shared = [d.slice for d in holdout if file_id(d.slice.path) in names]
  if shared:
    first, other = shared[0].name, names[file_id(shared[0].path)]
    name = first if first == other else f"{first}, in {source!r} {other}"
    raise DataError(
      f"{len(shared)} files stand in both source {source!r} and heldout {heldout!r}, "
      f"the first is {name}: keep them apart, or the held-out loss means nothing"
    )
