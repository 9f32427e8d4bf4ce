"""Ctrl-C in every command: it says how far the work came and how to go on.

Training, reading with `--progress` and comparisons stop at a saved state instead, see
`runtime/test_stops.py`, `tasks/test_streams.py` and `evaluation/test_compare.py`.
"""

import os
import signal
import sys
import time

import pytest

from jaxmem import bench, cli
from jaxmem.commands import index as index_command
from jaxmem.commands import laws
from jaxmem.evaluation import predict
from jaxmem.evaluation.inspection import inside
from jaxmem.evaluation.longbench import runner
from jaxmem.finetune import regain
from jaxmem.runtime.logs import Log
from jaxmem.tasks.language_modeling.perplexity import TextScorer
from jaxmem.tasks.language_modeling.task import LanguageModelingTask
from support import runs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """The work directory of a language model, and a text."""
  place = tmp_path_factory.mktemp("model")
  (place / "text").write_bytes(b"memory state reset lane token forget\n" * 40)
  return runs.first_checkpoint(place, model=runs.SMALL), place / "text"


@pytest.fixture
def interrupted(monkeypatch, capsys):
  """A function that runs a command to its end by Ctrl-C; returns its message."""
  monkeypatch.setattr(cli, "start_again", lambda: None)
  monkeypatch.setattr(cli, "use_utf8", lambda: None)
  before = signal.signal(signal.SIGINT, signal.default_int_handler)

  def run(*command):
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["jaxmem", *map(str, command)])
    with pytest.raises(SystemExit) as ended:
      cli.main()
    assert ended.value.code == 128 + signal.SIGINT
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]

  yield run
  signal.signal(signal.SIGINT, before)


def ctrl_c(*_, **__):
  os.kill(os.getpid(), signal.SIGINT)
  time.sleep(1)  # a signal arrives between two instructions of Python


def at_call(number, function):
  """Returns the function with Ctrl-C in its call of this number, counted from 1."""
  calls = []

  def called(*args, **options):
    calls.append(args)
    return ctrl_c() if len(calls) == number else function(*args, **options)

  return called


def test_train_at_a_second_ctrl_c(model, interrupted, monkeypatch, tmp_path):
  def twice(*_):
    ctrl_c()
    ctrl_c()

  monkeypatch.setattr(Log, "rows", twice)
  corpus = runs.write_corpus(tmp_path / "corpus")
  config = runs.write_config(
    tmp_path / "tiny.py", f"config = config({str(corpus)!r}, model=SMALL)"
  )

  message = interrupted("train", config, "--workdir", tmp_path / "run")
  assert message == (
    "jaxmem: interrupted: the same command continues from the last checkpoint, if "
    "there is one"
  )
  assert not (tmp_path / "run" / "lock.json").exists()


def test_train_in_its_report(interrupted, monkeypatch, tmp_path):
  monkeypatch.setattr(LanguageModelingTask, "report", ctrl_c)
  corpus = runs.write_corpus(tmp_path / "corpus")
  config = runs.write_config(
    tmp_path / "tiny.py", f"config = config({str(corpus)!r}, model=SMALL, steps=4)"
  )

  message = interrupted("train", config, "--workdir", tmp_path / "run")
  assert message == (
    "jaxmem: interrupted: the run is complete, and the same command writes its report"
  )


def test_eval_of_a_text(model, interrupted, monkeypatch):
  advance = at_call(3, TextScorer._advance)
  monkeypatch.setattr(TextScorer, "_advance", lambda scorer: advance(scorer))

  message = interrupted(
    "eval", "--workdir", model[0], "--text", model[1], "--length", "64"
  )
  assert message == (
    "jaxmem: interrupted: 128 of 1,480 bytes done; nothing is kept: with --progress "
    "DIR the same command continues"
  )


def test_eval_of_a_split(model, interrupted, monkeypatch):
  monkeypatch.setattr(predict, "evaluate", ctrl_c)

  message = interrupted("eval", "--workdir", model[0], "--split", "heldout")
  assert message.endswith("no score is written: the same command begins again")


