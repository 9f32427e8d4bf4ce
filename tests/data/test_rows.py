"""The batch of a step is a pure function of it, shared out by rows."""

import hashlib

import numpy as np
import pytest

from jaxmem.data.epochs import Epochs, Fresh
from jaxmem.data.rows import Rows, fingerprint


def rows(process=(0, 1)):
  """Returns batches of ten examples, each the square of its number."""

  def collate(items, numbers):
    return {"square": items**2, "drawn": numbers % 7}

  return Rows(Epochs(10, 4, 0, *process), collate, fingerprint(("squares", 10)))


def test_processes_share_the_rows_of_a_step():
  batch, parts = rows()[3], [rows((i, 2))[3] for i in range(2)]

  assert batch["rows"].tolist() == [12, 13, 14, 15]
  for key, value in batch.items():
    np.testing.assert_array_equal(value, np.concatenate([p[key] for p in parts]))
  epochs = [a for step in range(5) for a in rows()[step]["square"].tolist()]
  assert sorted(epochs) == sorted([i**2 for i in range(10)] * 2)


def test_an_order_without_end_has_the_steps_that_are_named():
  order = Fresh(4, (1, 2), steps=3)

  assert order[2][1].tolist() == [10, 11]
  with pytest.raises(IndexError, match="outside 0 .. 2"):
    order[3]


def test_fingerprint_is_of_the_choices_and_then_of_the_content():
  """Checkpoints have it: the bytes that are hashed must never change."""
  digest = hashlib.sha256(b'["format 1", [8, 2]]' + b"ab" + b"c").hexdigest()

  assert fingerprint(("format 1", (8, 2)), [b"ab", b"c"]) == digest
