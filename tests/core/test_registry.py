"""Hints at misspelt names are right or absent."""

import pytest

from jaxmem import mixers
from jaxmem.core.registry import nearest
from jaxmem.models import pattern


@pytest.mark.parametrize(
  "name, names, meant",
  [
    ("windw", ["window", "gru"], "did you mean 'window'?"),
    ("gur", ["gru", "lru", "lstm"], "did you mean 'gru'?"),
    ("GRU", ["gru", "lru"], "did you mean 'gru'?"),
    ("trian", ["train", "laws"], "did you mean 'train'?"),
    ("learning-rate", ["learning_rate"], "did you mean 'learning_rate'?"),
    ("rwkv", ["gla", "rwkv6", "rwkv7"], "did you mean 'rwkv6' or 'rwkv7'?"),
    ("heads", ["num_heads", "beside"], "did you mean 'num_heads'?"),
    ("size", ["beside", "window_size", "block_size"],
     "did you mean 'window_size' or 'block_size'?"),
    ("size", ["beside", "num_heads"], "known: beside, num_heads"),
    ("epochs", ["steps", "seed"], "known: seed, steps"),
    ("x", ["a", "b"], "known: a, b"),
    ("", ["a"], "known: a"),
    ("a", [], "known: "),
  ],
)  # fmt: skip
def test_a_hint_is_right_or_absent(name, names, meant):
  assert nearest(name, names) == meant


@pytest.mark.parametrize("name", mixers.names())
def test_every_option_is_found_again_after_a_slip(name):
  """If one letter is doubled, the message names the option itself."""
  names = pattern.options(name)
  for option in names:
    assert repr(option) in nearest(option[:2] + option[1:], names)