def test_predict(model, interrupted, monkeypatch, tmp_path):
  class Answers:
    TEXTS = ()

    def check(self, record): ...

    __call__ = staticmethod(at_call(3, lambda records: records))

  monkeypatch.setattr(predict, "predictor", lambda *_: Answers())
  (tmp_path / "in.jsonl").write_text('{"text": "a"}\n' * 8)
  out = tmp_path / "out.jsonl"
  command = ("predict", "--workdir", model[0], "--input", tmp_path / "in.jsonl")

  message = interrupted(*command, "--rows", "2", "--out", out)
  assert message == (
    f"jaxmem: interrupted: 4 answers done; {out} is not written: the same command "
    "begins again"
  )
  assert not out.exists()


def test_index_build(interrupted, monkeypatch, tmp_path):
  class Embedder:
    check = staticmethod(lambda text: None)
    __call__ = staticmethod(ctrl_c)

  monkeypatch.setattr(index_command, "_encoder", lambda workdir: (Embedder(), {}))
  (tmp_path / "in.jsonl").write_text('{"id": "1", "text": "a"}\n')
  command = ("index", "build", "--input", tmp_path / "in.jsonl", "--encoder", "minilm")

  message = interrupted(*command, "--kind", "device", "--out", tmp_path / "index")
  assert message.endswith("no index is written: the same command begins again")
  assert not (tmp_path / "index").exists()


def test_inspect(model, interrupted, monkeypatch, tmp_path):
  monkeypatch.setattr(inside, "read", ctrl_c)

  message = interrupted(
    "inspect", "--workdir", model[0], "--text", model[1], "--out", tmp_path / "out"
  )
  assert message.endswith("no page is written: the same command begins again")


def test_probe_at_a_second_ctrl_c(model, interrupted, monkeypatch, tmp_path):
  def twice(*_):
    ctrl_c()
    ctrl_c()

  monkeypatch.setattr(runner, "writer", lambda *_: twice)
  flags = ("--tasks", "passkey", "--lengths", "300", "--samples", "4")

  message = interrupted("probe", "--workdir", model[0], *flags, "--out", tmp_path)
  assert message == (
    "jaxmem: interrupted: 0 of 4 samples done; the same command asks the others"
  )


def test_laws(interrupted, monkeypatch):
  check = at_call(2, lambda *_, **__: [(1, "recurrent", 0.1)])
  monkeypatch.setattr(laws, "_check", check)

  message = interrupted("laws", "--quick", "gru", "lstm")
  assert message == (
    "jaxmem: interrupted: 1 of 4 memories done; nothing is kept: name the other "
    "memories to check them alone"
  )


def test_tokenizer_train(interrupted, monkeypatch, tmp_path):
  sentencepiece = pytest.importorskip("jaxmem.tokenizers.sentencepiece")
  monkeypatch.setattr(sentencepiece, "train", ctrl_c)
  corpus = runs.write_corpus(tmp_path / "corpus")

  out = tmp_path / "a.model"
  message = interrupted("tokenizer", "train", corpus, "--out", out)
  assert message.endswith(f"{out} is not written: the same command begins again")
  assert not out.exists()


def test_bench(interrupted, monkeypatch, tmp_path):
  row = {"case": "gru", "who": "jaxmem", "direction": "forward"}
  monkeypatch.setattr(bench.runner, "measure", at_call(3, lambda *_, **__: [row]))

  message = interrupted("bench", "--quick", "--ops", "gru,lstm", "--out", tmp_path)
  assert message == (
    "jaxmem: interrupted: 1 of 2 ops done; the same command measures the others"
  )


def test_regain(monkeypatch, capsys):
  monkeypatch.setattr(regain, "report", ctrl_c)
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(SystemExit) as ended:
      regain.main(["--text", "a", "--train", "b", "--out", "c"])
  finally:
    signal.signal(signal.SIGINT, before)
  assert ended.value.code == 128 + signal.SIGINT
  assert "the same command continues; rows that are printed are kept" in (
    capsys.readouterr().err
  )


def test_a_process_that_is_interrupted_leaves_no_traceback():
  """A real one, in a command that has nothing to continue from."""
  child = runs.start("laws", "gru", "lstm", "rwkv7", "gla")
  while "| memory |" not in child.stdout.readline():
    assert child.poll() is None, child.communicate()
  child.send_signal(signal.SIGINT)
  _, err = child.communicate(timeout=120)

  assert child.returncode == 128 + signal.SIGINT
  assert "jaxmem: interrupted: 0 of 6 memories done" in err and "Traceback" not in err
