"""What was done is kept, read again, and never mixed with what is of another work."""

import json

import numpy as np
import pytest

from jaxmem.core.errors import RunError
from jaxmem.runtime.resumable import Ledger, ResumeError, Snapshot

NAMES = "work.json", "items.jsonl"


def _ledger(directory, identity=None, **options):
  options = dict(key=("task", "index"), names=NAMES) | options
  return Ledger(directory, identity or {"seed": 0}, **options)


def _line(index, **values):
  return {"task": "a", "index": index} | values


def test_finished_items_are_found_again_and_the_last_line_of_one_counts(tmp_path):
  ledger = _ledger(tmp_path / "new")
  assert ledger.append([_line(0, score=1.5)]) == [_line(0, score=1.5)]
  ledger.append([_line(1, score=2.5), _line(0, score=0.5)])

  again = _ledger(tmp_path / "new")

  assert again.done == ledger.done
  assert again.done["a", 0]["score"] == 0.5 and ("a", 2) not in again.done
  assert (tmp_path / "new" / NAMES[1]).read_text().count("\n") == 3


def test_line_that_was_cut_off_is_dropped_and_written_anew(tmp_path):
  _ledger(tmp_path).append([_line(0), _line(1)])
  path = tmp_path / NAMES[1]
  whole = path.read_bytes()
  path.write_bytes(whole + b'{"task": "a", "ind')

  ledger = _ledger(tmp_path)

  assert list(ledger.done) == [("a", 0), ("a", 1)] and path.read_bytes() == whole
  ledger.append([_line(2)])
  assert len(_ledger(tmp_path).done) == 3


def test_another_identity_is_refused_with_all_that_differs(tmp_path):
  _ledger(tmp_path, {"seed": 0, "rows": (1, 2), "text": "x"})
  _ledger(tmp_path, {"seed": 0, "rows": [1, 2], "text": "x"})  # as JSON gives it back

  message = (
    r"was begun with seed 0, this command has 1; text x, this command has y: give the "
    "same again, or name another --out"
  )
  with pytest.raises(ResumeError, match=message):
    _ledger(tmp_path, {"seed": 1, "rows": (1, 2), "text": "y"})


def test_identity_may_become_known_later_and_has_defaults(tmp_path):
  ledger = _ledger(tmp_path)
  ledger.agree({"weights": "w"})

  with pytest.raises(ResumeError, match="weights w, this command has v"):
    _ledger(tmp_path).agree({"weights": "v"})
  with pytest.raises(ResumeError, match="rate 0.5, this command has 2"):
    _ledger(tmp_path, {"rate": 2}, defaults={"rate": 0.5})
  assert json.loads((tmp_path / NAMES[0]).read_text()) == {"seed": 0, "weights": "w"}


@pytest.mark.parametrize(
  "name, text",
  [
    (NAMES[0], "[1]"),
    (NAMES[0], "{"),
    (NAMES[1], "no JSON\n"),
    (NAMES[1], '{"task": "a"}\n'),
    (NAMES[1], "[" * 100_000 + "\n"),
  ],
)
def test_damage_is_named(tmp_path, name, text):
  _ledger(tmp_path).append([_line(0)])
  (tmp_path / name).write_text(text)
  with pytest.raises(ResumeError, match=f"{name} is damaged"):
    _ledger(tmp_path)


def test_directory_that_cannot_be_used_is_named(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(ResumeError, match="cannot use --there .*file"):
    _ledger(tmp_path / "file", flag="--there")
  ledger = _ledger(tmp_path / "full")
  (tmp_path / "full" / NAMES[1]).mkdir()
  with pytest.raises(RunError, match="cannot write to .*items.jsonl"):
    ledger.append([_line(0)])


def test_snapshot_gives_back_numbers_and_arrays_and_is_replaced_whole(tmp_path):
  path = tmp_path / "state.npz"
  options = dict(every=60.0, flag="--progress")
  first = Snapshot(path, {"rows": 1}, **options)
  assert not first.begun and not first.numbers and not first.due()
  first.agree({"weights": "w"})
  for step in (1, 2):
    first.save({"step": step}, {"a": np.full(3, step), "b": np.zeros((2, 0))})

  again = Snapshot(path, {"rows": 1}, **options)
  again.agree({"weights": "w"})

  assert again.begun and again.numbers == {"step": 2}
  arrays = again.arrays({"a": np.zeros(3, np.int64), "b": np.zeros((2, 0))})
  assert arrays["a"].tolist() == [2, 2, 2] and arrays["b"].shape == (2, 0)
  assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
  with pytest.raises(ResumeError, match="rows 1, this command has 2"):
    Snapshot(path, {"rows": 2}, **options)
  with pytest.raises(ResumeError, match="it holds other arrays"):
    again.arrays({"a": np.zeros(4, np.int64), "b": np.zeros((2, 0))})


def test_identity_of_an_older_version_is_read_as_it_is_now(tmp_path):
  path = tmp_path / "state.npz"
  options = dict(every=60.0, flag="--progress")
  Snapshot(path, {"old": 1}, **options).save({}, [np.zeros(1)])

  def migrate(identity):
    return {"new": identity["old"]} if identity else {}

  Snapshot(path, {"new": 1}, migrate=migrate, **options)
  with pytest.raises(ResumeError, match="new 1, this command has 2"):
    Snapshot(path, {"new": 2}, migrate=migrate, **options)
