"""The law suite, usable on anyone's memory."""

from jaxmem.testing.cases import example_of
from jaxmem.testing.laws import check_laws
from jaxmem.testing.saved import check_saved
from jaxmem.testing.shards import check_shards
from jaxmem.testing.suite import LawError
from jaxmem.testing.torch_layers import of_torch

__all__ = [
  "LawError",
  "check_laws",
  "check_saved",
  "check_shards",
  "example_of",
  "of_torch",
]
