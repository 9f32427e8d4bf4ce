"""How near what was written is to references: BLEU and chrF, or ROUGE."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmem.data.errors import require

METRICS = ("bleu", "rouge")
_ROUGE = ("rouge1", "rouge2", "rougeL")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_CHARACTERS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


class _Characters:
  """Tokens of text without spaces: every Chinese character is one."""

  def tokenize(self, text: str) -> list[str]:
    return _CHARACTERS.findall(text.lower())


def numbers(
  metric: str, written: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Any]:
  """The metric over all texts, for JSON.

  "bleu" is the corpus's by sacrebleu, cased, with its signature, and chrF. "rouge" is
  the mean F1 of ROUGE-1, -2 and -L by rouge-score, of several references the one with
  the best ROUGE-1; texts with Chinese characters are cut into characters.

  Args:
    metric: "bleu" or "rouge".
    written: the texts.
    references: one or more for each.
  """
  if metric == "bleu":
    require("sacrebleu", extra="apps")
    import sacrebleu

    most = max(map(len, references))
    # sacrebleu takes a list a reference; None where a text has fewer
    columns = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    score = bleu.corpus_score(list(written), columns)
    return {
      "bleu": score.score,
      "signature": str(bleu.get_signature()),
      "chrf": chrf.corpus_score(list(written), columns).score,
      "length_ratio": score.sys_len / score.ref_len,
    }
  require("rouge_score", extra="apps")
  from rouge_score import rouge_scorer

  chinese = any(_CHINESE.search(text) for some in references for text in some)
  scorer = rouge_scorer.RougeScorer(
    list(_ROUGE), tokenizer=_Characters() if chinese else None
  )
  best = []
  for text, some in zip(written, references, strict=True):
    scores = [scorer.score(one, text) for one in some]
    top = max(scores, key=lambda s: s["rouge1"].fmeasure)
    best.append([top[name].fmeasure for name in _ROUGE])
  means = 100 * np.mean(best, axis=0)
  return {name: float(mean) for name, mean in zip(_ROUGE, means, strict=True)}


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
  """Ways of writing and their numbers, as Markdown."""
  keys = [k for k, v in next(iter(rows.values())).items() if isinstance(v, float)]
  lines = [f"| | {' | '.join(keys)} |", "|---|" + "--:|" * len(keys)]
  for name, found in rows.items():
    lines.append(f"| {name} | " + " | ".join(f"{found[k]:.2f}" for k in keys) + " |")
  return lines
