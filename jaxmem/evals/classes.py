"""How well texts are told apart: accuracy, macro-F1, who is taken for whom."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxmem import files
from jaxmem.data.errors import require


def numbers(
  label: Int[np.ndarray, " N"], logp: Float[np.ndarray, "N C"], names: tuple[str, ...]
) -> dict[str, Any]:
  """Accuracy, macro-F1 and the confusion matrix, by scikit-learn; for JSON.

  Args:
    label: the class of each text.
    logp: the log probability of each class.
    names: of the classes.

  Returns:
    Among them "majority", the accuracy of the most frequent class; "error", two
    standard errors of the accuracy; "right", for tests of pairs.
  """
  require("sklearn", extra="apps")
  from sklearn import metrics

  guess, every = logp.argmax(-1), np.arange(len(names))
  right = guess == label
  f1 = metrics.f1_score(label, guess, labels=every, average="macro", zero_division=0)
  return {
    "texts": len(label),
    "accuracy": float(right.mean()),
    "error": float(2 * np.sqrt(right.mean() * (1 - right.mean()) / len(label))),
    "macro_f1": float(f1),
    "majority": float(np.bincount(label).max() / len(label)),
    "nats": float(-np.take_along_axis(logp, label[:, None], 1).mean()),
    "classes": list(names),
    "confusion": metrics.confusion_matrix(label, guess, labels=every).tolist(),
    "right": right.astype(int).tolist(),
  }


def table(found: dict[str, Any]) -> list[str]:
  """The numbers as Markdown."""
  show = lambda key: f"{found[key]:.3f}"
  head = ["accuracy", "macro_f1", "majority", "nats"]
  counts = np.array(found["confusion"])
  rows, columns, right = counts.sum(1), counts.sum(0), counts.diagonal()
  share = lambda part, of: f"{part / of:.3f}" if of else "-"
  per_class = [
    f"| {name} | {of} | {share(hit, of)} | {share(hit, taken)} |"
    for name, of, taken, hit in zip(found["classes"], rows, columns, right, strict=True)
  ]
  return [
    "| texts | accuracy (+- 2 s.e.) | macro-F1 | largest class | nats a text |",
    "|--:|--:|--:|--:|--:|",
    f"| {found['texts']:,} | {show('accuracy')} +- {show('error')} | "
    + " | ".join(map(show, head[1:]))
    + " |",
    "",
    "| class | texts | recall | precision |",
    "|---|--:|--:|--:|",
    *per_class,
  ]


def draw_confusion(found: dict[str, Any], path: Path) -> None:
  """The confusion matrix as PNG: a row a class, shares of the row."""
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  counts, names = np.array(found["confusion"]), found["classes"]
  shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
  side = 2.2 + 0.45 * len(names)
  figure, axes = plt.subplots(figsize=(side + 1, side), dpi=120, layout="constrained")
  axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
  axes.set(xlabel="taken for", ylabel="class", xticks=range(len(names)))
  axes.set_yticks(range(len(names)), names)
  axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
  for (i, j), count in np.ndenumerate(counts):
    colour = "white" if shares[i, j] > 0.5 else "black"
    axes.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=8)
  with files.replacing(path) as temporary:
    figure.savefig(temporary)
  plt.close(figure)
