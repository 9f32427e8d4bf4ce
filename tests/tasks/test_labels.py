"""The task classification: splits, mixtures, training, metrics, errors."""

import dataclasses
import gzip
import json
import shutil

import numpy as np
import pytest

from jaxmem import cli, tasks
from jaxmem.core.errors import ConfigError, UserError
from jaxmem.data import DataError
from jaxmem.evaluation import predict as asking
from jaxmem.tasks import baselines
from jaxmem.tasks.classification import data as labelled
from jaxmem.tasks.classification import metrics, tfidf
from jaxmem.tasks.classification.augment import AugmentConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tokenizers import trained
from jaxmem.training.step import resolve
from jaxmem.training.trainer import train
from support import runs
from support.classification_runs import config, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  directory = tmp_path_factory.mktemp("labels")
  assert train(config(write(directory / "train.jsonl")), directory / "run") == 0
  return directory / "run"


def test_a_run_tells_the_classes_apart_and_reports_it(run):
  numbers = json.loads((run / "report.json").read_text())
  assert numbers["accuracy"] == 1 and numbers["macro_f1"] == 1
  assert numbers["majority"] == 0.5 and numbers["nats"] < 0.2
  assert numbers["confusion"] == [[2, 0], [0, 2]]
  assert numbers["chose_checkpoint"] and not numbers["test_split"]
  lines = (run / "report.md").read_text(encoding="utf-8").splitlines()
  assert lines[2].startswith("No separate test split was given: this is the score")
  assert (run / "confusion_test.png").stat().st_size > 1000
  assert numbers["beside"][tfidf.NAME]["accuracy"] == 1
  report = (run / "report.md").read_text()
  assert f"| {tfidf.NAME} | 1.000 | 1.000 |" in report and "always bad" in report
  assert not report.startswith(tfidf.NAME)  # as good, not better
  train_split = asking.evaluate(run, "last", "train").numbers
  assert train_split["texts"] == 36
  with pytest.raises(UserError, match="no split 'dev'"):
    asking.evaluate(run, "last", "dev")


def test_a_run_that_moved_takes_its_data_by_options(run, tmp_path, monkeypatch, capsys):
  moved, data = tmp_path / "moved", tmp_path / "data.jsonl"
  shutil.copytree(run, moved)
  shutil.copy(run.parent / "train.jsonl", data)
  hidden = run.parent / "hidden.jsonl"
  (run.parent / "train.jsonl").rename(hidden)
  try:
    evaluate = ["eval", "--workdir", str(moved), "--split", "heldout"]
    assert cli.run(evaluate) == 2  # the source that the config names is gone
    assert cli.run([*evaluate, "--task.source", str(data)]) == 0
    assert cli.run([*evaluate, "--task.queries", str(data)]) == 2
    assert "task.queries is nothing that this run has" in capsys.readouterr().err
    assert cli.run(["eval", "--workdir", str(moved), "--text", "x", "--task.test", "y"])
    # continues with the data where they are now
    monkeypatch.chdir(tmp_path)
    again = config("data.jsonl")
    assert train(again, moved, resume="must") == 0
    line, predict = b'{"text": "a good plot"}', asking.predictor(moved, "last")
    assert [a["label"] for a in asking.answers([line], predict, 1)] == ["good"]
  finally:
    hidden.rename(run.parent / "train.jsonl")
  saved = json.loads((moved / "config.json").read_text(encoding="utf-8"))
  assert saved["task"]["source"] == str(data)


def test_a_report_says_first_that_a_baseline_is_better(tmp_path, monkeypatch):
  task = runs.task(config(write(tmp_path / "train.jsonl")))
  label = np.array([0, 0, 1, 1])
  logp = np.log(np.array([[0.9, 0.1]] * 4))  # always the first class
  monkeypatch.setattr(task, "_read", lambda params, number, split: (label, logp))
  findings = task.compute_metrics(None, "test")
  assert findings.lines[0] == (
    f"{tfidf.NAME} is better than this model: accuracy 1.000 against 0.500."
  )
  scores = findings.numbers["beside"]
  assert [scores[n]["accuracy"] for n in scores if "always" in n] == [0.5]
  message = "it was not computed"
  monkeypatch.setattr(baselines, "missing", lambda name, module: message)
  lines = task.compute_metrics(None, "test").lines
  assert message in lines and "better" not in lines[0]


def test_predictions_need_no_data_and_name_what_is_bad(run):
  predict = asking.predictor(run, "last")
  lines = [
    b'{"text": "a good plot"}',
    b'{"text": " "}',
    b'{"text": 3}',
    b'{"text": "bad", "task": "x"}',
    '{"text": "日本 cold"}'.encode(),
    b"{",
  ]
  answers = list(asking.answers(lines, predict, 3))
  assert answers[0]["label"] == "good" and answers[4]["label"] == "bad"
  assert abs(sum(answers[0]["probabilities"].values()) - 1) < 1e-4
  assert "a text expected" in answers[1]["error"] and answers[1]["line"] == 2
  assert "'x'" in answers[3]["error"] and "error" in answers[5]


