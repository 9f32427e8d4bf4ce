"""`jaxmem predict` and `jaxmem eval --split` on runs with a metric of their own."""

import json

import pytest

from jaxmem import cli
from jaxmem.evaluation import predict
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.dialogue.task import DialogueConfig
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.training.trainer import train
from support import runs

QUESTION = {"messages": [{"role": "user", "content": "who?"}]}
ANSWER = {"messages": [{"role": "assistant", "content": "Momo"}]}


def config(data):
  return Config(
    model=LMConfig(0, 16, 32, (entry("gru"),)),
    task=data,
    optim=OptimConfig(warmup_steps=1),
    steps=2,
    eval_bytes=64,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("dialogue") / "run"
  data = DialogueConfig("recall:facts=2:count=64", segment_length=16, batch_size=8)
  assert train(config(data), workdir) == 0
  return workdir


def test_a_bad_line_is_reported_by_number_and_stops_no_other(run, tmp_path, capsys):
  lines = [json.dumps(QUESTION), "", "{", json.dumps(ANSWER), "7", json.dumps(QUESTION)]
  data = "\n".join(lines).encode() + b"\n\xff\n"
  (tmp_path / "in.jsonl").write_bytes(data)
  files = ["--input", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl")]
  capsys.readouterr()
  assert cli.run(["predict", "--workdir", str(run), "--rows", "2", *files]) == 2
  answers = [json.loads(s) for s in (tmp_path / "out.jsonl").read_text().splitlines()]
  assert [set(one) for one in answers] == [
    {"reply"}, {"line", "error"}, {"line", "error"}, {"line", "error"}, {"reply"},
    {"line", "error"},
  ]  # fmt: skip
  assert [one["line"] for one in answers if "line" in one] == [3, 4, 5, 7]
  err = capsys.readouterr().err
  assert "line 4: the last message is the assistant's" in err
  assert "line 7: it is not UTF-8 at byte 0 of the line" in err


def test_answers_do_not_depend_on_how_many_are_answered_at_once(run):
  predictor = predict.predictor(run, "last")
  line = json.dumps(QUESTION).encode()
  one_by_one, together = (
    list(predict.answers([line] * 3, predictor, rows)) for rows in (1, 3)
  )
  assert one_by_one == together and len(one_by_one) == 3


def test_a_split_is_scored_with_a_table_and_a_picture(run, tmp_path, capsys):
  out = ["--out", str(tmp_path / "found.json")]
  assert cli.run(["eval", "--workdir", str(run), "--split", "heldout", *out]) == 0
  numbers = json.loads((tmp_path / "found.json").read_text())
  assert numbers == json.loads((run / "report.json").read_text())
  assert "| name said, turns ago |" in capsys.readouterr().out
  assert (tmp_path / "found.md").exists() and (tmp_path / "turns.png").exists()


@pytest.mark.parametrize(
  "arguments, says",
  [
    (["eval", "--split", "heldout"], "--workdir is missing"),
    (["eval", "--workdir", "RUN", "--split", "tset"], "no split 'tset'"),
    (
      ["eval", "--workdir", "RUN", "--split", "test", "--text", "x"],
      "give one of them",
    ),
    (["predict"], "--workdir is missing"),
    (["predict", "--workdir", "RUN", "--rows", "0"], "rows is 0"),
    (
      ["predict", "--workdir", "RUN", "--input", "none.jsonl"],
      "cannot open none.jsonl",
    ),
    (["predict", "--workdir", "none", "--input", "RUN/config.json"], "no checkpoint"),
  ],
)
def test_each_mistake_is_one_message(run, arguments, says, capsys):
  argv = [word.replace("RUN", str(run)) for word in arguments]
  assert cli.run(argv) == 2
  assert says in capsys.readouterr().err


def test_a_language_model_has_neither_splits_nor_records(tmp_path, capsys):
  task = DataConfig("task:copy:vocab_size=8", segment_length=16, batch_size=8)
  workdir = runs.first_checkpoint(tmp_path, model=config(task).model, task=task)
  assert cli.run(["eval", "--workdir", str(workdir), "--split", "test"]) == 2
  assert "has no splits" in capsys.readouterr().err
  assert cli.run(["predict", "--workdir", str(workdir)]) == 2
  assert "a synthetic run, which answers no records" in capsys.readouterr().err
