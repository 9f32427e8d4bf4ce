"""A text cut into its sentences, in any script."""

import re

# These end a sentence if white space follows: "3.14" and "e.g.x" are not cut.
_SPACED = ".!?"
# These always end a sentence: the stops of Chinese and Japanese (full and half width),
# Arabic and Urdu, Devanagari, Armenian, Ethiopic, Burmese, Khmer and Tibetan.
_ALONE = (
  "\u3002\uff01\uff1f\uff61\u061f\u06d4\u0964\u0965\u0589\u1362\u1367\u104b"
  "\u17d4\u17d5\u0f0d\u0f0e"
)
# Closing quotes and brackets after the stop belong to the sentence.
_CLOSING = "\u300d\u300f\uff09\u3011\u300b\u201d\u2019\u00bb)\\]\"'"
_END = re.compile(
  rf"(?<=[{_SPACED}])\s+|(?<=[{_ALONE}])[{_ALONE}{_SPACED}]*[{_CLOSING}]*\s*"
)


def sentences(text: str) -> list[str]:
  """Returns the sentences of a text, at least one."""
  parts, begin = [], 0
  for end in _END.finditer(text):
    parts.append(text[begin : end.end()])
    begin = end.end()
  parts.append(text[begin:])
  return [part.strip() for part in parts if part.strip()] or [text]
