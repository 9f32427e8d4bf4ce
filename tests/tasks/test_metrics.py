"""Metrics agree with reference packages in any script; better baselines are named."""

import importlib.util
import json
import math
import unicodedata

import numpy as np
import pytest
import pytrec_eval
import sacrebleu
from rouge_score import rouge_scorer
from sklearn import metrics

from jaxmem.core.errors import ConfigError
from jaxmem.data import folds
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks import baselines, language, plots
from jaxmem.tasks.classification import metrics as classes
from jaxmem.tasks.classification import task as classification
from jaxmem.tasks.classification import tfidf
from jaxmem.tasks.language_modeling import report
from jaxmem.tasks.language_modeling.paired import PairedSums
from jaxmem.tasks.language_modeling.perplexity import NUM_BUCKETS, WAYS, Result
from jaxmem.tasks.question_answering import lexical
from jaxmem.tasks.question_answering import metrics as span_metrics
from jaxmem.tasks.question_answering import task as spans
from jaxmem.tasks.retrieval import bm25
from jaxmem.tasks.retrieval import metrics as ranking
from jaxmem.tasks.retrieval import task as passages
from jaxmem.tasks.seq2seq import extractive
from jaxmem.tasks.seq2seq import metrics as overlap
from jaxmem.tasks.seq2seq import task as pairs
from jaxmem.training.config import Config, check

# Text, its words, and the code of its language.
WORDS = [
  ("The cat and the dog don't", "the cat and the dog don t".split(), "en"),
  ("la maison et le chien", "la maison et le chien".split(), ""),
  ("cafe\u0301 a_b, ÜBER!", ["café", "a", "b", "über"], ""),
  ("हिन्दी में लिखा है।", ["हिन्दी", "में", "लिखा", "है"], ""),
  ("Привет, мир", ["привет", "мир"], ""),
  ("می\u200cخواهم", ["می\u200cخواهم"], ""),
  ("今天用Python写", ["今", "天", "用", "python", "写"], "zh"),
  ("これはテスト", [*"これはテスト"], "ja"),
  ("한국어 문장", ["한국어", "문장"], "ko"),
  ("สวัสดี", ["ส", "วั", "ส", "ดี"], "th"),
  ("ខ្មែរ", ["ខ្", "មែ", "រ"], "km"),
  ("12, 34", ["12", "34"], ""),
  ("...", [], ""),
]


@pytest.mark.parametrize("text, expected, code", WORDS)
def test_words_and_languages_of_any_script(text, expected, code):
  assert language.words(text) == expected
  assert language.of([text]) == code


def test_the_language_is_that_of_most_words_or_what_is_declared():
  assert language.of(["我们去公园玩", "see the zoo and the park today"]) == "en"
  assert language.of(["我们去公园玩吧今天天气很好", "the zoo and"]) == "zh"
  assert (
    language.of(
      [
        "我们叫他タロウ，今天天气很好，我们去公园玩，然后回家吃饭，明天再来看这里的花，真的很好看啊"
      ]
    )
    == "zh"
  )
  assert language.of(["我们"], "en") == "en"
  codes = {"zh-CN": "zh", "zho_Hans": "zh", "DE": "de", "eng": "en", "": "", "sw": "sw"}
  assert {name: language.code(name) for name in codes} == codes
  for wrong, words in (("cn", "give 'zh'"), ("Chinese", "'Chinese': give the code")):
    with pytest.raises(ValueError, match=words):
      language.code(wrong)


def test_configs_refuse_a_language_that_has_no_code():
  encoder = EncoderConfig(d_model=8, pattern=(entry("gru"),), num_groups=1)
  decoder = EncoderDecoderConfig(d_model=8)
  models = (
    (classification, encoder),
    (passages, encoder),
    (spans, encoder),
    (pairs, decoder),
  )
  for task, model in models:
    with pytest.raises(ConfigError, match="task.language is 'Chinese'"):
      check(Config(model, task.Config(language="Chinese")))
    check(Config(model, task.Config(language="zh")))


# Written, reference, sacrebleu's tokenizer.
BLEU = [
  ("今天天气很好我们去公园玩", "今天天气很好我们去公园吧", "zh"),
  ("วันนี้อากาศดีมาก", "วันนี้อากาศดี", "char"),
  ("The cat sat on the mat.", "The cat sat on a mat.", "13a"),
  ("Мама мыла раму вчера", "Мама мыла раму сегодня", "13a"),
]


