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
def place(tmp_path_factory):
  """Documents of a word; queries of another that means the same, and so no lexical
  match: only what is learned finds them."""
  place = tmp_path_factory.mktemp("passages")
  draw = np.random.default_rng(0)
  documents, queries, relevant = [], [], []
  for i in range(40):
    fill = " ".join(draw.choice(["the", "a", "of", "in"], 3))
    documents.append({"id": f"d{i}", "text": f"{fill} {WORDS[i % 8]} {i}"})
    queries.append({"id": f"q{i}", "text": f"{OTHER[i % 8]} {fill}"})
    relevant += [f"q{i} 0 d{j} 1" for j in range(i % 8, 40, 8)]
  relevant.append("q0 0 d1 0")
  dump = lambda rows: "\n".join(map(json.dumps, rows)) + "\n"
  (place / "documents.jsonl").write_text(dump(documents))
  (place / "queries.jsonl").write_text(dump(queries))
  (place / "relevant.txt").write_text("\n".join(relevant) + "\n")
  return place


def config(place, **changes):
  data = dict(
    source=str(place / "documents.jsonl"),
    queries=str(place / "queries.jsonl"),
    relevant=str(place / "relevant.txt"),
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
def run(place):
  assert train(config(place), place / "run") == 0
  return place / "run"


def test_queries_find_what_shares_no_word_with_them(run):
  found = json.loads((run / "report.json").read_text())
  assert found["queries"] == 8 and found["documents"] == 40
  assert found["ndcg_10"] > 0.9, found
  assert found["beside"]["BM25"]["ndcg_10"] < 0.6
  mean = np.mean([*found["by_query"]["this run"].values()])
  np.testing.assert_allclose(mean, found["ndcg_10"])
  held = predict.evaluate(run, "last", "heldout").numbers
  assert held["recall_100"] == 1 and held["ndcg_10"] > 0.9


def test_a_report_says_first_that_bm25_is_better(place, monkeypatch):
  job = runs.job(config(place))
  nothing = lambda params, asked: {q.name: ["d39"] for q in asked}
  monkeypatch.setattr(job, "_dense", nothing)
  lexical = lambda asked: (
    {q.name: sorted(job._all.relevant[q.name]) for q in asked},
    "",
  )
  monkeypatch.setattr(job, "_lexical", lexical)
  found = job.findings(None, "test")
  assert found.lines[0].startswith(
    "BM25 is better than this model: nDCG@10 1.000 against"
  )
  assert "pytrec-eval-terrier" in found.numbers["signature"]
  assert any(found.numbers["signature"] in line for line in found.lines)
  monkeypatch.setattr(
    baselines, "missing", lambda name, module: f"{name}: not computed"
  )
  found = job.findings(None, "test")
  assert "BM25: not computed" in found.lines and "BM25" not in found.numbers["beside"]


def test_pairs_are_of_documents_that_are_there_and_relevant(place, monkeypatch):
  read = judged.collection

  def graded(*args):
    found = read(*args)
    some = {name: {d: 2 for d in sorted(own)} for name, own in found.relevant.items()}
    for own in some.values():
      own |= {"missing": 3, "d39": 0}
    return found._replace(relevant=some)

  plain = runs.job(config(place))
  monkeypatch.setattr(judged, "collection", graded)
  job = runs.job(config(place))
  texts = lambda job: {pair[1] for pair in job._pairs("train")}
  last = job._documents["d39"].whole
  assert texts(job) == texts(plain) - {last}


def test_folds_share_no_query_and_pairs_number_their_texts(place):
  job = runs.job(config(place))
  names = [{q.name for q in split} for split in job._splits.values()]
  assert [len(n) for n in names] == [24, 8, 8] and len(set.union(*names)) == 40
  batch = job.rows[3]
  assert batch["group"].shape == batch["other_length"].shape == (16,)
  for i in range(16):
    for j in range(16):
      for number, text in (("group", "tokens"), ("other_group", "other")):
        same = (batch[text][i] == batch[text][j]).all()
        assert same == (batch[number][i] == batch[number][j])


def test_titles_are_pairs_without_judgement(place, tmp_path):
  rows = [{"id": i, "title": f"t {i}", "text": f"t {i} of {i}"} for i in range(40)]
  (tmp_path / "titled.jsonl").write_text("\n".join(map(json.dumps, rows)))
  (tmp_path / "relevant.txt").write_text("".join(f"q{i} 0 {i} 1\n" for i in range(40)))
  given = dict(source=str(tmp_path / "titled.jsonl"), pairs="titles")
  job = runs.job(config(place, relevant=str(tmp_path / "relevant.txt"), **given))
  assert "36 pairs" in job.introduction()
  with pytest.raises(UserError, match="0 pairs"):
    runs.job(config(place, pairs="titles"))


def test_cranfield_s_form_is_read_and_its_queries_are_counted_by_order(tmp_path):
  (tmp_path / "d.xml").write_text(
    "<doc>\n<docno>1</docno><title>a wing</title><text>a wing\nflies &amp; so</text>"
    "</doc><doc><docno>2</docno><title></title><text></text></doc>"
  )
  (tmp_path / "q.xml").write_text(
    "<xml><top>\n<num> 7</num>\n<title>\nwhat flies\n</title></top></xml>"
  )
  (tmp_path / "r.txt").write_text("1 0 1 1\n1 0 2 1\n")
  files = [str(tmp_path / name) for name in ("d.xml", "q.xml", "r.txt")]
  found = judged.collection(*files, True, "")
  assert [d.whole for d in found.documents] == ["a wing flies & so"]
  assert found.queries[0].whole == "what flies"
  assert found.relevant == {"1": {"1": 1, "2": 1}}  # 2 is judged and has no text
  with pytest.raises(UserError, match="task.by_order"):
    judged.collection(*files, False, "")


def test_bad_collections_are_named(place, tmp_path):
  bad = tmp_path / "bad"
  for text, words in (
    ("q0 0 d0 high\n", "line 1 is .* a query, a number"),
    ("q99 0 d0 1\n", "judges query 'q99'"),
    ("q0 0 nothing 1\n", "judges no document"),
  ):
    bad.write_text(text)
    with pytest.raises(UserError, match=words):
      runs.job(config(place, relevant=str(bad)))
  twice = tmp_path / "twice.jsonl"
  twice.write_text('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n')
  for changes, words in (
    ({"source": str(twice)}, "the id 'a' more than once"),
    ({"source": "none.jsonl"}, "no file 'none.jsonl': give documents"),
    ({"fold": "1/2"}, "of 3 folds at least"),
    ({"segment_length": 4}, "8 at least"),
  ):
    with pytest.raises(UserError, match=words):
      runs.job(config(place, **changes))


@pytest.mark.parametrize("kind", index.KINDS)
def test_every_kind_of_index_finds_the_nearest(kind, tmp_path):
  draw = np.random.default_rng(0)
  vectors = draw.normal(size=(500, 8)).astype(np.float32)
  vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
  ids = [f"v{i}" for i in range(500)]
  index.build(tmp_path / kind, ids, vectors, kind, {"name": "x"})
  found = index.load(tmp_path / kind).query(vectors[:20], 10)
  exact = np.argsort(-vectors[:20] @ vectors.T, axis=1)[:, :10]
  share = np.mean(
    [
      len({n for n, _ in row} & {f"v{i}" for i in e}) / 10
      for row, e in zip(found, exact, strict=True)
    ]
  )
  assert share == 1 if kind in ("exact", "device") else share > 0.8
  for i, row in enumerate(found):
    assert row[0][0] == f"v{i}"
    np.testing.assert_allclose(row[0][1], 1, rtol=1e-5)


def test_the_command_builds_and_asks(run, place, tmp_path, monkeypatch, capsys):
  out = str(tmp_path / "index")
  documents = str(place / "documents.jsonl")
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


def test_a_document_that_cannot_be_read_is_one_bad_line(run, place, tmp_path, capsys):
  bad = tmp_path / "documents.jsonl"
  good = (place / "documents.jsonl").read_bytes()
  odd = b'{"id": [], "text": "a"}\n{"id": "x", "text": "\\ud83d"}\n[1]\n{"id": "y"\n'
  bad.write_bytes(odd + good)
  build = ["index", "build", "--input", str(bad), "--workdir", str(run)]
  assert cli.run([*build, "--out", str(tmp_path / "index")]) == 2
  said = capsys.readouterr()
  assert "40 documents" in said.out and "4 bad records skipped" in said.err
  stop = ["--out", str(tmp_path / "none"), "--bad-records", "stop"]
  assert cli.run([*build, *stop]) == 2 and not (tmp_path / "none").exists()


def test_an_index_that_cannot_be_used_says_why(run, place, tmp_path, capsys):
  ask = ["index", "query", "--index"]
  assert cli.run([*ask, str(tmp_path)]) == 2
  assert "make one with jaxmem index build" in capsys.readouterr().err
  vectors = np.eye(3, dtype=np.float32)
  encoder = {"workdir": str(run.absolute()), "weights": "other"}
  made = tmp_path / "other"
  index.build(made, ["a", "b", "c"], vectors, "device", encoder)
  assert cli.run([*ask, str(made)]) == 2
  assert "build it again" in capsys.readouterr().err
  (made / "vectors.npy").write_bytes(b"x")
  assert cli.run([*ask, str(made)]) == 2
  assert "damaged" in capsys.readouterr().err
  with pytest.raises(UserError, match="unlike"):
    index.build(made, ["a", "a", "c"], vectors, "exact", encoder)
  documents = str(place / "documents.jsonl")
  assert cli.run(["index", "build", "--input", documents, "--out", str(made)]) == 2
  assert "--encoder minilm" in capsys.readouterr().err
