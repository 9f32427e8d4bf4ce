"""Sequence to sequence as a task: pairs, batches, training, metrics, predictions."""

import gzip
import json

import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.core.errors import UserError
from jaxmem.data.sentences import sentences
from jaxmem.evaluation import predict as asking
from jaxmem.tasks.base import TaskContext
from jaxmem.tasks.seq2seq import data as pairs
from jaxmem.tasks.seq2seq import extractive, metrics
from jaxmem.tasks.seq2seq import task as seq2seq
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.trainer import train
from support.seq2seq_runs import config, make, write_pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  place = tmp_path_factory.mktemp("pairs")
  assert train(config(write_pairs(place)), place / "run") == 0
  return place / "run"


def test_a_run_learns_to_write_what_it_reads_in_capitals(run):
  scores = json.loads((run / "report.json").read_text())
  assert scores["pairs"] == 12 and scores["chrf"] > 80, scores
  assert scores["beside"]["source, copied"]["chrf"] < 10
  assert "case:mixed" in scores["signature"]
  report = (run / "report.md").read_text()
  assert report.index("| source, copied |") < report.index("| beam 3 |")
  assert "better than this model" not in report and "nc:6" in scores["chrf_signature"]
  trained = asking.evaluate(run, "last", "train").numbers
  assert trained["pairs"] == 108 and trained["chrf"] > 80


def test_predictions_name_what_is_bad_and_are_alike_in_any_batch(run):
  predict = asking.predictor(run, "last")
  lines = [
    b'{"source": "ab cd ef"}',
    b'{"source": "ef ef gh"}',
    b'{"source": ""}',
    b'{"source": "a text that is much too long"}',
    b'{"target": "x"}',
  ]
  answers = list(asking.answers(lines, predict, 8))
  alone = [list(asking.answers([line], predict, 1))[0] for line in lines[:2]]
  assert answers[0]["target"] == "AB CD EF" and answers[1]["target"] == "EF EF GH"
  assert [f["target"] for f in answers[:2]] == [a["target"] for a in alone]
  np.testing.assert_allclose(answers[0]["score"], alone[0]["score"], atol=1e-3)
  assert "a text expected" in answers[2]["error"] and "error" in answers[4]
  assert "has 28 tokens, the run reads 16" in answers[3]["error"]


def test_texts_are_drawn_by_seed_and_greedy_at_temperature_0(run):
  predict = asking.predictor(run, "last")
  lines = [
    json.dumps({"source": "ab cd ef", "temperature": t, "seed": s}).encode()
    for t, s in ((0, 1), (0, 2), (3.0, 1), (3.0, 1), (3.0, 2))
  ]
  lines += [b'{"source": "ab", "temperature": -1}', b'{"source": "ab", "seed": 0.5}']
  answers = list(asking.answers(lines, predict, 8))
  texts = [f.get("target") for f in answers]
  assert texts[0] == texts[1] == "AB CD EF" and "score" not in answers[0]
  assert texts[2] == texts[3] != texts[4]
  assert "temperature is -1" in answers[5]["error"] and "seed" in answers[6]["error"]


def test_an_epoch_has_every_pair_and_batches_are_of_one_length(tmp_path):
  source = write_pairs(tmp_path, 300)
  rows = make(config(source, segment_length=20)).rows
  sources, lengths = [], []
  for step in range(16):
    batch = rows[step]
    sources += [
      tuple(row[: n + 1].tolist())
      for row, n in zip(batch["read"], batch["length"], strict=True)
    ]
    lengths.append(batch["read"].shape[1])
    assert batch["read"].shape == batch["tokens"].shape == batch["targets"].shape
    assert batch["rows"].shape == (16,)
  assert set(lengths) == {10, 15}
  again = make(config(source, segment_length=20)).rows
  np.testing.assert_array_equal(again[7]["read"], rows[7]["read"])
  numbers = np.concatenate([rows[step]["rows"] for step in range(16)])
  assert sorted(numbers.tolist()) == list(range(256))


def test_a_batch_begins_and_ends_with_eos():
  ids = [np.array([1, 2, 3], np.int32), np.array([4], np.int32)]
  batch = pairs.batch(ids, ids[::-1], 5, 9)
  np.testing.assert_array_equal(batch["read"], [[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]])
  np.testing.assert_array_equal(batch["tokens"], [[9, 4, 0, 0, 0], [9, 1, 2, 3, 0]])
  np.testing.assert_array_equal(batch["targets"], [[4, 9, 0, 0, 0], [1, 2, 3, 9, 0]])
  np.testing.assert_array_equal(batch["weights"].sum(1), [2, 4])


