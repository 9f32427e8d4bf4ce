"""Retrieval: collections, contrastive training, indexes, and the command."""

import io
import json
import sys

import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import UserError
from jaxmem.evaluation import predict
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks import baselines
from jaxmem.tasks.retrieval import data as judged
from jaxmem.tasks.retrieval import index
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.trainer import train
from support import runs

WORDS = ["apple", "river", "engine", "cloud", "paper", "stone", "violin", "tiger"]
OTHER = ["fruit", "water", "motor", "sky", "sheet", "rock", "music", "cat"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
  """The directory of a collection whose queries share no word with their documents.

  A query has another word of the same meaning, so only what is learned finds them.
  """
  directory = tmp_path_factory.mktemp("passages")
  draw = np.random.default_rng(0)
  documents, queries, relevant = [], [], []
  for i in range(40):
    fill = " ".join(draw.choice(["the", "a", "of", "in"], 3))
    documents.append({"id": f"d{i}", "text": f"{fill} {WORDS[i % 8]} {i}"})
    queries.append({"id": f"q{i}", "text": f"{OTHER[i % 8]} {fill}"})
    relevant += [f"q{i} 0 d{j} 1" for j in range(i % 8, 40, 8)]
  relevant.append("q0 0 d1 0")
  for name, rows in (("documents", documents), ("queries", queries)):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (directory / f"{name}.jsonl").write_text(lines)
  (directory / "relevant.txt").write_text("\n".join(relevant) + "\n")
  return directory


def config(directory, **changes):
  """A run of some seconds; `changes` are of the task's config."""
  data = dict(
    source=str(directory / "documents.jsonl"),
    queries=str(directory / "queries.jsonl"),
    relevant=str(directory / "relevant.txt"),
    tokenizer="words:300",
    segment_length=16,
    batch_size=16,
  )
  return Config(
    model=EncoderConfig(d_model=16, pattern=(entry("gru"),), num_groups=1),
    task=PassagesConfig(**data | changes),
    optim=OptimConfig(learning_rate=2e-2, warmup_steps=2),
    validation=ValidationConfig(every=40),
    steps=80,
    log_every=5,
    save_every=40,
  )


@pytest.fixture(scope="module")
def run(collection):
  assert train(config(collection), collection / "run") == 0
  return collection / "run"


def test_queries_find_what_shares_no_word_with_them(run):
  numbers = json.loads((run / "report.json").read_text())
  assert numbers["queries"] == 8 and numbers["documents"] == 40
  assert numbers["ndcg_10"] > 0.9, numbers
  assert numbers["beside"]["BM25"]["ndcg_10"] < 0.6
  mean = np.mean([*numbers["by_query"]["this run"].values()])
  np.testing.assert_allclose(mean, numbers["ndcg_10"])
  heldout = predict.evaluate(run, "last", "heldout").numbers
  assert heldout["recall_100"] == 1 and heldout["ndcg_10"] > 0.9


def test_a_report_says_first_that_bm25_is_better(collection, monkeypatch):
  task = runs.task(config(collection))

  def useless(params, queries):
    return {q.name: ["d39"] for q in queries}

  def perfect(queries):
    return {q.name: sorted(task._all.relevant[q.name]) for q in queries}, ""

  monkeypatch.setattr(task, "_dense", useless)
  monkeypatch.setattr(task, "_lexical", perfect)
  findings = task.compute_metrics(None, "test")
  assert findings.lines[0].startswith(
    "BM25 is better than this model: nDCG@10 1.000 against"
  )
  assert "pytrec-eval-terrier" in findings.numbers["signature"]
  assert any(findings.numbers["signature"] in line for line in findings.lines)
  monkeypatch.setattr(
    baselines, "missing", lambda name, module: f"{name}: not computed"
  )
  findings = task.compute_metrics(None, "test")
  assert (
    "BM25: not computed" in findings.lines and "BM25" not in findings.numbers["beside"]
  )


def test_pairs_are_of_documents_of_the_collection_that_are_relevant(
  collection, monkeypatch
):
  read = judged.collection

  def graded(*args):
    judged_collection = read(*args)
    relevant = {
      name: {d: 2 for d in sorted(grades)}
      for name, grades in judged_collection.relevant.items()
    }
    for grades in relevant.values():
      grades |= {"missing": 3, "d39": 0}
    return judged_collection._replace(relevant=relevant)

  plain = runs.task(config(collection))
  monkeypatch.setattr(judged, "collection", graded)
  task = runs.task(config(collection))
  plain_texts, texts = (
    {pair[1] for pair in each._pairs("train")} for each in (plain, task)
  )
  assert texts == plain_texts - {task._documents["d39"].full_text}


def test_folds_share_no_query_and_pairs_number_their_texts(collection):
  task = runs.task(config(collection))
  names = [{q.name for q in split} for split in task._splits.values()]
  assert [len(n) for n in names] == [24, 8, 8] and len(set.union(*names)) == 40
  batch = task.rows[3]
  assert batch["group"].shape == batch["other_length"].shape == (16,)
  for i in range(16):
    for j in range(16):
      for number, text in (("group", "tokens"), ("other_group", "other")):
        same = (batch[text][i] == batch[text][j]).all()
        assert same == (batch[number][i] == batch[number][j])


def test_titles_and_texts_are_pairs_without_judgements(collection, tmp_path):
  rows = [{"id": i, "title": f"t {i}", "text": f"t {i} of {i}"} for i in range(40)]
  (tmp_path / "titled.jsonl").write_text("\n".join(map(json.dumps, rows)))
  (tmp_path / "relevant.txt").write_text("".join(f"q{i} 0 {i} 1\n" for i in range(40)))
  options = dict(source=str(tmp_path / "titled.jsonl"), pairs="titles")
  task = runs.task(
    config(collection, relevant=str(tmp_path / "relevant.txt"), **options)
  )
  assert "36 pairs" in task.describe()
  with pytest.raises(UserError, match="0 pairs"):
    runs.task(config(collection, pairs="titles"))


def test_cranfield_s_form_is_read_with_its_queries_numbered_by_order(tmp_path):
  (tmp_path / "d.xml").write_text(
    "<doc>\n<docno>1</docno><title>a wing</title><text>a wing\nflies &amp; so</text>"
    "</doc><doc><docno>2</docno><title></title><text></text></doc>"
  )
  (tmp_path / "q.xml").write_text(
    "<xml><top>\n<num> 7</num>\n<title>\nwhat flies\n</title></top></xml>"
  )
  (tmp_path / "r.txt").write_text("1 0 1 1\n1 0 2 1\n")
  files = [str(tmp_path / name) for name in ("d.xml", "q.xml", "r.txt")]
  collection = judged.collection(*files, True, "")
  assert [d.full_text for d in collection.documents] == ["a wing flies & so"]
  assert collection.queries[0].full_text == "what flies"
  assert collection.relevant == {"1": {"1": 1, "2": 1}}  # 2 is judged and has no text
  with pytest.raises(UserError, match="task.by_order"):
    judged.collection(*files, False, "")


def test_bad_collections_are_named(collection, tmp_path):
  bad = tmp_path / "bad"
  for text, words in (
    ("q0 0 d0 high\n", "line 1 is .* a query, a number"),
    ("q99 0 d0 1\n", "judges query 'q99'"),
    ("q0 0 nothing 1\n", "judges no document"),
  ):
    bad.write_text(text)
    with pytest.raises(UserError, match=words):
      runs.task(config(collection, relevant=str(bad)))
  twice = tmp_path / "twice.jsonl"
  twice.write_text('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n')
  for changes, words in (
    ({"source": str(twice)}, "the id 'a' more than once"),
    ({"source": "none.jsonl"}, "no file 'none.jsonl': give documents"),
    ({"fold": "1/2"}, "of 3 folds at least"),
    ({"segment_length": 4}, "8 at least"),
  ):
    with pytest.raises(UserError, match=words):
      runs.task(config(collection, **changes))


@pytest.mark.parametrize("kind", index.KINDS)
def test_every_kind_of_index_finds_the_nearest(kind, tmp_path):
  draw = np.random.default_rng(0)
  vectors = draw.normal(size=(500, 8)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  ids = [f"v{i}" for i in range(500)]
  index.build(tmp_path / kind, ids, vectors, kind, {"name": "x"})
  results = index.load(tmp_path / kind).query(vectors[:20], 10)
  exact = np.argsort(-vectors[:20] @ vectors.T, axis=1)[:, :10]
  share = np.mean(
    [
      len({n for n, _ in row} & {f"v{i}" for i in e}) / 10
      for row, e in zip(results, exact, strict=True)
    ]
  )
  assert share == 1 if kind in ("exact", "device") else share > 0.8
  for i, row in enumerate(results):
    assert row[0][0] == f"v{i}"
    np.testing.assert_allclose(row[0][1], 1, rtol=1e-5)


def test_the_command_builds_and_queries_an_index(
  run, collection, tmp_path, monkeypatch, capsys
):
  out = str(tmp_path / "index")
  documents = str(collection / "documents.jsonl")
  build = ["index", "build", "--input", documents, "--out", out]
  assert cli.run([*build, "--workdir", str(run)]) == 0
  assert "40 documents, 16 numbers each, exact" in capsys.readouterr().out
  lines = b'{"text": "motor of the"}\n{"text": 3}\n{"text": "water a"}\n'
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
  assert cli.run(["index", "query", "--index", out, "--top", "3"]) == 2
  captured = capsys.readouterr()
  answers = [json.loads(line) for line in captured.out.splitlines()]
  assert int(answers[0]["found"][0]["id"][1:]) % 8 == 2
  for answer in (answers[0], answers[2]):
    scores = [f["score"] for f in answer["found"]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
  assert answers[1]["line"] == 2 and "line 2" in captured.err


def test_a_document_that_cannot_be_read_is_one_bad_line(
  run, collection, tmp_path, capsys
):
  bad = tmp_path / "documents.jsonl"
  good_lines = (collection / "documents.jsonl").read_bytes()
  bad_lines = (
    b'{"id": [], "text": "a"}\n{"id": "x", "text": "\\ud83d"}\n[1]\n{"id": "y"\n'
  )
  bad.write_bytes(bad_lines + good_lines)
  build = ["index", "build", "--input", str(bad), "--workdir", str(run)]
  assert cli.run([*build, "--out", str(tmp_path / "index")]) == 2
  captured = capsys.readouterr()
  assert "40 documents" in captured.out and "4 bad records skipped" in captured.err
  stop = ["--out", str(tmp_path / "none"), "--bad-records", "stop"]
  assert cli.run([*build, *stop]) == 2 and not (tmp_path / "none").exists()


def test_an_index_that_cannot_be_used_says_why(run, collection, tmp_path, capsys):
  query = ["index", "query", "--index"]
  assert cli.run([*query, str(tmp_path)]) == 2
  assert "make one with jaxmem index build" in capsys.readouterr().err
  vectors = np.eye(3, dtype=np.float32)
  encoder = {"workdir": str(run.absolute()), "weights": "other"}
  directory = tmp_path / "other"
  index.build(directory, ["a", "b", "c"], vectors, "device", encoder)
  assert cli.run([*query, str(directory)]) == 2
  assert "build it again" in capsys.readouterr().err
  (directory / "vectors.npy").write_bytes(b"x")
  assert cli.run([*query, str(directory)]) == 2
  assert "damaged" in capsys.readouterr().err
  with pytest.raises(UserError, match="give different ids"):
    index.build(directory, ["a", "a", "c"], vectors, "exact", encoder)
  documents = str(collection / "documents.jsonl")
  assert cli.run(["index", "build", "--input", documents, "--out", str(directory)]) == 2
  assert "--encoder minilm" in capsys.readouterr().err
