"""Strings that are hard for tokenizers, the same in each run."""

import random

# Pieces that are special to a tokenizer or to Unicode.
SPECIAL = [
  *("<s>", "</s>", "<unk>", "<pad>", "[MASK]", "[CLS]", "[SEP]", "[UNK]", "<0x41>"),
  *("<|im_end|>", "<|endoftext|>", "##a", "@@", "\\n", "\u0120", "\u010a"),
  *("\u2581", "\u2585", "\u2047", "\ufeff", "\ufffd", "\uffff", "\U0010ffff"),
  *("\0", "\t", "\n", "\r", "\r\n", "\x0b", "\x1c", "\x7f", "\x85", "\u2028"),
  *(" ", "  ", "     ", "\xa0", "\u3000", "\u200b", "\u200c", "\u200d", "\u2060"),
  *("\u0301", "e\u0301", "A\u030a", "\u212b", "\ufb01", "\u0130", "\u1e9e", "\u03a3"),
  *("\u0928\u093f", "\u0915\u094d\u200d\u0937", "\u0e2a\u0e27\u0e31", "\u0627\u064e"),
  *("\u05d2\u05f3", "\u4e2d\u6587", "\u3042\u3044", "\U00020bb7", "\u845b\U000e0100"),
  *("\U0001f468\u200d\U0001f469", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd"),
  *("1\ufe0f\u20e3", "\ue000", "\u0378", "\ufdd0", "\U000f0000", "\u0661\u0662"),
  *("a", "B", "the", "don't", "l\xb7l", "12", "_", "-", "'", '"', "{", "?", "..."),
]


def strings(count: int = 1200, seed: int = 0) -> list[str]:
  """Returns special pieces alone, doubled, in spaces and in words, and mixtures."""
  draw = random.Random(seed)
  out = ["", *SPECIAL]
  for special in SPECIAL:
    out += [special * 2, f" {special}", f"{special} ", f"a{special}b"]
  while len(out) < count:
    size = draw.randrange(1, 30)
    out.append("".join(_character(draw) for _ in range(size)))
  return out


def _character(draw: random.Random) -> str:
  if draw.random() < 0.6:
    return draw.choice(SPECIAL)
  # all code points but surrogates; ASCII is as likely as each of the large ranges
  begin, end = draw.choice([(0, 0x80), (0, 0xD800), (0xE000, 0x110000)])
  return chr(draw.randrange(begin, end))
