"""Words of any script, and as much of a text's language as metrics must know.

A word is a run of letters, digits and the combining marks (category M) and joiners that
belong to them. Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao,
Khmer, Burmese, Tibetan) are cut into characters, each with its marks.

The language is what the run declares (`data.language`); else the texts decide: the
script with the most words (in scripts without spaces, characters) says Chinese (Han),
Japanese (Han and kana, a tenth of them kana), Korean (Hangul), Thai, Lao, Khmer,
Burmese or Tibetan. Latin script is English if "the" and "and" are 2 % of its words.
Anything else is unknown.
"""

import collections
import functools
import re
import sys
import unicodedata
from collections.abc import Iterable

# Characters of scripts without spaces: Han, kana, Thai, Lao, Tibetan, Burmese, Khmer.
SPACELESS = (
  "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
  "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
  "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
)
# Zero-width joiners stand inside words of Persian and of Indian languages.
_JOINERS = "\u200c\u200d"
# First word of a character's Unicode name -> the language that its script tells.
_TOLD = {
  "HANGUL": "ko",
  "THAI": "th",
  "LAO": "lo",
  "KHMER": "km",
  "MYANMAR": "my",
  "TIBETAN": "bo",
}
_HAN, _KANA = "CJK", {"HIRAGANA", "KATAKANA", "HALFWIDTH", "KATAKANA-HIRAGANA"}
WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo"})
# Other names of languages that a metric treats in its own way.
_NAMES = {
  "eng": "en",
  "zho": "zh",
  "chi": "zh",
  "cmn": "zh",
  "yue": "zh",
  "jpn": "ja",
  "kor": "ko",
  "tha": "th",
  "lao": "lo",
  "khm": "km",
  "mya": "my",
  "bod": "bo",
}
# Codes of countries that are often taken for those of their languages.
_COUNTRIES = {"cn": "zh", "jp": "ja", "kr": "ko", "gb": "en", "us": "en"}
# Characters of a collection that are read to decide.
_READ = 1_000_000
# Least shares of the words: of kana in Japanese, of "the" and "and" in English.
_LEAST_KANA, _LEAST_ENGLISH = 0.1, 0.02


def code(declared: str) -> str:
  """A declared language as the code that metrics know, such as "en"; "" is "".

  Args:
    declared: "zh", "zh-CN", "zho_Hans", "eng".

  Raises:
    ValueError: if it is no code of a language.
  """
  first = re.split(r"[-_]", declared.strip().lower())[0]
  if first in _COUNTRIES:
    raise ValueError(
      f"language is {declared!r}, a country's code: give {_COUNTRIES[first]!r}"
    )
  if declared and not re.fullmatch(r"[a-z]{2,3}", first):
    raise ValueError(
      f"language is {declared!r}: give the code of a language, such as en, de, zh or "
      "ja, or leave it empty"
    )
  return _NAMES.get(first, first)


def of(texts: Iterable[str], declared: str = "") -> str:
  """The code of the language that was declared, or the texts' own; "" is unknown.

  Args:
    texts: the first million characters are read.
    declared: see `code`.
  """
  if declared:
    return code(declared)
  scripts: collections.Counter = collections.Counter()
  english = read = 0
  for text in texts:
    for word in words(text[: _READ - read]):
      if word.isnumeric():
        continue
      scripts[_script(word[0])] += 1
      english += word in ("the", "and")
    read += len(text)
    if read >= _READ:
      break
  kana = sum(scripts.pop(name, 0) for name in _KANA)
  scripts[_HAN] += kana
  most, count = scripts.most_common(1)[0]
  if not count:
    return ""
  if most == _HAN:
    return "ja" if kana >= _LEAST_KANA * count else "zh"
  if most == "LATIN":
    return "en" if english >= _LEAST_ENGLISH * count else ""
  return _TOLD.get(most, "")


def describe(language: str, declared: str = "") -> str:
  """A language and who said so, for a report."""
  if declared:
    return f"{language} (data.language)"
  return f"{language} (by its words)" if language else "unknown (by its words)"


def words(text: str) -> list[str]:
  """Words in lower case, in Unicode's composed form; without punctuation."""
  return _word().findall(unicodedata.normalize("NFC", text).lower())


@functools.cache
def marks() -> str:
  """All combining marks and joiners, for a class of a regular expression."""
  every = [
    c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] == "M"
  ]
  borders = [i for i in range(1, len(every)) if every[i] > every[i - 1] + 1]
  begins = [0, *borders]
  ends = [i - 1 for i in (*borders, len(every))]
  spans = zip(begins, ends, strict=True)
  return _JOINERS + "".join(f"{chr(every[a])}-{chr(every[b])}" for a, b in spans)


@functools.cache
def _word() -> re.Pattern:
  alone = rf"(?=[^\W_])[{SPACELESS}][{marks()}]*"
  letter = rf"[^\W_{SPACELESS}]"
  return re.compile(rf"{alone}|{letter}(?:{letter}|[{marks()}])*")


@functools.lru_cache(4096)
def _script(character: str) -> str:
  return unicodedata.name(character, "").partition(" ")[0]
