"""Layouts are undone exactly, and copies in blocks are copies."""

import itertools

import numpy as np
import pytest

from jaxmem.interop import layouts
from jaxmem.interop.layouts import conv_taps, copy, divided, matrix, of_heads, same


@pytest.mark.parametrize("shape", [(), (4,), (130, 70), (2, 300, 1, 70), (3, 65, 5)])
def test_an_array_of_any_order_is_copied(shape):
  array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
  for order in itertools.permutations(range(len(shape))):
    source = array.transpose(order)
    source = source[::-1] if shape else source
    target = np.full(source.shape, -1.0)
    copy(target, source)
    np.testing.assert_array_equal(target, source)


def test_a_negative_parameter_runs_backwards_and_is_written_as_it_was():
  layout = conv_taps(3, 2)._replace(negative=True)
  tensor = np.arange(6, dtype=np.float32).reshape(3, 1, 2) - 2
  param = layout.to_param(tensor)
  np.testing.assert_array_equal(param, [[1, -1, -3], [2, 0, -2]])
  assert np.array_equal(layout.to_tensor(param), tensor)
  assert not np.signbit(layout.to_tensor(layout.to_param(tensor))[1, 0, 0])


def test_parameters_lie_behind_one_another_in_a_tensor():
  rules = divided("w", {"a": matrix(2, 3), "b": matrix(2, 1), "c": matrix(2, 4)})
  tensor = np.arange(16.0).reshape(8, 2)
  written = np.empty_like(tensor)
  params = {rule.path: rule.to_param(tensor) for rule in rules}
  for rule in rules:
    rule.write(written, params[rule.path])
  assert [p.shape for p in params.values()] == [(2, 3), (2, 1), (2, 4)]
  np.testing.assert_array_equal(params["b"], [[6], [7]])
  np.testing.assert_array_equal(written, tensor)


@pytest.mark.parametrize("layout", [same(3, 4), of_heads(3, 4), matrix(3, 4)])
def test_a_layout_is_undone(layout):
  tensor = np.random.default_rng(0).normal(size=layout.tensor)
  assert layout.to_param(tensor).shape == layout.param
  np.testing.assert_array_equal(layout.to_tensor(layout.to_param(tensor)), tensor)


def test_large_copies_are_made_in_blocks(monkeypatch):
  copied = []
  monkeypatch.setattr(
    layouts, "copy", lambda target, source: copied.append(source.shape)
  )
  copy(np.empty((2, 130)), np.empty((130, 2)).T)
  assert copied == [(2, 64), (2, 64), (2, 2)]
