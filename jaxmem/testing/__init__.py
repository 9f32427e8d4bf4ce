"""The law suite, usable on anyone's memory."""

from jaxmem.testing.cases import example_of
from jaxmem.testing.laws import LawError, check_laws

__all__ = ["LawError", "check_laws", "example_of"]
