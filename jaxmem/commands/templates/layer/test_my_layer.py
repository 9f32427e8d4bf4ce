"""my_layer obeys the laws of a memory, and patterns find it by its name."""

import jaxmem
from jaxmem.models import pattern

from . import op
from .mixer import MyLayer


def test_the_op_obeys_the_laws():
  """Every form agrees with `step`, splits anywhere and never leaks."""
  jaxmem.check_laws(op)


def test_the_mixer_obeys_the_laws():
  """The projections around the op keep its laws."""
  jaxmem.check_laws(MyLayer(d_model=8))


def test_patterns_find_the_mixer():
  """A pattern names the layer and its options."""
  jaxmem.load_plugin("my_layer")
  (entry,) = jaxmem.parse("my_layer:gate_bias=1.0")
  mixer = pattern.built(entry, 8, "float32")
  assert isinstance(mixer, MyLayer) and mixer.gate_bias == 1.0
