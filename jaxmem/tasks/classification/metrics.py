"""How well texts are classified: accuracy, macro-F1 and the confusion matrix."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxmem.core.extras import require


def numbers(
  label: Int[np.ndarray, " N"], logp: Float[np.ndarray, "N C"], names: tuple[str, ...]
) -> dict[str, Any]:
  """Computes accuracy, macro-F1 and the confusion matrix by scikit-learn.

  Macro-F1 is the mean over the classes that occur among the labels or the answers, as
  scikit-learn defines it: a class without either has no F1.

  Args:
    label: the index of each text's class.
    logp: the log probabilities that the model gives the classes.
    names: the names of the classes.

  Returns:
    Numbers for JSON. "majority" is the share of the most frequent class; "error" is two
    standard errors of the accuracy; "per_class" has precision, recall and F1 of each
    class, None where it has no answer or no text; "right" says of each text whether the
    answer is right, for paired tests of two runs.
  """
  require("sklearn", extra="apps")
  from sklearn import metrics

  guess, indices = logp.argmax(-1), np.arange(len(names))  # [N], [C]
  right = guess == label
  f1 = metrics.f1_score(label, guess, average="macro", zero_division=0)
  scores = metrics.precision_recall_fscore_support(
    label, guess, labels=indices, zero_division=np.nan
  )
  return {
    "texts": len(label),
    "accuracy": float(right.mean()),
    "error": float(2 * np.sqrt(right.mean() * (1 - right.mean()) / len(label))),
    "macro_f1": float(f1),
    "macro_f1_classes": len({*label.tolist(), *guess.tolist()}),
    "majority": float(np.bincount(label).max() / len(label)),
    "nats": float(-np.take_along_axis(logp, label[:, None], 1).mean()),
    "classes": list(names),
    "per_class": [
      {
        "class": name,
        "precision": None if np.isnan(precision) else float(precision),
        "recall": None if np.isnan(recall) else float(recall),
        "f1": None if np.isnan(class_f1) else float(class_f1),
        "texts": int(count),
      }
      for name, precision, recall, class_f1, count in zip(names, *scores, strict=True)
    ],
    "confusion": metrics.confusion_matrix(label, guess, labels=indices).tolist(),
    "right": right.astype(int).tolist(),
  }


def scores(
  label: Int[np.ndarray, " N"], guess: Int[np.ndarray, " N"]
) -> dict[str, float]:
  """Computes accuracy and macro-F1 of answers without probabilities, of a baseline."""
  require("sklearn", extra="apps")
  from sklearn import metrics

  f1 = metrics.f1_score(label, guess, average="macro", zero_division=0)
  return {"accuracy": float((label == guess).mean()), "macro_f1": float(f1)}


def baseline_table(numbers: dict[str, Any]) -> list[str]:
  """Returns a Markdown table of the model and its baselines."""
  rows = {"this model": numbers} | numbers["beside"]
  return [
    "| | accuracy | macro-F1 |",
    "|---|--:|--:|",
    *(
      f"| {name} | {row['accuracy']:.3f} | {row['macro_f1']:.3f} |"
      for name, row in rows.items()
    ),
  ]


def table(numbers: dict[str, Any]) -> list[str]:
  """Returns the result of `numbers` as Markdown tables."""

  def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

  per_class = [
    f"| {row['class']} | {row['texts']} | {share(row['recall'])} | "
    f"{share(row['precision'])} |"
    for row in numbers["per_class"]
  ]
  count, occurring = len(numbers["classes"]), numbers["macro_f1_classes"]
  note = f"Macro-F1 is the mean over the {occurring} of {count} classes that occur."
  return [
    "| texts | accuracy (+- 2 s.e.) | macro-F1 | largest class | nats a text |",
    "|--:|--:|--:|--:|--:|",
    f"| {numbers['texts']:,} | {numbers['accuracy']:.3f} +- {numbers['error']:.3f} | "
    f"{numbers['macro_f1']:.3f} | {numbers['majority']:.3f} | {numbers['nats']:.3f} |",
    "",
    "| class | texts | recall | precision |",
    "|---|--:|--:|--:|",
    *per_class,
    *(["", note] if occurring < count else []),
  ]
