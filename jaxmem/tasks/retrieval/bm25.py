"""The baseline of retrieval: BM25, by bm25s, for texts of any language."""

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from jaxmem.tasks import language as languages

# Language -> the name of its stop words in bm25s.
STOP_WORDS = {
  "en": "EN",
  "da": "DANISH",
  "de": "GERMAN",
  "es": "SPANISH",
  "fr": "FRENCH",
  "it": "ITALIAN",
  "ko": "KOREAN",
  "nb": "NORWEGIAN",
  "nl": "DUTCH",
  "nn": "NORWEGIAN",
  "no": "NORWEGIAN",
  "pt": "PORTUGUESE",
  "ru": "RUSSIAN",
  "sv": "SWEDISH",
  "tr": "TURKISH",
  "zh": "CHINESE",
}


def rank(
  documents: Mapping[str, str],
  queries: Mapping[str, str],
  depth: int,
  language: str = "",
) -> tuple[dict[str, list[str]], str]:
  """Documents for each query, the best first.

  English is cut as bm25s does by itself, words of two letters at least; other languages
  are cut by `tasks.language.words`. The stop words of the language are left out where
  bm25s has them. Documents that share no word with a query are not found.

  Args:
    documents: name -> text.
    queries: name -> text.
    depth: documents of a ranking at most.
    language: "" is decided by the documents.

  Returns:
    query -> names; and how words were cut, as a sentence.
  """
  declared, language = language, languages.of(documents.values(), language)
  said = languages.describe(language, declared)
  stop = "its stop words left out" if _stop_words(language) else "no stop words"
  how = f"BM25 is bm25s {version('bm25s')}; language of the documents: {said}, {stop}."
  cut, asked = (_cut([*some.values()], language) for some in (documents, queries))
  if not queries or not any(cut):
    return {query: [] for query in queries}, how
  return dict(zip(queries, _best([*documents], cut, asked, depth), strict=True)), how


def _best(names, cut, asked, depth) -> list[list[str]]:
  """The names of the documents that share a word with each query, by their scores."""
  import bm25s

  logging.getLogger("bm25s").setLevel(logging.WARNING)  # it says what it does
  index = bm25s.BM25()
  index.index(cut, show_progress=False)
  found = index.retrieve(asked, k=min(depth, len(names)), show_progress=False)
  return [
    [names[i] for i, score in zip(row, scores, strict=True) if score > 0]
    for row, scores in zip(*found, strict=True)
  ]


def _cut(texts: Sequence[str], language: str) -> list[list[str]]:
  """The words of each text."""
  import bm25s

  if language == "en":
    english = bm25s.tokenize(
      list(texts), stopwords="en", return_ids=False, show_progress=False
    )
    # some texts may be of another language than most
    return [
      cut if languages.is_latin(text) else languages.words(text)
      for text, cut in zip(texts, english, strict=True)
    ]
  # a stop word of several Chinese characters is no reason to drop each of them
  cut = map(languages.words, _stop_words(language))
  stop = {words[0] for words in cut if len(words) == 1}
  return [[w for w in languages.words(text) if w not in stop] for text in texts]


def _stop_words(language: str) -> Sequence[str]:
  from bm25s import stopwords

  return getattr(stopwords, f"STOPWORDS_{STOP_WORDS.get(language)}", ())
