"""The task question_answering: tokens, windows, metrics, training, errors."""

import dataclasses
import gzip
import itertools
import json

import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.core.errors import UserError
from jaxmem.evaluation import predict as asking
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.question_answering import data as squad
from jaxmem.tasks.question_answering import lexical, metrics
from jaxmem.tasks.question_answering.rows import Cutter, answer_in, best_span
from jaxmem.tasks.question_answering.task import Answerer, SpansConfig
from jaxmem.tokenizers import trained
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.load import load_run
from jaxmem.training.trainer import train
from support import runs

NAMES = ["Anna", "Ben", "Carla", "Dan", "Eve"]
NOUNS = ["cat", "boat", "book", "drum", "lamp"]


def write(path, count=60):
  """Writes questions "who has the X?", whose answer is the name before the noun."""
  draw, articles, contexts = np.random.default_rng(0), [], set()
  while (i := len(articles)) < count:
    names, nouns = draw.permutation(NAMES)[:3], draw.permutation(NOUNS)[:3]
    parts = [f"{n} has the {t}." for n, t in zip(names, nouns, strict=True)]
    context, k = " ".join(parts), int(draw.integers(3))
    if context in contexts:
      continue
    contexts.add(context)
    start = context.index(names[k])
    question = {
      "id": str(i),
      "question": f"who has the {nouns[k]}?",
      "answers": [{"text": str(names[k]), "answer_start": start}],
    }
    paragraph = {"context": context, "qas": [question]}
    articles.append({"title": f"a{i}", "paragraphs": [paragraph]})
  path.write_text(json.dumps({"data": articles}))
  return path


def config(path, **changes):
  """A run of some seconds; `changes` are of the task's config."""
  data = SpansConfig(
    source=str(path),
    tokenizer="words:300",
    segment_length=32,
    question_length=8,
    overlap=8,
    answer_length=3,
    batch_size=16,
  )
  pattern = (entry("encoder_attention", num_heads=2), entry("gru"))
  return Config(
    model=EncoderConfig(d_model=32, pattern=pattern, num_groups=1, types=2),
    task=dataclasses.replace(data, **changes),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=5),
    validation=ValidationConfig(every=60),
    steps=120,
    log_every=5,
    save_every=60,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  directory = tmp_path_factory.mktemp("spans")
  assert train(config(write(directory / "q.json", 200)), directory / "run") == 0
  return directory / "run"


def test_a_run_finds_answers_better_than_overlap(run):
  numbers = json.loads((run / "report.json").read_text())
  assert numbers["questions"] == 40
  overlap = [v["f1"] for k, v in numbers["beside"].items() if "overlap" in k]
  assert len(overlap) == 2 and numbers["f1"] > 80 > max(overlap), numbers
  report = (run / "report.md").read_text()
  assert "better than this model" not in report
  assert numbers["signature"] in report and "rule:squad" in numbers["signature"]


def test_predictions_are_substrings_with_their_start(run):
  predict = asking.predictor(run, "last")
  context = "Eve has the lamp. Dan has the drum. " * 4
  lines = [
    json.dumps({"question": "who has the drum?", "context": context}).encode(),
    b'{"question": "who?", "context": " "}',
    b'{"question": "who?"}',
  ]
  answers = list(asking.answers(lines, predict, 4))
  first = answers[0]
  assert first["answer"] == context[first["start"] :][: len(first["answer"])]
  assert "a text expected" in answers[1]["error"] and answers[2]["line"] == 3


