"""Tasks fix their examples, and every memory learns what its config says."""

import learning
import numpy as np
import pytest

from jaxmem import modules
from jaxmem.evals import tasks


@pytest.mark.parametrize("name", tasks.names())
def test_a_seed_fixes_the_examples(name):
  draw = lambda seed: tasks.get(name).draw(np.random.default_rng(seed), 4)

  for a, b in zip(draw(1), draw(1), strict=True):
    np.testing.assert_array_equal(a, b)
  assert (draw(1).tokens != draw(2).tokens).any()
  assert (draw(1).weights.sum(1) == 8).all()


def test_recall_asks_every_key_once_for_its_value():
  tokens, targets, weights = tasks.get("associative_recall").draw(
    np.random.default_rng(0), 50
  )
  for row in range(50):
    value = dict(zip(tokens[row, 0:16:2], tokens[row, 1:16:2], strict=True))
    asked = np.flatnonzero(weights[row])
    assert sorted(tokens[row, asked]) == sorted(value)
    assert [value[k] for k in tokens[row, asked]] == list(targets[row, asked])
    assert asked.min() >= 16


def test_copy_asks_for_the_symbols_in_order():
  tokens, targets, weights = tasks.get("selective_copy").draw(
    np.random.default_rng(0), 50
  )
  for row in range(50):
    assert list(tokens[row][tokens[row] > 1]) == list(targets[row, -8:])
    assert (tokens[row, -8:] == 1).all() and weights[row, :-8].sum() == 0


@pytest.mark.parametrize(
  "name, change, words",
  [
    ("associative_recall", {"pairs": 30}, "30 pairs need a length of 90"),
    ("selective_copy", {"symbols": 40}, "40 symbols need a length of 80"),
  ],
)
def test_what_does_not_fit_is_refused_with_numbers(name, change, words):
  with pytest.raises(ValueError, match=words):
    tasks.get(name).draw(np.random.default_rng(0), 2, **change)


@pytest.mark.slow
@pytest.mark.parametrize("name", modules.carrying())
def test_memory_learns_what_its_config_says(name):
  assert learning.learn(name) >= learning.promised(name) - 0.1
