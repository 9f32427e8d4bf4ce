"""help() of a layer shows every argument, also those of its base classes."""

import dataclasses
import inspect
import pydoc

import pytest

from jaxmem import layers, mixers
from jaxmem.layers import mlps

LAYERS = {name: mixers.get(name).Mixer for name in mixers.names()}
LAYERS |= {name: mlps.get(name).MLP for name in mlps.names()}
OF_LINEN = {"parent", "name", "change_op"}


@pytest.mark.parametrize("name", LAYERS)
def test_every_argument_is_described_in_the_order_of_the_signature(name):
  layer = LAYERS[name]
  arguments = [f.name for f in dataclasses.fields(layer) if f.name not in OF_LINEN]
  doc = inspect.getdoc(layer)
  at = [doc.find(f"\n  {argument}: ") for argument in arguments]
  assert -1 not in at and at == sorted(at), dict(zip(arguments, at, strict=True))
  assert [*inspect.signature(layer).parameters] == arguments


def test_help_begins_with_the_signature_and_the_arguments():
  text = pydoc.render_doc(layers.GatedDelta, renderer=pydoc.plaintext)
  head, _, _ = text.partition("Method resolution order")
  assert "GatedDelta(d_model: int, num_heads: int = 4, key_dim: int = 0" in head
  assert "|    negative_eigenvalues: write strengths up to 2" in head
  assert "|      flip the sign of what it holds (arXiv:2411.12537)." in head
  assert "_Sentinel" not in head and "those of" not in head


def test_a_subclass_replaces_the_text_of_its_base():
  doc = inspect.getdoc(layers.GatedDeltaProduct)
  assert "\n  chunk_size: writes of a chunk." in doc
  assert doc.count("chunk_size:") == 1


def test_text_after_the_arguments_is_kept():
  class Outside(layers.MinGRU):
    """One more layer.

    Attributes:
      d_model: another word.

    Source: nobody.
    """

  doc = inspect.getdoc(Outside)
  assert doc.startswith("One more layer.\n\nAttributes:\n  d_model: another word.\n")
  assert "\n  dtype: " in doc and doc.rstrip().endswith("Source: nobody.")