@pytest.mark.parametrize(
  "name",
  [
    "byte",
    "words:300",
    "sp:300",
    pytest.param("minilm", marks=pytest.mark.needs("weights")),
  ],
)
def test_characters_of_tokens_give_the_text_back(name):
  text = "Ein Käse, 今天 (№ 7) – ok İx"
  letters = " ".join(map("".join, itertools.product("abcdef", "abcdef", "xyz")))
  corpus = [text.encode() * 9, letters.encode()]
  tokenizer = trained.make(name, corpus)
  pieces = squad.pieces(tokenizer, text)
  np.testing.assert_array_equal(pieces.ids, tokenizer.encode(text.encode()))
  assert (pieces.begin < pieces.end).all() and pieces.end[-1] == len(text)
  words = [text[a:b] for a, b in zip(pieces.begin, pieces.end, strict=True)]
  if name == "byte":
    assert words[:3] == ["E", "i", "n"] and words.count("ä") == 2
  elif name == "sp:300":
    assert "".join(words) == text
  else:
    assert "".join(words) == text.replace(" ", "") and words[-3:] == ["–", "ok", "İx"]


def test_windows_cover_a_text_and_hold_the_answer_where_it_is_whole():
  cutter = Cutter(tokenizers.get("byte"), length=16, question=3, overlap=4)
  context = "abcdefghijklmnopqrst"
  windows, text = cutter.windows("why", context)
  assert [w.count for w in windows] == [10, 10, 8]
  covered = set()
  for w in windows:
    first = w.first - w.shift
    covered |= set(range(first, first + w.count))
    assert len(w.tokens) <= 16
    assert (
      bytes(w.tokens[w.first : w.first + w.count].tolist()).decode()
      == (context[first : first + w.count])
    )
  assert covered == set(range(20))
  positions = [answer_in(w, text, 7, 9) for w in windows]
  assert positions == [(12, 13), (6, 7), (0, 0)]
  batch = cutter.batch(windows, positions)
  assert batch["context"].sum(1).tolist() == [11, 11, 9]  # with position 0


def test_the_best_span_is_the_best_of_all():
  cutter = Cutter(tokenizers.get("byte"), length=16, question=3, overlap=4)
  windows, _ = cutter.windows("why", "abcdefghijklmnopqrst")
  draw, window = np.random.default_rng(0), windows[1]
  logits = draw.normal(size=(16, 2))
  best = max(
    (logits[i, 0] + logits[j, 1], i, j)
    for i in range(window.first, window.first + window.count)
    for j in range(i, min(i + 3, window.first + window.count))
  )
  first, last, score = best_span(logits, window, 3)
  assert (first, last) == (best[1] - window.shift, best[2] - window.shift)
  np.testing.assert_allclose(score, best[0] - logits[0].sum())


def test_metrics_by_hand():

  def score(rule, answer, *references):
    return metrics.numbers(rule, [answer], [references])

  assert score("squad", "The Cat!", "cat") == {"exact": 100, "f1": 100}
  scores = score("squad", "a big black cat", "the cat", "dog")
  assert scores["exact"] == 0
  np.testing.assert_allclose(scores["f1"], 100 * 2 * 1 / (3 + 1))
  # the longest run that both have: 京大 of 北京大学 and 京大人
  scores = score("cmrc", "北京大学", "京大人")
  np.testing.assert_allclose(scores["f1"], 100 * 2 * 2 / (4 + 3))
  assert score("cmrc", "北京。", "北京")["exact"] == 100


def test_the_baselines_take_what_is_near_the_question_s_words():
  context = "x y z x y z x y z the red boat is Anna own x y z x y z x y z"
  one, two = (
    lexical.near("who owns the red boat", context, "squad", length) for length in (1, 2)
  )
  assert one in ("the", "is") and two in ("z the", "is Anna")
  assert lexical.near("why", "one two", "squad", 5) == "one two"
  context = "It rains, the red boat is hers, a boat a boat a boat. The red one is his."
  assert lexical.clause("who owns the red boat", context, "squad") == (
    "the red boat is hers"
  )
  assert lexical.clause("谁有红船", "下雨，安娜有红船。", "cmrc") == "安娜有红船"
  assert lexical.clause("why", " ... ", "squad") == "..."


def test_matched_tokens_have_a_separate_type():
  cutter = Cutter(tokenizers.get("byte"), 16, 3, 4, match=True)
  windows, _ = cutter.windows("why", "abcwdefghyij")
  types = cutter.batch(windows, [(0, 0)] * len(windows))["types"]
  # EOS why EOS, then ten of the text and the end
  assert types[0].tolist() == [0] * 5 + [1, 1, 1, 2, 1, 1, 1, 1, 2, 2] + [1]