@pytest.mark.parametrize("written, reference, tokenizer", BLEU)
def test_bleu_takes_the_tokenizer_of_the_script(written, reference, tokenizer):
  scores = overlap.numbers("bleu", [written], [[reference]])
  bleu = sacrebleu.BLEU(tokenize=tokenizer)
  expected = bleu.corpus_score([written], [[reference]]).score
  np.testing.assert_allclose(scores["bleu"], expected)
  assert f"|tok:{tokenizer}|" in scores["signature"]
  assert "nc:6|nw:0" in scores["chrf_signature"]
  lines = "\n".join(overlap.signatures(scores))
  assert scores["signature"] in lines and scores["chrf_signature"] in lines


def test_chinese_bleu_is_not_zero_and_japanese_needs_no_mecab():
  scores = overlap.numbers("bleu", [BLEU[0][0]], [[BLEU[0][1]]])
  np.testing.assert_allclose(scores["bleu"], 90.36, atol=0.01)
  mecab = all(map(importlib.util.find_spec, ("MeCab", "ipadic")))
  assert overlap.bleu_tokenizer("ja") == ("ja-mecab" if mecab else "char")
  scores = overlap.numbers("bleu", ["今天"], [["明天"]], language="en")
  assert "|tok:13a|" in scores["signature"]


# Written, reference, ROUGE-1 and ROUGE-2 by hand.
ROUGE = [
  ("मैं घर जाता हूँ", "मैं घर आता हूँ", 75, 100 / 3),
  ("Привет, мир", "привет мир!", 100, 100),
  ("我们今天", "我们明天", 75, 100 / 3),
  ("ดีมา", "ดีนา", 200 / 3, 0),
  ("مرحبا بالعالم", "مرحبا", 200 / 3, 0),
]


@pytest.mark.parametrize("written, reference, one, two", ROUGE)
def test_rouge_of_any_script(written, reference, one, two):
  scores = overlap.numbers("rouge", [written], [[reference]])
  np.testing.assert_allclose([scores["rouge1"], scores["rouge2"]], [one, two])
  assert "stem:no" in scores["signature"] and "agg:mean F1" in scores["signature"]


def test_english_rouge_is_rouge_score_s_own():
  written, reference = (
    "The naïve cat sat. And the dog ran.",
    "The dog ran. The cat sat.",
  )
  scores = overlap.numbers("rouge", [written], [[reference]])
  names = ["rouge1", "rouge2", "rougeL"]
  expected = rouge_scorer.RougeScorer(names).score(reference, written)
  for name in names:
    np.testing.assert_allclose(scores[name], 100 * expected[name].fmeasure)
  # a sentence a line: the order of the sentences does not count
  assert scores["rougeLsum"] > scores["rougeL"]


def test_texts_of_another_script_count_among_english_ones():
  english = "The dog and the cat ran after the ball in the park"
  scores = overlap.numbers("rouge", [english, "我们今天"], [[english], ["我们明天"]])
  assert scores["language"] == "en"
  np.testing.assert_allclose(scores["rouge1"], (100 + 75) / 2)
  ranked, _ = bm25.rank({"a": english, "b": "मैं घर", "c": "我们"}, {"q": "घर"}, 3)
  assert ranked == {"q": ["b"]}


def test_first_sentences():
  text = "One. Two! Three?"
  assert extractive.first(text, 2) == "One. Two!" and extractive.first(text) == "One."
  assert extractive.mean_length([text, "One."]) == 2
  assert extractive.mean_length([""]) == 1


def test_grades_are_trec_eval_s():
  # gains 4, 3, 1; the third of them is of a document that no ranking can have
  relevant = {"d1": 4, "d2": 1, "dX": 3}
  best = 4 + 3 / np.log2(3) + 1 / 2
  expected = (1 + 4 / np.log2(3)) / best
  np.testing.assert_allclose(ranking.ndcg(["d2", "d1"], relevant, 10), expected)
  np.testing.assert_allclose(expected, 0.551, atol=5e-4)
  np.testing.assert_allclose(ranking.recall(["d2", "d1"], relevant, 100), 2 / 3)
  np.testing.assert_allclose(ranking.average_precision(["d2", "d1"], relevant), 2 / 3)
  assert ranking.grades(["a", "b"]) == ranking.grades({"a": 1, "b": 1})


def test_rankings_are_scored_as_pytrec_eval_scores_runs():
  draw = np.random.default_rng(1)
  names = [f"d{i}" for i in range(30)]
  runs, judged = {}, {}
  for query in map(str, range(8)):
    # few values: many ties
    runs[query] = {n: float(draw.integers(0, 5)) for n in names}
    judged[query] = {n: int(draw.integers(-1, 4)) for n in draw.choice(names, 9)}
    judged[query]["missing"] = 2
  measures = {"ndcg_cut.10", "recall.100", "recip_rank", "map"}
  expected = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(runs)
  scores = ranking.numbers(runs, judged)
  for ours, theirs in ranking.MEASURES.items():
    mean = np.mean([row[theirs] for row in expected.values()])
    np.testing.assert_allclose(scores[ours], mean)
  # a list is a ranking without ties
  order = {
    query: sorted(run, key=lambda name, run=run: (run[name], name), reverse=True)
    for query, run in runs.items()
  }
  assert ranking.numbers(order, judged) == scores


