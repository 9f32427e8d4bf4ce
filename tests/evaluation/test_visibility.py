"""Visibility: of masks by their rule, of memories by the inputs that move outputs."""

import re

import numpy as np
import pytest

from jaxmem import cli, mixers
from jaxmem.core.errors import UserError
from jaxmem.evaluation import visibility
from jaxmem.models.pattern import entry, mixer
from jaxmem.ops.attention_core import masks
from jaxmem.testing import example_of

MASKED = [n for n in mixers.names() if hasattr(mixers.get(n).Mixer, "mask")]


@pytest.mark.parametrize("name", MASKED)
def test_influence_of_a_masked_memory_is_its_mask(name):
  """Changing a token moves exactly the outputs whose mask includes it."""
  layer = mixer(entry(name, **example_of(name)), 8, "float32", parent=None)
  reset = visibility.documents([17, 15])

  moved = visibility.influence(layer, reset) > 0

  np.testing.assert_array_equal(
    moved, visibility.seen(layer.mask, reset, layer.num_heads)
  )


def test_recurrence_sees_its_document_up_to_itself():
  layer = mixer(entry("gru"), 8, "float32", parent=None)
  reset = visibility.documents([9, 7])

  moved = visibility.influence(layer, reset) > 0

  np.testing.assert_array_equal(moved, visibility.seen(masks.Causal(), reset))


@pytest.mark.parametrize(
  ("item", "both_ways"),
  [
    # forgets within a token or two, below the resolution of float32
    (entry("gla", num_heads=2, temperature=0.01), False),
    (entry("mamba2", num_heads=2, state_dim=4), False),
    (entry("window", num_heads=2, window_size=2, beside="gru"), False),
    (entry("parallel", "window:num_heads=2:window_size=2", "gru"), False),
    (entry("learned_init", entry("gated_delta", num_heads=2)), False),
    (entry("bidirectional", entry("rglru", num_heads=2)), True),
  ],
  ids=str,
)
def test_influence_that_underflows_is_still_seen(item, both_ways):
  layer = mixer(item, 8, "float32", parent=None)
  reset = visibility.documents([9, 7])
  causal = visibility.seen(masks.Causal(), reset)

  sees = visibility.sees(layer, reset)

  np.testing.assert_array_equal(sees, causal | causal.T if both_ways else causal)


def test_draw_counts_pairs_too_faint_to_measure(tmp_path, capsys):
  path = tmp_path / "picture.png"
  memory = "gla:num_heads=2:temperature=0.01"

  assert cli.run(["draw", memory, "--length", "20", "--out", str(path)]) == 0

  out = capsys.readouterr().out
  assert "210 of 400 pairs seen" in out and "reaches 19 tokens back" in out
  faint = int(re.search(r"(\d+) of them move the output by less", out)[1])
  assert 100 < faint < 210


def test_layers_reach_a_window_further_each():
  sees = visibility.seen(masks.Causal() & masks.Window(3), visibility.documents([8]))

  needed = visibility.layers_needed(sees, 2)

  assert list(needed[7]) == [0, 0, 0, 2, 2, 1, 1, 1]


def test_parsed_mask_equals_the_built_one():
  expected = masks.Causal() & (masks.Window(8) | masks.First(2))
  assert visibility.parse("causal & (Window(size=8) | first(2))") == expected


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
def test_mask_that_cannot_be_parsed_is_reported(text, words):
  with pytest.raises(UserError) as error:
    visibility.parse(text)
  assert all(word in str(error.value) for word in words)


def test_draw_names_the_memory_that_a_misspelt_one_is_near(tmp_path, capsys):
  out = str(tmp_path / "x.png")
  assert cli.run(["draw", "windo:window_size=8", "--out", out]) == 2
  assert "no memory 'windo': did you mean 'window'?" in capsys.readouterr().err


@pytest.mark.parametrize(
  "subject", ["causal & window(8)", "window:window_size=8", "gru"]
)
def test_draw_writes_a_picture_and_counts(tmp_path, capsys, subject):
  path = tmp_path / "picture.png"

  code = cli.run(["draw", subject, "--documents", "40,24", "--out", str(path)])

  assert code == 0
  assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5000
  out = capsys.readouterr().out
  if subject != "gru":  # 8 a query, fewer at the start of each document
    assert f"{64 * 8 - 2 * 28} of 4,096 pairs" in out
    assert "14 of 64 blocks of 8 x 8" in out and "reaches 7 tokens back" in out