def test_pairs_come_from_every_form_of_file(tmp_path):
  (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
  (tmp_path / "b").write_text("eins\nzwei\n")
  rows = [
    {"source": ["one", "more"], "target": ["eins", "ein"]},
    {"source": "two", "target": "zwei"},
  ]
  (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))

  def read(source):
    found = pairs.read(source, ("source", "target"), "hint")
    return [(pair.source, pair.targets) for pair in found]

  two = read(f"{tmp_path / 'a.gz'},{tmp_path / 'b'}")
  assert two == [("one", ("eins",)), ("two", ("zwei",))]
  several = read(str(tmp_path / "c.jsonl"))
  assert several == [("one more", ("eins", "ein")), ("two", ("zwei",))]


def test_pairs_too_long_are_left_out_of_training_and_counted(tmp_path):
  source = write_pairs(tmp_path, 300)
  task = make(config(source, segment_length=10))
  assert "300 too long" not in task.describe() and "too long" in task.describe()
  encoded = pairs.encode(
    [pairs.Pair("abc", ("de",), "x"), pairs.Pair("a" * 9, ("b",), "y")],
    tokenizers.get("byte"),
    5,
  )
  assert len(encoded.read) == 1 and encoded.left_out == 1


def test_bad_input_is_named(tmp_path):
  a, b = tmp_path / "a", tmp_path / "b"
  source = f"{a},{b}"

  def fails(first, second, words, **changes):
    a.write_bytes(first), b.write_bytes(second)
    with pytest.raises(UserError, match=words):
      make(config(**{"source": source} | changes))

  fails(b"x\ny\n", b"x\n", "has 2 lines and .* 1")
  fails(b"x\n\n", b"x\ny\n", "a line 2 is empty")
  fails(b"x\n\xff\n", b"x\ny\n", "line 2 is bad: it is not UTF-8 at byte 2")
  fails(b"x\ny\nz\n", b"x\n" * 3, "has 3 pairs: give task.heldout")
  c, d = tmp_path / "c", tmp_path / "d"
  c.write_bytes(b"y\n"), d.write_bytes(b"y\n")
  fails(b"x" * 50 + b"\n", b"x\n", "are longer than 16", heldout=f"{c},{d}")
  fails(b"x\n" * 30, b"x\n" * 30, "has 30 pairs, 1 of them different: give task.held")
  fails(b"x\n" * 30, b"z\n" * 30, "a of task.heldout is trained on too", heldout=source)
  fails(b"x\n", b"x\n", "no file 'none': give two files", source="none,b")
  fails(b"x\n", b"x\n", "task.segment_length is 2", segment_length=2)
  fails(b"x\n", b"x\n", "task.beams is 0", beams=0)
  with pytest.raises(UserError, match="model.memory_size is 4"):
    make(config(source, {"memory_size": 4}))


def test_bleu_is_sacrebleu_s_and_rouge_takes_the_best_reference():
  written = ["the cat sat on the mat", "a dog"]
  scores = metrics.numbers("bleu", written, [(w,) for w in written])
  assert scores["bleu"] > 99 and scores["length_ratio"] == 1
  # unigrams 3 of 4 and 3 of 3: F1 6/7
  scores = metrics.numbers("rouge", ["a b c d"], [("x", "a b c")])
  np.testing.assert_allclose(scores["rouge1"], 100 * 6 / 7)
  chinese = metrics.numbers("rouge", ["我们今天"], [("我们明天",)])
  np.testing.assert_allclose(chinese["rouge1"], 75)
  np.testing.assert_allclose(chinese["rougeL"], 75)


def test_sentences_end_at_a_stop_before_a_space():
  assert extractive.first("It is 3.5 m. Then more.") == "It is 3.5 m."
  assert sentences("今天。明天。") == ["今天。", "明天。"]
  assert extractive.first("no end") == "no end"


def test_the_nearest_sentence_is_the_one_whose_vector_is():
  def embed(texts):
    return np.array([[text.count("a"), text.count("b")] for text in texts], np.float32)

  nearest = extractive.nearest(["bbb. aab. b.", "a. b. bb."], embed)
  assert nearest == ["bbb.", "bb."]


def test_a_sentence_by_minilm_is_reported_only_if_the_config_asks_for_it():
  context = TaskContext(eval_size=1)
  needed = {
    extract: seq2seq.packages(PairsConfig(extract=extract), context)
    for extract in ("none", "minilm")
  }
  assert needed["minilm"].keys() - needed["none"].keys() == {
    "safetensors",
    "tokenizers",
  }