def test_a_fold_holds_out_a_fifth_of_each_class_and_folds_cover_all(tmp_path):
  source = write(tmp_path / "all.jsonl", 40)
  reader = LabelsConfig().reader()
  tested = []
  for which in range(1, 6):
    files = labelled.Files(str(source), "", "")
    splits = labelled.splits(reader, files, (which, 5), seed=0)[""]
    wheres = {k: {e.where for e in v} for k, v in splits.items()}
    assert not wheres["test"] & (wheres["train"] | wheres["heldout"])
    assert [e.label for e in splits["test"]].count("good") == 4
    tested += wheres["test"]
  assert len(tested) == len(set(tested)) == 40


def test_sources_of_every_form_give_the_same_examples(tmp_path):
  reader = LabelsConfig(label_end=":").reader()
  lines = "pos:a good one\nneg:b bad one\n"
  (tmp_path / "lines.txt").write_text(lines)
  (tmp_path / "lines.gz").write_bytes(gzip.compress(lines.encode()))
  (tmp_path / "table.csv").write_text('label,text\npos,"good one"\nneg,bad one\n')
  for label, text in (("pos", "good one"), ("neg", "bad one")):
    (tmp_path / "folders" / label).mkdir(parents=True)
    (tmp_path / "folders" / label / "1.txt").write_text(text)
  for name in ("lines.txt", "lines.gz", "table.csv", "folders"):
    examples = reader.read(str(tmp_path / name))
    assert {(e.label, e.texts) for e in examples} == {
      ("pos", ("good one",)),
      ("neg", ("bad one",)),
    }, name


def test_bad_input_is_named(tmp_path):
  path = tmp_path / "bad.jsonl"
  records = [
    json.dumps({"label": x, "text": f"words {i}"}) for i, x in enumerate("abababab")
  ]

  def fails(lines, words, **changes):
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=words):
      runs.task(config(path, **changes))

  lines = [line.encode() for line in records]
  fails([*lines, b'{"label": "a", "text": ""}'], "line 9: field 'text' is empty")
  fails([*lines, b'{"label": "a", "text": "\xff"}'], "line 9 is bad: it is not UTF-8")
  fails([*lines, b'{"label": null, "text": "x"}'], "line 9 has no label")
  fails([*lines, b'{"label": "a"}'], "line 9 has no field 'text', only label")
  fails(lines[::2], "has only one class, 'a'")
  both = f"x={path},y={path}"
  fails(
    lines,
    "task.classes is 2 and the training texts have 4: a, b",
    source=both,
    classes=2,
  )
  fails(lines, "leave task.heldout and task.test out", fold="1/2", test=str(path))
  other = tmp_path / "test.jsonl"
  other.write_text('{"label": "c", "text": "words"}\n')
  fails(lines, "1 examples of 'c', a label that training has not", test=str(other))
  for changes, words in (
    ({"fold": "6/5"}, "of the form 1/5"),
    ({"tokenizer": "words:3"}, "at least 300"),
    ({"source": "none.jsonl"}, "no file 'none.jsonl': give JSONL"),
    ({"temperature": 0.0}, "temperature is 0.0"),
    ({"augment": AugmentConfig(deletion=2.0)}, "task.augment.deletion is 2.0"),
    ({"augment": AugmentConfig(synonyms=0.1)}, "give both"),
  ):
    with pytest.raises(UserError, match=words):
      runs.task(config(path, **changes))
  with pytest.raises(ConfigError, match="task.classes is 1: set 2 or more"):
    resolve(config(path, classes=1))
  uncounted = resolve(config(path))
  with pytest.raises(ConfigError, match="task.classes is 0: state it"):
    tasks.make_model(uncounted.model, uncounted.task)


def test_an_ignored_label_is_left_out(tmp_path):
  path = tmp_path / "some.jsonl"
  rows = [{"label": x, "text": "words"} for x in ("a", "b", "-", "a", "b")]
  path.write_text("\n".join(map(json.dumps, rows)))
  examples = LabelsConfig(ignore="-").reader().read(str(path))
  assert [e.label for e in examples] == ["a", "b", "a", "b"]


def test_a_text_is_read_up_to_its_first_bytes(tmp_path):
  path = tmp_path / "some.jsonl"
  path.write_text(json.dumps({"label": "a", "text": "ab日本"}))
  assert LabelsConfig(first_bytes=4).reader().read(str(path))[0].texts == ("ab",)


