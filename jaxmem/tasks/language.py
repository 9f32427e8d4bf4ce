"""The language of texts, as far as metrics depend on it, and words to count.

Words are those of `jaxmem.tokenizers.words` in lower case and composed form, cut at
underscores. Scripts without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese,
Tibetan) are cut into characters, each with its marks, because cutting them into words
needs a dictionary.

A run may declare the language (`task.language`). Otherwise the texts decide: the script
with the most words (characters, in scripts without spaces) gives Chinese (Han),
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
# Combining marks, common and of these scripts, for use in a character class.
MARKS = "\u0300-\u036f" + "".join(
  chr(code)
  for begin, end in ((0xE00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF))
  for code in range(begin, end + 1)
  if unicodedata.category(chr(code)).startswith("M")
)
# Parts of a word: one character of a script without spaces, or a run of others.
_PARTS = re.compile(rf"[{SPACELESS}]\W*|[^_{SPACELESS}]+")
# First word of a character's Unicode name -> the language of its script.
_LANGUAGE_OF = {
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
# Other codes of the languages that a metric treats specially.
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
# Codes of countries that are often mistaken for codes of languages.
_COUNTRIES = {"cn": "zh", "jp": "ja", "kr": "ko", "gb": "en", "us": "en"}
# Characters of a collection that are read to find its language.
_READ = 1_000_000
# Least shares of the words: of kana in Japanese, of "the" and "and" in English.
_LEAST_KANA, _LEAST_ENGLISH = 0.1, 0.02


def code(declared: str) -> str:
  """Normalises a declared language to the code that metrics use, such as "en".

  Args:
    declared: a code such as "zh", "zh-CN", "zho_Hans" or "eng"; "" stays "".

  Raises:
    ValueError: if it is not the code of a language.
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
  """Returns the code of the declared language, or of the texts; "" is unknown.

  Args:
    texts: the texts, of which the first million characters are read.
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
  return _LANGUAGE_OF.get(most, "")


def is_latin(text: str) -> bool:
  """Returns whether most words of a text are in Latin script, or it has no letters.

  Args:
    text: the text.
  """
  return text.isascii() or _most(_counted([text])[0])[0] in (LATIN, "")


def _counted(texts: Iterable[str]) -> tuple[collections.Counter, int]:
  """Returns the number of words of each script, and of "the" and "and"."""
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
  """Returns the script with the most words and their number; kana count as Han."""
  totals: collections.Counter = collections.Counter()
  for name, count in scripts.items():
    totals[_HAN if name in _KANA else name] += count
  return max(totals.items(), key=lambda item: item[1], default=("", 0))


def describe(language: str, declared: str = "") -> str:
  """Returns a language and how it was decided, for a report.

  Args:
    language: see `of`.
    declared: the language that the run declares.
  """
  if declared:
    return f"{language} (task.language)"
  return f"{language} (by its words)" if language else "unknown (by its words)"


def words(text: str) -> list[str]:
  """Returns the words of a text in lower case and composed form, without signs.

  Args:
    text: the text.
  """
  text = unicodedata.normalize("NFC", text).lower()
  return [part for word in cut.words(text) for part in _PARTS.findall(word)]


@functools.lru_cache(4096)
def _script(character: str) -> str:
  """Returns the first word of a character's Unicode name, which is its script."""
  return unicodedata.name(character, "").partition(" ")[0]
