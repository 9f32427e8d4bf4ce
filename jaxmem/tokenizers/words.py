"""What a word is, in any script: one definition for vocabularies, metrics and search.

A word is a run of letters, digits and underscores with all that belongs to them:
combining marks (category M: Indic vowel signs, Arabic and Hebrew points, accents of
NFD), joiners (ZWJ, ZWNJ, word joiner), soft hyphens, and, between letters, the signs
that spell (Hebrew geresh and gershayim, the Catalan middle dot, the Armenian
apostrophe). A Han character with its marks is a word of its own, as in BERT's tokenizer
(Devlin et al. 2018). Kana, Thai, Lao, Khmer and Burmese are written without spaces too;
a run of them is one word, because cutting it takes a dictionary: where that is too
coarse, `sp:N` needs no words.

The apostrophes ' and \u2019 cut words ("don't" is "don", "'" and "t"), as ROUGE's
tokenizer and Unicode's \\w do: they quote as often as they elide, and published results
were counted so. The modifier letter \u02bc is a letter.

A sign is any other character that is no white space. An emoji sequence (skin tones,
joiners, flags, keycaps) is one sign.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator

# Letters and signs of script Han; kana and Hangul are not among them.
HAN = (
  "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u9fff\uf900-\ufaff"
  "\U00020000-\U000323af"
)
# Zero width non-joiner and joiner, word joiner, soft hyphen.
_JOINERS = "\u200c\u200d\u2060\u00ad"
# Signs that spell words between letters.
_INNER = "\u00b7\u0387\u055a\u05f3\u05f4"
# Emoji: modifiers of the skin, tags of regional flags, and letters of national flags.
_SKINS, _TAGS = "\U0001f3fb-\U0001f3ff", "\U000e0020-\U000e007f"
_FLAG = "[\U0001f1e6-\U0001f1ff]"


def tokens(text: str) -> Iterator[re.Match[str]]:
  """Yields the words and signs of a text in order, as matches with their positions."""
  return pattern().finditer(text)


def words(text: str) -> list[str]:
  """Returns the words of a text in order, without signs; case and accents are kept."""
  # the group of the pattern is empty where a sign matches
  return [word for word in pattern().findall(text) if word]


@functools.cache
def pattern() -> re.Pattern[str]:
  """Returns the pattern of words, which are its one group, and of signs."""
  mark, letter = _marks(), rf"[^\W{HAN}]"
  inside = rf"[{mark}{_JOINERS}]|[{_INNER}](?={letter})"
  # a mark with no letter before it is a word too, so that nothing is left out
  word = rf"(?:{letter}|[{mark}]){letter}*(?:(?:{inside}){letter}*)*"
  dressed = rf"[^\w\s][{mark}{_SKINS}{_TAGS}]*"
  sign = rf"{_FLAG}{{2}}|{dressed}(?:\u200d{dressed})*"
  # Words among ASCII alone are quick to match, and are most of most texts.
  plain, alone = r"[0-9A-Za-z_]++(?![^\x00-\x7f])", r"[!-/:-@\[-^`{-~](?![^\x00-\x7f])"
  return re.compile(rf"({plain}|[{HAN}][{mark}]*|{word})|{alone}|{sign}")


def _marks() -> str:
  """Returns all characters of category M, as the inside of a character class."""
  candidates = [*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)]
  marks = {i for i in candidates if unicodedata.category(chr(i))[0] == "M"}
  begins = sorted(i for i in marks if i - 1 not in marks)
  ends = sorted(i for i in marks if i + 1 not in marks)
  return "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(begins, ends, strict=True))