def test_queries_that_nothing_answers():
  ranked = {"good": ["a"], "all irrelevant": ["a"], "unjudged": ["a"], "empty": []}
  relevant = {"good": {"a": 2}, "all irrelevant": {"a": 0}, "empty": {"a": 1}}
  # one of three judged queries is answered; as in trec_eval the unjudged does not count
  np.testing.assert_allclose(ranking.numbers(ranked, relevant)["ndcg_10"], 1 / 3)
  assert set(ranking.by_query(ranked, relevant)) == set(relevant)
  assert math.isnan(ranking.numbers({"q": ["a"]}, {})["map"])
  with pytest.raises(ValueError, match="a document twice"):
    ranking.ndcg(["a", "a"], {"a"}, 10)


def test_bm25_finds_words_of_any_script_and_nothing_else():
  def rank(documents, query, **options):
    named = dict(zip("01", documents, strict=True))
    return bm25.rank(named, {"q": query}, 10, **options)

  for documents, query, expected in (
    (["今天天气很好", "我们去公园玩"], "公园在哪里", ["1"]),
    (["हिन्दी में", "मैं घर"], "हिन्दी", ["0"]),
    (["สวัสดีครับ", "อากาศ"], "อากาศดี", ["1", "0"]),
    (["one", "two"], "three", []),
    (["...", "!"], "three", []),
    (["one", "two"], "...", []),
  ):
    ranked, _ = rank(documents, query)
    assert ranked == {"q": expected}, query
  german = ["der Hund", "die Katze und der"]
  assert rank(german, "der Hund")[0] == {"q": ["0", "1"]}
  ranked, how = rank(german, "der Hund", language="de")
  assert ranked == {"q": ["0"]} and "de (task.language), its stop words left out" in how
  assert "no stop words" in rank(german, "der Hund")[1]
  # English stop words are left out of English alone
  assert rank(["the and the cat", "the dog"], "the dog")[0] == {"q": ["1"]}


def test_a_stop_word_of_two_characters_does_not_stop_each():
  ranked, _ = bm25.rank({"a": "方面", "b": "公园"}, {"q": "面"}, 2)
  assert ranked == {"q": ["a"]}  # 一方面 is a stop word


def test_macro_f1_is_over_classes_that_occur():
  label = np.array([0, 1, 0, 1])
  logp = np.full((4, 3), -9.0)
  logp[np.arange(4), label] = -0.001
  scores = classes.numbers(label, logp, ("a", "b", "c"))
  assert scores["macro_f1"] == 1 and scores["macro_f1_classes"] == 2
  assert scores["per_class"][2] == {
    "class": "c", "precision": None, "recall": None, "f1": None, "texts": 0,
  }  # fmt: skip
  assert "the 2 of 3 classes that occur" in classes.table(scores)[-1]
  draw = np.random.default_rng(0)
  for _ in range(5):
    label, logp = draw.integers(0, 6, 9), draw.normal(size=(9, 6))
    guess = logp.argmax(1)
    scores = classes.numbers(label, logp, tuple("abcdef"))
    expected = metrics.f1_score(label, guess, average="macro")
    np.testing.assert_allclose(scores["macro_f1"], expected)
    assert classes.scores(label, guess)["macro_f1"] == scores["macro_f1"]


def test_tf_idf_learns_words_and_characters():
  for positive, negative in (
    ("a fine film", "a poor film"),
    ("这部电影很好看", "这部电影很难看"),
    ("अच्छी फ़िल्म", "बुरी फ़िल्म"),
  ):
    texts = [(positive + " x",), (negative + " y",)] * 6
    train = tfidf.Split(texts, ["good", "bad"] * 6)
    answer = tfidf.fit_and_ask(train, train, [(positive,), (negative,)])
    assert answer.labels.tolist() == ["good", "bad"]
    assert ("characters" in answer.how) == ("电" in positive)
  # of a pair each text has weights of its own: the order tells the classes apart
  pairs = [("cat", "dog"), ("dog", "cat")] * 6
  train = tfidf.Split(pairs, ["first", "second"] * 6)
  answer = tfidf.fit_and_ask(train, train, pairs[:2])
  assert answer.labels.tolist() == ["first", "second"]
  for texts, labels_ in (([("a",), ("b",)], "xx"), ([("!",), ("?",)], "xy")):
    train = tfidf.Split(texts, [*labels_])
    assert tfidf.fit_and_ask(train, train, texts) is None