def test_a_file_of_lines_is_read_as_one_of_squad_s_form(tmp_path):
  questions = squad.read(str(write(tmp_path / "q.json", 6)), "")
  forms = [
    lambda q: q.answers[0],
    lambda q: [q.answers[0], "no one"],
    lambda q: {"text": q.answers[0], "answer_start": q.start},
  ]
  lines = [
    {"question": q.question, "context": q.context, "answers": forms[i % 3](q)}
    for i, q in enumerate(questions)
  ]
  path = tmp_path / "q.jsonl.gz"
  path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
  from_lines = squad.read(str(path), "")
  for line, question in zip(from_lines, questions, strict=True):
    assert line[:2] == question[:2] and line.start == question.start
    assert line.answers[0] == question.answers[0]
  assert (
    from_lines[1].answers[1] == "no one"
    and from_lines[0].article == from_lines[0].context
  )
  for answers in (7, [{"text": "Anna", "answer_start": "x"}], None):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps(lines[0] | {"answers": answers}))
    with pytest.raises(UserError, match='bad.jsonl line 1: "answers" is'):
      squad.read(str(bad), "")


def test_an_answer_has_no_space_around_it(run):
  loaded = load_run(run, "last")
  cutter = Cutter(tokenizers.get("byte"), 32, 8, 8)
  answers = Answerer(loaded.model, loaded.params, cutter, 9)
  contexts = [f" {a} {b} " * 3 for a in "ab" for b in "cd"]
  results = answers([("b c", context) for context in contexts])
  for context, answer in zip(contexts, results, strict=True):
    assert answer.text == answer.text.strip()
    assert context[answer["start"] :].startswith(answer.text)


def test_questions_that_no_window_can_answer_are_not_learned(tmp_path):
  path = write(tmp_path / "q.json", 20)
  count = len(runs.task(config(path))._windows("train"))
  data = json.loads(path.read_text())
  long_answer = "who has it " * 20
  for article in data["data"]:
    question = {"id": "x", "question": "who?"}
    question["answers"] = [{"text": long_answer.strip(), "answer_start": 0}]
    context = long_answer + article["title"]
    article["paragraphs"].append({"context": context, "qas": [question]})
  path.write_text(json.dumps(data))
  assert len(runs.task(config(path))._windows("train")) == count
  for article in data["data"]:
    article["paragraphs"] = article["paragraphs"][1:]
  path.write_text(json.dumps(data))
  with pytest.raises(UserError, match="no window has a whole answer .train.: raise"):
    runs.task(config(path))


def test_bad_files_are_named(tmp_path):
  path = tmp_path / "q.json"

  def fails(words, change=None, **changes):
    write(path, 5)
    data = json.loads(path.read_text())
    if change:
      change(data["data"][0]["paragraphs"][0]["qas"][0])
    path.write_text(json.dumps(data))
    with pytest.raises(UserError, match=words):
      runs.task(config(path, **changes))

  def nowhere(qa):
    qa["answers"][0]["text"] = "nobody"

  fails("question 0: its answer 'nobody' does not occur", nowhere)
  fails("question or its text is empty", lambda qa: qa.update(question=" "))
  fails("has no answer", lambda qa: qa.update(answers=[]))
  fails("is not of SQuAD's form", lambda qa: qa.pop("question"))
  fails("5 articles and 6 folds", fold="1/6")
  fails("of 3 folds at least", fold="1/2")
  fails("task.overlap is 30", overlap=30)
  fails("task.match needs model.types of 3: it is 2", match=True)
  fails("no file 'none': give JSON", source="none")
  write(path, 5)
  shifted = json.loads(path.read_text())
  shifted["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
  path.write_text(json.dumps(shifted))
  first = squad.read(str(path), "")[0]
  assert first.context[first.start :].startswith(first.answers[0])
