"""As much of a text's language as metrics must know, and words to count.

Words are those of `jaxmem.tokenizers.words` in lower case and composed form, cut at
underscores; what is written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese, Tibetan) is cut into characters, each with its marks, because to cut it into
words takes a dictionary.

The language is what the run declares (`task.language`); else the texts decide: the
script with the most words (in scripts without spaces, characters) says Chinese (Han),
Japanese (Han and kana, a tenth of them kana), Korean (Hangul), Thai, Lao, Khmer,
Burmese or Tibetan. Latin script is English if "the" and "and" are 2 % of its words.
Anything else is unknown.
"""

import collections
import functools
import re
import unicodedata
from collections.abc import Iterable

from jaxmem.tokenizers import words as cut

# Characters of scripts without spaces: Han, kana, Thai, Lao, Tibetan, Burmese, Khmer.
SPACELESS = (
  "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
  "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
  "\u0e00-\u0e7f\u0e80-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
)
# Combining marks of these scripts and of all, as the inside of a class of a pattern.
MARKS = "\u0300-\u036f" + "".join(
  chr(code)
  for begin, end in ((0xE00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF))
  for code in range(begin, end + 1)
  if unicodedata.category(chr(code)).startswith("M")
)
# A word's parts: a character of a script without spaces, or a run of others.
_PARTS = re.compile(rf"[{SPACELESS}]\W*|[^_{SPACELESS}]+")
# First word of a character's Unicode name -> the language that its script tells.
_TOLD = {
  "HANGUL": "ko",
  "THAI": "th",
  "LAO": "lo",
  "KHMER": "km",
  "MYANMAR": "my",
  "TIBETAN": "bo",
}
LATIN = "LATIN"
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
  scripts, english = _counted(texts)
  most, count = _most(scripts)
  if most == _HAN:
    kana = sum(scripts[name] for name in _KANA)
    return "ja" if kana >= _LEAST_KANA * count else "zh"
  if most == LATIN:
    return "en" if english >= _LEAST_ENGLISH * count else ""
  return _TOLD.get(most, "")


def is_latin(text: str) -> bool:
  """Whether most words of a text are in Latin script, or it has no letters."""
  return text.isascii() or _most(_counted([text])[0])[0] in (LATIN, "")


def _counted(texts: Iterable[str]) -> tuple[collections.Counter, int]:
  """Words of each script, and how many are "the" or "and"."""
  scripts: collections.Counter = collections.Counter()
  english = read = 0
  for text in texts:
    for word in words(text[: _READ - read]):
      if not word.isnumeric():
        scripts[_script(word[0])] += 1
        english += word in ("the", "and")
    read += len(text)
    if read >= _READ:
      break
  return scripts, english


def _most(scripts: collections.Counter) -> tuple[str, int]:
  """The script with the most words, Han and kana as one, and how many."""
  totals: collections.Counter = collections.Counter()
  for name, count in scripts.items():
    totals[_HAN if name in _KANA else name] += count
  return max(totals.items(), key=lambda item: item[1], default=("", 0))


def describe(language: str, declared: str = "") -> str:
  """A language and who said so, for a report."""
  if declared:
    return f"{language} (task.language)"
  return f"{language} (by its words)" if language else "unknown (by its words)"


def words(text: str) -> list[str]:
  """Words in lower case, in Unicode's composed form; without signs."""
  text = unicodedata.normalize("NFC", text).lower()
  return [part for word in cut.words(text) for part in _PARTS.findall(word)]


@functools.lru_cache(4096)
def _script(character: str) -> str:
  return unicodedata.name(character, "").partition(" ")[0]
