"""Extractive question answering: places, windows, metrics, training, mistakes."""

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
THINGS = ["cat", "boat", "book", "drum", "lamp"]


def write(path, count=60):
  """Who has what: the answer stands before the thing that is asked for."""
  draw, articles, contexts = np.random.default_rng(0), [], set()
  while (i := len(articles)) < count:
    names, things = draw.permutation(NAMES)[:3], draw.permutation(THINGS)[:3]
    parts = [f"{n} has the {t}." for n, t in zip(names, things, strict=True)]
    context, k = " ".join(parts), int(draw.integers(3))
    if context in contexts:
      continue
    contexts.add(context)
    start = context.index(names[k])
    asked = {
      "id": str(i),
      "question": f"who has the {things[k]}?",
      "answers": [{"text": str(names[k]), "answer_start": start}],
    }
    paragraph = {"context": context, "qas": [asked]}
    articles.append({"title": f"a{i}", "paragraphs": [paragraph]})
  path.write_text(json.dumps({"data": articles}))
  return path


def config(place, **changes):
  data = SpansConfig(
    source=str(place),
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
  place = tmp_path_factory.mktemp("spans")
  assert train(config(write(place / "q.json", 200)), place / "run") == 0
  return place / "run"


def test_a_run_finds_answers_better_than_overlap(run):
  found = json.loads((run / "report.json").read_text())
  assert found["questions"] == 40
  overlap = [v["f1"] for k, v in found["beside"].items() if "overlap" in k]
  assert len(overlap) == 2 and found["f1"] > 80 > max(overlap), found
  report = (run / "report.md").read_text()
  assert "better than this model" not in report
  assert found["signature"] in report and "rule:squad" in found["signature"]


def test_predictions_are_substrings_with_their_place(run):
  predict = asking.predictor(run, "last")
  context = "Eve has the lamp. Dan has the drum. " * 4
  lines = [
    json.dumps({"question": "who has the drum?", "context": context}).encode(),
    b'{"question": "who?", "context": " "}',
    b'{"question": "who?"}',
  ]
  found = list(asking.answers(lines, predict, 4))
  first = found[0]
  assert first["answer"] == context[first["start"] :][: len(first["answer"])]
  assert "a text expected" in found[1]["error"] and found[2]["line"] == 3


@pytest.mark.parametrize(
  "name",
  [
    "byte",
    "words:300",
    "sp:300",
    pytest.param("minilm", marks=pytest.mark.needs("weights")),
  ],
)
def test_places_of_tokens_give_the_text_back(name):
  text = "Ein Käse, 今天 (№ 7) – ok İx"
  letters = " ".join(map("".join, itertools.product("abcdef", "abcdef", "xyz")))
  learned = [text.encode() * 9, letters.encode()]
  tokenizer = trained.make(name, learned)
  found = squad.pieces(tokenizer, text)
  np.testing.assert_array_equal(found.ids, tokenizer.encode(text.encode()))
  assert (found.begin < found.end).all() and found.end[-1] == len(text)
  words = [text[a:b] for a, b in zip(found.begin, found.end, strict=True)]
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
  seen = set()
  for w in windows:
    first = w.first - w.shift
    seen |= set(range(first, first + w.count))
    assert len(w.tokens) <= 16
    assert (
      bytes(w.tokens[w.first : w.first + w.count].tolist()).decode()
      == (context[first : first + w.count])
    )
  assert seen == set(range(20))
  places = [answer_in(w, text, 7, 9) for w in windows]
  assert places == [(12, 13), (6, 7), (0, 0)]
  batch = cutter.batch(windows, places)
  assert batch["context"].sum(1).tolist() == [11, 11, 9]  # and the first place


def test_the_best_span_is_the_best_of_all():
  cutter = Cutter(tokenizers.get("byte"), length=16, question=3, overlap=4)
  windows, _ = cutter.windows("why", "abcdefghijklmnopqrst")
  draw, window = np.random.default_rng(0), windows[1]
  logits = draw.normal(size=(16, 2))
  wanted = max(
    (logits[i, 0] + logits[j, 1], i, j)
    for i in range(window.first, window.first + window.count)
    for j in range(i, min(i + 3, window.first + window.count))
  )
  first, last, score = best_span(logits, window, 3)
  assert (first, last) == (wanted[1] - window.shift, wanted[2] - window.shift)
  np.testing.assert_allclose(score, wanted[0] - logits[0].sum())


def test_metrics_by_hand():
  score = lambda rule, a, *w: metrics.numbers(rule, [a], [w])
  assert score("squad", "The Cat!", "cat") == {"exact": 100, "f1": 100}
  found = score("squad", "a big black cat", "the cat", "dog")
  assert found["exact"] == 0
  np.testing.assert_allclose(found["f1"], 100 * 2 * 1 / (3 + 1))
  # the longest run that both have: 京大 of 北京大学 and 京大人
  found = score("cmrc", "北京大学", "京大人")
  np.testing.assert_allclose(found["f1"], 100 * 2 * 2 / (4 + 3))
  assert score("cmrc", "北京。", "北京")["exact"] == 100


def test_the_baselines_take_what_stands_next_to_the_question_s_words():
  context = "x y z x y z x y z the red boat is Anna own x y z x y z x y z"
  answer = lambda n: lexical.near("who owns the red boat", context, "squad", n)
  assert answer(1) in ("the", "is") and answer(2) in ("z the", "is Anna")
  assert lexical.near("why", "one two", "squad", 5) == "one two"
  context = "It rains, the red boat is hers, a boat a boat a boat. The red one is his."
  assert lexical.clause("who owns the red boat", context, "squad") == (
    "the red boat is hers"
  )
  assert lexical.clause("谁有红船", "下雨，安娜有红船。", "cmrc") == "安娜有红船"
  assert lexical.clause("why", " ... ", "squad") == "..."


def test_matched_tokens_are_of_their_own_type():
  cutter = Cutter(tokenizers.get("byte"), 16, 3, 4, match=True)
  windows, _ = cutter.windows("why", "abcwdefghyij")
  types = cutter.batch(windows, [(0, 0)] * len(windows))["types"]
  # EOS why EOS, then ten of the text and the end
  assert types[0].tolist() == [0] * 5 + [1, 1, 1, 2, 1, 1, 1, 1, 2, 2] + [1]


def test_a_file_of_lines_is_read_as_one_of_squad_s_form(tmp_path):
  asked = squad.read(str(write(tmp_path / "q.json", 6)), "")
  forms = [
    lambda q: q.answers[0],
    lambda q: [q.answers[0], "no one"],
    lambda q: {"text": q.answers[0], "answer_start": q.start},
  ]
  lines = [
    {"question": q.question, "context": q.context, "answers": forms[i % 3](q)}
    for i, q in enumerate(asked)
  ]
  place = tmp_path / "q.jsonl.gz"
  place.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
  found = squad.read(str(place), "")
  keys = lambda q: (q.question, q.context, q.answers[0], q.start)
  assert [*map(keys, found)] == [*map(keys, asked)]
  assert found[1].answers[1] == "no one" and found[0].article == found[0].context
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
  found = answers([("b c", context) for context in contexts])
  for context, one in zip(contexts, found, strict=True):
    assert one.text == one.text.strip()
    assert context[one["start"] :].startswith(one.text)


def test_questions_that_no_window_can_answer_are_not_learned(tmp_path):
  place = write(tmp_path / "q.json", 20)
  every = len(runs.job(config(place))._windows("train"))
  data = json.loads(place.read_text())
  long = "who has it " * 20
  for article in data["data"]:
    asked = {"id": "x", "question": "who?"}
    asked["answers"] = [{"text": long.strip(), "answer_start": 0}]
    context = long + article["title"]
    article["paragraphs"].append({"context": context, "qas": [asked]})
  place.write_text(json.dumps(data))
  assert len(runs.job(config(place))._windows("train")) == every
  for article in data["data"]:
    article["paragraphs"] = article["paragraphs"][1:]
  place.write_text(json.dumps(data))
  with pytest.raises(UserError, match="no window has a whole answer .train.: raise"):
    runs.job(config(place))


def test_bad_files_are_named(tmp_path):
  place = tmp_path / "q.json"

  def fails(words, change=None, **changes):
    write(place, 5)
    data = json.loads(place.read_text())
    if change:
      change(data["data"][0]["paragraphs"][0]["qas"][0])
    place.write_text(json.dumps(data))
    with pytest.raises(UserError, match=words):
      runs.job(config(place, **changes))

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
  write(place, 5)
  moved = json.loads(place.read_text())
  moved["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
  place.write_text(json.dumps(moved))
  first = squad.read(str(place), "")[0]
  assert first.context[first.start :].startswith(first.answers[0])
