"""Base classes derive states from one declaration, and nothing is overridden."""

import inspect

import jax
import pytest

from jaxmem import mixers, ops
from jaxmem.layers.cells import Cells
from jaxmem.layers.delta_rule import DeltaRule
from jaxmem.layers.gated_average import GatedAverage
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import Memory
from jaxmem.layers.state_space import StateSpace
from jaxmem.testing import example_of

FAMILIES = {
  DeltaRule: {"delta_net", "gated_delta", "gated_delta_product", "kda"},
  GatedLinear: {"gla", "hgrn2", "linear_attention", "mlstm", "retention"},
  GatedAverage: {"hgrn", "mingru", "minlstm"},
  Cells: {"gru", "lstm", "rnn", "slstm"},
  StateSpace: {"lru", "s5"},
}
# Methods with a default that subclasses may override.
HOOKS = {"_check", "_state_spec", "_writes"}


def _is_names(axes):
  return isinstance(axes, tuple) and not hasattr(axes, "_fields")


def _check_axes(state, axes):
  """Every array of the state has a name, or None, for each of its axes."""
  sizes = jax.tree.map(lambda a: a.ndim, state)
  names = jax.tree.map(len, axes, is_leaf=lambda a: a != () and _is_names(a))
  assert names == sizes


@pytest.mark.parametrize("name", ops.names())
def test_every_op_names_the_axes_of_its_state(name):
  op = ops.record(name)
  _, _, state = jax.eval_shape(lambda: op.example(jax.random.key(0), 2, 3))

  _check_axes(state, op.axes)


@pytest.mark.parametrize("name", mixers.names())
def test_every_mixer_names_the_axes_of_its_state(name):
  mixer = mixers.get(name).Mixer(d_model=8, **example_of(name))
  _check_axes(jax.eval_shape(lambda: mixer.init_state(2)), mixer.state_axes())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_family_is_one_level_deep_and_nothing_of_it_is_overridden(family):
  assert family.__bases__ == (Memory,)
  classes = {name: mixers.get(name).Mixer for name in mixers.names()}
  members = {name for name, cls in classes.items() if issubclass(cls, family)}
  assert members == FAMILIES[family]
  implemented = {
    name for cls in (Memory, family) for name, value in vars(cls).items()
    if inspect.isfunction(value) or isinstance(value, property)
  }  # fmt: skip
  for name in members:
    assert classes[name].__bases__ == (family,)
    both = implemented & set(vars(classes[name]))
    assert {n for n in both if not n.startswith("__")} <= HOOKS
