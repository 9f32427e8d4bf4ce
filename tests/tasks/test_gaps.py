"""Gap sentences: their choice, how marks are read, and a run that writes them."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from rouge_score import rouge_scorer

from jaxmem import tokenizers
from jaxmem.commands.train import load_config
from jaxmem.core.errors import UserError
from jaxmem.data.sentences import sentences
from jaxmem.evaluation import predict as asking
from jaxmem.tasks.seq2seq import gap_sentences
from jaxmem.tokenizers.trained import MASK, MaskTokenizer
from jaxmem.training import init_from
from jaxmem.training.trainer import train
from support import runs
from support.seq2seq_runs import config, make

WORDS = ["ab", "cd", "ef", "gh", "ij", "kl", "mn", "op"]
GAPS = dict(gaps=0.3, read="text", metric="rouge")


def write(directory):
  """Writes texts with a sentence of two words and a sentence of each word."""
  texts = [f"{a} {b}. {a}. {b}." for a, b in itertools.permutations(WORDS, 2)]
  path = directory / "texts.jsonl"
  path.write_text("\n".join(json.dumps({"text": t}) for t in texts * 2))
  return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  root = tmp_path_factory.mktemp("gaps")
  assert train(config(write(root), **GAPS), root / "run") == 0
  return root / "run"


def test_importance_is_rouge_1_against_the_others():
  parts = ["The state of a cell.", "A cell has a state.", "The end.", "Then rain."]
  scorer = rouge_scorer.RougeScorer(["rouge1"])
  expected = [
    scorer.score(" ".join(parts[:i] + parts[i + 1 :]), part)["rouge1"].fmeasure
    for i, part in enumerate(parts)
  ]
  np.testing.assert_allclose(gap_sentences.importance(parts), expected)


def test_the_most_important_sentences_become_marks_in_their_order():
  text = "Rain fell. The cell has a state. The cell has a gate. It is late."
  assert gap_sentences.gapped(text, 0.25) == (
    f"Rain fell. {MASK} The cell has a gate. It is late.",
    "The cell has a state.",
  )
  read, written = gap_sentences.gapped(text, 0.5)
  assert read == f"Rain fell. {MASK} {MASK} It is late."
  assert sentences(written) == ["The cell has a state.", "The cell has a gate."]
  # at least one sentence stays, and at least one is hidden
  assert gap_sentences.gapped(text, 0.99)[0].count(MASK) == 3
  assert gap_sentences.gapped(text, 0.01)[0].count(MASK) == 1
  assert gap_sentences.gapped("One alone.", 0.5) is None
  assert gap_sentences.gapped("今天下雨。天晴。今天下雪。", 0.3)[1] == "今天下雨。"


def test_marks_are_read_as_one_id_that_is_never_written():
  tokenizer = MaskTokenizer(tokenizers.get("byte"))
  ids = tokenizer.encode(f"a{MASK}b{MASK}".encode())
  assert (
    ids.tolist() == [97, 257, 98, 257] and tokenizer.mask_id == tokenizer.vocab_size
  )
  assert tokenizer.decode(ids[[0, 2]]) == b"ab"
  assert tokenizer.fingerprint != tokenizers.get("byte").fingerprint


def test_no_piece_is_made_of_marks(tmp_path):
  task = make(config(write(tmp_path), **GAPS | {"tokenizer": "sp:300"}))
  assert len(task._made.encode(MASK.encode())) == len(MASK)


def test_a_run_writes_what_is_hidden(run):
  report = json.loads((run / "report.json").read_text())
  assert report["pairs"] == 12 and report["rouge1"] > 70, report
  assert report["rouge2"] > report["beside"]["first sentence"]["rouge2"] == 0
  predict = asking.predictor(run, "last")
  line = json.dumps({"text": f"{MASK} ab. op."}).encode()
  assert list(asking.answers([line], predict, 1))[0]["target"] == "ab op."


def test_a_run_with_its_own_tokenizer_initialises_another(run, tmp_path, capsys):
  source = tmp_path / "pairs.jsonl"
  rows = [{"source": f"{a}. {b}.", "target": a} for a in WORDS for b in WORDS]
  source.write_text("\n".join(map(json.dumps, rows)))
  second = dataclasses.replace(
    config(str(source)), init_from=str(run), steps=6, eval_bytes=0
  )
  program = runs.program(second)
  init_from.warm_start(program, program.init())
  total = capsys.readouterr().out.split(f"begins from {str(run)!r}: ")[1].split()
  assert total[0] == total[2] and int(total[0]) > 10


def test_the_summariser_s_config_can_begin_from_that_of_gap_sentences():
  models = [
    dataclasses.replace(load_config(name).model, dropout=0.0)
    for name in ("gap_sentences", "summarisation")
  ]
  assert models[0] == models[1]


def test_bad_input_is_named(tmp_path):
  short = tmp_path / "short.jsonl"
  short.write_text('{"text": "One alone."}\n')
  with pytest.raises(UserError, match="no text of two sentences"):
    make(config(str(short), **GAPS))
  with pytest.raises(UserError, match="task.gaps is 1"):
    make(config(write(tmp_path), **GAPS | {"gaps": 1.0}))
  with pytest.raises(UserError, match="task.metric is 'rogue': one of bleu, rouge"):
    bad = config(write(tmp_path), **GAPS)
    # a program without type checks can set this
    object.__setattr__(bad.task, "metric", "rogue")
    make(bad)
