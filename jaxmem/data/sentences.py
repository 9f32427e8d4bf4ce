"""A text cut into its sentences."""

import re

# Behind a stop, question or exclamation mark and a space (also those of Indian, Arabic,
# Ethiopic, Armenian and Burmese scripts), or behind a Chinese one.
_END = re.compile(r"(?<=[.!?।॥؟۔።፧։။])\s+|(?<=[。！？｡])")


def sentences(text: str) -> list[str]:
  """The sentences of a text, at least one."""
  return [s.strip() for s in _END.split(text) if s.strip()] or [text]
