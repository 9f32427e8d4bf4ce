"""The baseline of classification: TF-IDF and logistic regression, by scikit-learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmem.tasks import language as languages

NAME = "TF-IDF and logistic regression"
# Training texts, characters of a text and of all, n-grams: at most, to take seconds.
TEXTS, CHARACTERS, ALL, FEATURES = 20_000, 5_000, 10_000_000, 100_000
# Inverse strengths of the penalty; the held-out texts choose.
STRENGTHS = (1.0, 10.0)
_SEED = 0


class Split(NamedTuple):
  """Labelled texts.

  Attributes:
    texts: of each example one text, or two of a pair.
    labels: of each example.
  """

  texts: Sequence[Sequence[str]]
  labels: Sequence[str]


class Baseline(NamedTuple):
  """What the baseline answers.

  Attributes:
    labels: of the texts asked.
    how: what was computed, in words.
  """

  labels: np.ndarray
  how: str


def fit_and_ask(
  train: Split, heldout: Split, asked: Sequence[Sequence[str]], language: str = ""
) -> Baseline | None:
  """Learns the training texts and labels others.

  Words and pairs of words that follow each other; in scripts without spaces one to
  three characters. The texts of a pair have weights of their own.

  Cost: at most `TEXTS` training texts, drawn, of `CHARACTERS` each and `ALL` together:
  some ten seconds.

  Args:
    train: two classes at least.
    heldout: chooses the strength of the penalty.
    asked: texts to label.
    language: of the texts; "" is decided by them, see `tasks.language`.

  Returns:
    None if there is one class only, or no words.
  """
  from scipy import sparse
  from sklearn.feature_extraction.text import TfidfVectorizer
  from sklearn.linear_model import LogisticRegression
  from sklearn.multiclass import OneVsRestClassifier

  labels = np.asarray(train.labels)
  some = _drawn(train)
  if len(set(labels[some])) < 2:
    return None
  texts = [[text[:CHARACTERS] for text in train.texts[i]] for i in some]
  every = [text for parts in texts for text in parts]
  language = languages.of(every, language)
  spaceless = language in languages.WITHOUT_SPACES
  grams: dict[str, Any] = {
    "analyzer": "char_wb" if spaceless else "word",
    "ngram_range": (1, 3) if spaceless else (1, 2),
    "tokenizer": None if spaceless else languages.words,
    "token_pattern": None,
  }
  vectorizer = TfidfVectorizer(
    **grams, max_features=FEATURES, sublinear_tf=True, dtype=np.float32
  )
  try:
    vectorizer.fit(every)
  except ValueError:  # no words at all
    return None

  def features(rows: Sequence[Sequence[str]]) -> Any:
    columns = zip(*rows, strict=True)
    part = lambda texts: vectorizer.transform([t[:CHARACTERS] for t in texts])
    return sparse.hstack([part(column) for column in columns]).tocsr()

  x, held = features(texts), features(heldout.texts)
  # a class against the rest: of fifty classes a joint fit would take minutes
  fitted = [
    OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear")).fit(
      x, labels[some]
    )
    for strength in STRENGTHS
  ]
  right = [float(m.score(held, np.asarray(heldout.labels))) for m in fitted]
  best = int(np.argmax(right))
  what = "characters, 1 to 3" if spaceless else "words and pairs of words"
  limits = "" if len(some) == len(labels) else f", {len(some):,} training texts, drawn"
  how = (
    f"TfidfVectorizer ({what}, at most {FEATURES:,}) and LogisticRegression "
    f"(a class against the rest, C={STRENGTHS[best]:g} by the held-out texts) of "
    f"scikit-learn{limits}"
  )
  return Baseline(fitted[best].predict(features(asked)), how)


def _drawn(train: Split) -> np.ndarray:
  """Places of the training texts that are learned, in order."""
  order = np.random.default_rng(_SEED).permutation(len(train.labels))[:TEXTS]
  sizes = [sum(min(len(t), CHARACTERS) for t in train.texts[i]) for i in order]
  return np.sort(order[np.cumsum(sizes) <= ALL])
