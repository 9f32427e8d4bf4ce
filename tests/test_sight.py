"""Who can see what: masks by their rule, memories by what moves their outputs."""

import numpy as np
import pytest

from jaxmem import cli, modules
from jaxmem.errors import UserError
from jaxmem.evals import sight
from jaxmem.modules.pattern import entry, mixer
from jaxmem.ops import masks
from jaxmem.testing import example_of

MASKED = [n for n in modules.names() if hasattr(modules.get(n).Mixer, "mask")]


@pytest.mark.parametrize("name", MASKED)
def test_memory_sees_what_its_mask_says(name):
  """Changing a token moves exactly the outputs that the mask lets see it."""
  layer = mixer(entry(name, **example_of(name)), 8, "float32", parent=None)
  reset = sight.documents([17, 15])

  moved = sight.influence(layer, reset) > 0

  np.testing.assert_array_equal(moved, sight.seen(layer.mask, reset, layer.num_heads))


def test_recurrence_sees_its_document_up_to_itself():
  layer = mixer(entry("gru"), 8, "float32", parent=None)
  reset = sight.documents([9, 7])

  moved = sight.influence(layer, reset) > 0

  np.testing.assert_array_equal(moved, sight.seen(masks.Causal(), reset))


def test_layers_reach_a_window_further_each():
  sees = sight.seen(masks.Causal() & masks.Window(3), sight.documents([8]))

  needed = sight.layers_needed(sees, 2)

  assert list(needed[7]) == [0, 0, 0, 2, 2, 1, 1, 1]


def test_mask_is_read_as_written():
  known = masks.Causal() & (masks.Window(8) | masks.First(2))
  assert sight.parse("causal & (Window(size=8) | first(2))") == known


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("causl", ["'causl'", "'causal'"]),
    ("causal +", ["cannot read", "causal +"]),
    ("window()", ["cannot read", "size"]),
    ("__import__('os')", ["__import__"]),
    ("causal - window(3)", ["cannot read"]),
  ],
)
def test_mask_that_cannot_be_read_is_said(text, words):
  with pytest.raises(UserError) as error:
    sight.parse(text)
  assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("what", ["causal & window(8)", "window:window_size=8", "gru"])
def test_draw_writes_a_picture_and_counts(tmp_path, capsys, what):
  path = tmp_path / "sight.png"

  code = cli.run(["draw", what, "--documents", "40,24", "--out", str(path)])

  assert code == 0
  assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5000
  out = capsys.readouterr().out
  if what != "gru":  # 8 a query, fewer at the start of each document
    assert f"{64 * 8 - 2 * 28} of 4096 pairs" in out
    assert "14 of 64 blocks of 8 x 8" in out and "reaches 7 tokens back" in out
