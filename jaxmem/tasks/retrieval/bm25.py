"""The baseline of retrieval: BM25 by bm25s, for texts of any language."""

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from jaxmem.tasks import language as languages

# The name of each language's stop words in bm25s.
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
  """Ranks documents for each query, the best first.

  English is cut by bm25s, into words of two letters at least; other languages are cut
  by `tasks.language.words`. The stop words of the language are left out where bm25s has
  them. Documents that share no word with a query are not found.

  Args:
    documents: name -> text.
    queries: name -> text.
    depth: the most documents of a ranking.
    language: the language of the documents; "" detects it.

  Returns:
    Query -> names of documents, and a sentence that says how words were cut.
  """
  declared, language = language, languages.of(documents.values(), language)
  description = languages.describe(language, declared)
  stop = "its stop words left out" if _stop_words(language) else "no stop words"
  how = (
    f"BM25 is bm25s {version('bm25s')}; language of the documents: {description}, "
    f"{stop}."
  )
  document_words = _cut([*documents.values()], language)
  query_words = _cut([*queries.values()], language)
  if not queries or not any(document_words):
    return {query: [] for query in queries}, how
  rankings = _best([*documents], document_words, query_words, depth)
  return dict(zip(queries, rankings, strict=True)), how


def _best(names, document_words, query_words, depth) -> list[list[str]]:
  """Returns the names of documents that share a word with each query, best first."""
  import bm25s

  logging.getLogger("bm25s").setLevel(logging.WARNING)  # it logs every step
  index = bm25s.BM25()
  index.index(document_words, show_progress=False)
  indices, scores = index.retrieve(
    query_words, k=min(depth, len(names)), show_progress=False
  )  # [Q, K] each
  return [
    [names[i] for i, score in zip(row, row_scores, strict=True) if score > 0]
    for row, row_scores in zip(indices, scores, strict=True)
  ]


def _cut(texts: Sequence[str], language: str) -> list[list[str]]:
  """Returns the words of each text, without stop words."""
  import bm25s

  if language == "en":
    english = bm25s.tokenize(
      list(texts), stopwords="en", return_ids=False, show_progress=False
    )
    # some texts may be of another language than most
    return [
      words if languages.is_latin(text) else languages.words(text)
      for text, words in zip(texts, english, strict=True)
    ]
  # a stop word of several Chinese characters is no reason to drop each of them
  stop_words = map(languages.words, _stop_words(language))
  stop = {words[0] for words in stop_words if len(words) == 1}
  return [[w for w in languages.words(text) if w not in stop] for text in texts]


def _stop_words(language: str) -> Sequence[str]:
  """Returns bm25s's stop words of a language, none where it has none."""
  from bm25s import stopwords

  return getattr(stopwords, f"STOPWORDS_{STOP_WORDS.get(language)}", ())