def test_tf_idf_is_bounded(monkeypatch):
  monkeypatch.setattr(tfidf, "TEXTS", 10)
  train = tfidf.Split([(f"good {i}",) for i in range(30)], ["a", "b", "c"] * 10)
  answer = tfidf.fit_and_ask(train, train, train.texts)
  assert "10 training texts, drawn" in answer.how
  monkeypatch.setattr(tfidf, "ALL", 30)
  assert len(tfidf._drawn(train)) < 5


def test_baselines_that_are_better_are_named_the_best_first():
  values = {"gzip": 2.5, "xz": 2.25, "raw": 8.0, "broken": math.nan}
  assert baselines.better("bits", 2.6, values, lower=True) == [
    "Xz is better than this model: bits 2.250 against 2.600.",
    "Gzip is better than this model: bits 2.500 against 2.600.",
    "",
  ]
  assert baselines.better("bits", 2.25, values, lower=True) == []
  assert len(baselines.better("BLEU", math.nan, {"copy": 0.0}, digits=1)) == 2
  assert baselines.missing("BM25", "numpy") == ""
  note = baselines.missing("BM25", "no_such_module")
  assert note.startswith("BM25 was not computed") and "jaxmem[apps]" in note


def test_compressors_say_what_they_are_of():
  assert set(baselines.compressors([b"ab" * 9])) == set(baselines.PACKED)


def test_a_report_of_text_says_first_that_xz_is_better(tmp_path, monkeypatch):
  text = b"ab" * 400
  position, cost = np.arange(len(text) + 1), np.ones(len(text) + 1)
  sums, within = (PairedSums.zeros(WAYS, n) for n in (NUM_BUCKETS, 16))
  sums.add(position // 1000, dict.fromkeys(WAYS, cost))
  within.add(position % 16, dict.fromkeys(WAYS, cost))
  result = Result(sums, within, 256, len(text), 1, 1)
  monkeypatch.setattr(plots, "loss_curve", lambda log, path, carried: path)
  report.write(report.findings(result, [text], "heldout"), None, tmp_path)
  first = (tmp_path / "report.md").read_text().splitlines()[0]
  assert "is better than this model: bits per byte" in first
  assert first.endswith("against 1.001.")
  numbers = json.loads((tmp_path / "report.json").read_text())
  assert set(numbers["compressors"]) == set(baselines.PACKED)


def test_answers_are_compared_by_the_rule_of_their_language():
  rules = {"en": "squad", "zh": "cmrc", "ja": "words", "de": "words", "": "words"}
  assert {name: span_metrics.rule_of(name) for name in rules} == rules

  def score(rule, answer, reference):
    return span_metrics.numbers(rule, [answer], [[reference]])

  # "a" is an article of English, and a word of Portuguese
  assert score("squad", "a casa", "casa")["exact"] == 100
  assert score("words", "a casa", "casa")["exact"] == 0
  np.testing.assert_allclose(score("words", "a casa", "casa")["f1"], 200 / 3)
  assert score("words", "हिन्दी", "«हिन्दी।»") == {"exact": 100, "f1": 100}
  np.testing.assert_allclose(score("words", "สวัสดี", "สวัส")["f1"], 100 * 6 / 7)
  assert score("words", "%", "+") == {"exact": 0, "f1": 0}


def test_lexical_answers_in_scripts_without_spaces():
  context = "วันนี้สมชายมาที่บ้าน"
  answer = lexical.near("ใครมาที่บ้าน", context, "words", 3)
  assert answer in context and len(language.words(answer)) == 3
  context = "बारिश हुई। राम घर आया।"
  assert lexical.clause("घर कौन आया", context, "words") == "राम घर आया"


def test_decomposed_texts_and_texts_of_signs_are_compared():
  composed = "the caf\u00e9 \u00e0 cr\u00e8me"
  apart = unicodedata.normalize("NFD", composed)
  for code in ("en", "fr"):
    assert overlap.numbers("rouge", [apart], [[composed]], code)["rouge1"] == 100
  signs = ["\U0001f600 \U0001f603"]
  scores = [
    overlap.numbers("rouge", [text], [signs])["rouge1"] for text in (*signs, "?")
  ]
  assert scores == [100, 0]
  assert span_metrics.numbers("cmrc", ["\U0001f600"], [["\U0001f603"]])["exact"] == 0
  assert bm25.rank({"a": "x"}, {}, 5)[0] == {}


def test_values_that_differ_are_shown_to_differ():
  first = baselines.better("accuracy", 0.80001, {"x": 0.80004})
  assert first[0] == "X is better than this model: accuracy 0.80004 against 0.80001."


@pytest.mark.parametrize("fold", ["9" * 5000 + "/5", "1/" + "9" * 5000, "\u0661/5"])
def test_folds_of_absurd_numbers_are_named(fold):
  with pytest.raises(ValueError, match="fold is .* of the form 1/5"):
    folds.parse(fold)
