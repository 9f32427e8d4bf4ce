"""The baseline of classification: TF-IDF and logistic regression, by scikit-learn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmem.tasks import language as languages

NAME = "TF-IDF and logistic regression"
# The most training texts, characters of a text, characters of all, and n-grams: within
# them the baseline takes seconds.
TEXTS, CHARACTERS, ALL, FEATURES = 20_000, 5_000, 10_000_000, 100_000
# Inverse strengths of the penalty; the held-out texts choose one.
STRENGTHS = (1.0, 10.0)
_SEED = 0


class Split(NamedTuple):
  """Labelled texts.

  Attributes:
    texts: one text of each example, or the two of a pair.
    labels: the class of each example.
  """

  texts: Sequence[Sequence[str]]
  labels: Sequence[str]


class Baseline(NamedTuple):
  """What the baseline answers.

  Attributes:
    labels: the predicted classes, an array of strings [N].
    how: what was computed, in words.
  """

  labels: np.ndarray
  how: str


def fit_and_ask(
  train: Split, heldout: Split, queries: Sequence[Sequence[str]], language: str = ""
) -> Baseline | None:
  """Learns the training texts and labels others.

  The features are words and pairs of neighbouring words; in scripts without spaces they
  are one to three characters. The two texts of a pair have separate weights.

  Cost: at most `TEXTS` training texts, drawn, of `CHARACTERS` each and `ALL` together,
  which takes some ten seconds.

  Args:
    train: the training texts, of two classes at least.
    heldout: the texts that choose the strength of the penalty.
    queries: the texts to label.
    language: the language of the texts; "" detects it, see `tasks.language`.

  Returns:
    The predicted classes, or None if there is one class only, or no words.
  """
  from scipy import sparse
  from sklearn.feature_extraction.text import TfidfVectorizer
  from sklearn.linear_model import LogisticRegression
  from sklearn.multiclass import OneVsRestClassifier

  labels = np.asarray(train.labels)
  indices = _drawn(train)
  if len(set(labels[indices])) < 2:
    return None
  examples = [[text[:CHARACTERS] for text in train.texts[i]] for i in indices]
  texts = [text for parts in examples for text in parts]
  language = languages.of(texts, language)
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
    vectorizer.fit(texts)
  except ValueError:  # no words at all
    return None

  def features(rows: Sequence[Sequence[str]]) -> Any:
    # the first texts of all rows, then the second ones: each part has its own weights
    columns = [[text[:CHARACTERS] for text in part] for part in zip(*rows, strict=True)]
    return sparse.hstack([*map(vectorizer.transform, columns)]).tocsr()

  x, x_heldout = features(examples), features(heldout.texts)
  # a class against the rest: of fifty classes a joint fit would take minutes
  fitted = [
    OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear")).fit(
      x, labels[indices]
    )
    for strength in STRENGTHS
  ]
  accuracies = [m.score(x_heldout, np.asarray(heldout.labels)) for m in fitted]
  best = int(np.argmax(accuracies))
  what = "characters, 1 to 3" if spaceless else "words and pairs of words"
  limits = ""
  if len(indices) < len(labels):
    limits = f", {len(indices):,} training texts, drawn"
  how = (
    f"TfidfVectorizer ({what}, at most {FEATURES:,}) and LogisticRegression "
    f"(a class against the rest, C={STRENGTHS[best]:g} by the held-out texts) of "
    f"scikit-learn{limits}"
  )
  return Baseline(fitted[best].predict(features(queries)), how)


def _drawn(train: Split) -> np.ndarray:
  """Draws the indices of the training texts that are learned, in order."""
  order = np.random.default_rng(_SEED).permutation(len(train.labels))[:TEXTS]
  sizes = [sum(min(len(t), CHARACTERS) for t in train.texts[i]) for i in order]
  return np.sort(order[np.cumsum(sizes) <= ALL])