def test_batches_depend_on_seed_and_step_alone_and_an_epoch_has_every_text(tmp_path):
  source = write(tmp_path / "train.jsonl", 48)
  changed = dict(augment=AugmentConfig(deletion=0.2, swap=0.2, hiding=0.2))
  one, two = (runs.task(config(source, **changed)).rows for _ in range(2))
  assert one.fingerprint == two.fingerprint
  for key, value in one[5].items():
    np.testing.assert_array_equal(value, two[5][key])
  plain = runs.task(config(source)).rows
  assert plain.fingerprint != one.fingerprint
  steps = [plain[i] for i in range(2)]  # 16 of 44
  assert len({tuple(t) for s in steps for t in s["tokens"]}) > 8


def test_a_mixture_draws_tasks_by_size_and_temperature_and_keeps_their_classes(
  tmp_path,
):
  large, small = write(tmp_path / "large.jsonl", 200), write(tmp_path / "s.jsonl", 20)
  mixed = config(large, source=f"x={large},y={small}")
  shares = {}
  for temperature in (1.0, 1e6):
    data = dataclasses.replace(mixed.task, temperature=temperature)
    rows = runs.task(dataclasses.replace(mixed, task=data)).rows
    drawn = np.concatenate([rows[i]["choices"][:, 2] for i in range(60)])
    shares[temperature] = drawn.mean()
    batch = rows[0]
    allowed = np.take_along_axis(batch["choices"], batch["label"][:, None], 1)
    assert allowed.all() and (batch["choices"].sum(1) == 2).all()
  assert 0.05 < shares[1.0] < 0.14  # 18 of 198
  assert 0.42 < shares[1e6] < 0.58


def test_one_encoder_learns_two_tasks(tmp_path):
  source = write(tmp_path / "x.jsonl")
  rows = [json.loads(line) for line in source.read_text().splitlines()]
  for row in rows:
    row["label"] = row["text"].split()[-1]
  other = tmp_path / "y.jsonl"
  other.write_text("\n".join(map(json.dumps, rows)))
  mixed = config(source, source=f"tone={source},number={other}")
  mixed = dataclasses.replace(mixed, steps=120)
  assert train(mixed, tmp_path / "run") == 0
  numbers = json.loads((tmp_path / "run" / "report.json").read_text())
  assert numbers["tone"]["accuracy"] == 1 and numbers["number"]["accuracy"] > 0.7
  predict = asking.predictor(tmp_path / "run", "last")
  answer = predict([{"text": "a good plot two", "task": "tone"}])[0]
  assert answer["label"] == "good" and set(answer["probabilities"]) == {"good", "bad"}
  with pytest.raises(UserError, match="'tone', 'number'"):
    predict.check({"text": "a"})


def test_balanced_weights_give_every_class_the_same(tmp_path):
  path = tmp_path / "some.jsonl"
  rows = [{"label": "ab"[i % 4 == 0], "text": f"word {i}"} for i in range(80)]
  path.write_text("\n".join(map(json.dumps, rows)))
  rows = runs.task(config(path, class_weights="balanced")).rows
  totals = np.zeros(2)
  for step in range(9):  # an epoch of 72
    batch = rows[step]
    np.add.at(totals, batch["label"], batch["weights"])
  np.testing.assert_allclose(totals, [36, 36], rtol=1e-5)


def test_words_are_the_most_frequent_and_kept_beside_the_run(tmp_path):
  tokenizer = trained.make("words:300", [b"b a a", "A, 日本".encode()])
  assert tokenizer.words[0] == "a" and set(tokenizer.words) == {
    "a",
    "b",
    ",",
    "日",
    "本",
  }
  assert tokenizer.decode(tokenizer.encode("a 本 zzz".encode())) == "a 本 ?".encode()
  trained.keep(tokenizer, tmp_path)
  assert trained.kept("words:300", tmp_path).fingerprint == tokenizer.fingerprint
  (tmp_path / "tokenizer.json").write_text("{")
  with pytest.raises(DataError, match="train the run again"):
    trained.kept("words:300", tmp_path)


def test_numbers_equal_those_of_scikit_learn():
  label = np.array([0, 0, 1, 2])
  logp = np.log(np.eye(3)[[0, 1, 1, 1]] * 0.7 + 0.1)
  numbers = metrics.numbers(label, logp, ("a", "b", "c"))
  assert numbers["accuracy"] == 0.5 and numbers["right"] == [1, 0, 1, 0]
  # F1: a 2/3, b 2*1/(3+1), c 0
  np.testing.assert_allclose(numbers["macro_f1"], (2 / 3 + 0.5 + 0) / 3)
  assert numbers["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
  assert "| c | 1 | 0.000 | - |" in metrics.table(numbers)
