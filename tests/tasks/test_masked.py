"""The task masked_lm: which tokens are masked, and that an encoder predicts them."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.evaluation import predict as asking
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.masked_lm.data import chosen, hide
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.masked_lm.task import MaskedConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tokenizers import trained
from jaxmem.training import init_from, run_task
from jaxmem.training.config import Config, OptimConfig
from jaxmem.training.load import load_run
from jaxmem.training.step import resolve
from jaxmem.training.trainer import train
from support import runs


def config(directory, **changes):
  """A run of some seconds; `changes` are of the task's config."""
  data = MaskedConfig(
    source=str(directory / "text"),
    tokenizer="byte",
    segment_length=32,
    batch_size=16,
    data_dir=str(directory / "prepared"),
  )
  return Config(
    model=EncoderConfig(d_model=32, pattern=(entry("gru"),), num_groups=1),
    task=dataclasses.replace(data, **changes),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=5),
    steps=80,
    log_every=5,
    save_every=80,
    eval_bytes=2048,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  directory = tmp_path_factory.mktemp("masked")
  (directory / "text").mkdir()
  for i in range(30):
    text = "the cat sat on the mat. " * (20 + i)
    (directory / "text" / f"{i}.txt").write_text(text)
  assert train(config(directory), directory / "run") == 0
  return directory / "run"


def test_masked_letters_are_predicted_far_better_than_by_frequency(run):
  numbers = json.loads((run / "report.json").read_text())
  assert numbers["unigram_bits"] > 2.5 > 1 > numbers["bits"], numbers
  assert numbers["accuracy"] > 0.9 > 0.5 > numbers["unigram_accuracy"]


def test_masks_of_a_record_are_guessed(run):
  predict = asking.predictor(run, "last")
  lines = [
    b'{"text": "the c[MASK]t sat on the [MASK]at."}',
    b'{"text": "no mask"}',
    json.dumps({"text": "x" * 40 + "[MASK]"}).encode(),
    b'{"text": "\\ud800[MASK]"}',
    b'{"text": "[MASK]t sat[MASK] [MASK]n the ma[MASK]. the cat"}',
  ]
  answers = list(asking.answers(lines, predict, 4))
  guesses = answers[0]["guesses"]
  assert [g[0]["text"] for g in guesses] == ["a", "m"] and len(guesses[0]) == 5
  assert "[MASK] expected" in answers[1]["error"]
  assert "the run reads 32" in answers[2]["error"]
  assert "surrogate" in answers[3]["error"]
  assert len(answers[4]["guesses"]) == 4
  guessed = [g["text"] for of_mask in answers[4]["guesses"] for g in of_mask]
  assert "" not in guessed  # EOS would decode to nothing


@pytest.mark.parametrize(
  "other", [LabelsConfig(classes=2), SpansConfig(), PassagesConfig()]
)
def test_an_encoder_with_another_head_begins_from_a_run(run, other):
  trained_params = init_from.load_params(str(run))
  encoder = dataclasses.replace(config(run).model, vocab_size=320)
  model = tasks.make_model(encoder, other)
  init = jax.jit(functools.partial(model.init, method="objective"))
  fresh = init(jax.random.key(0), model.example(2, 8), ())
  merged, count = init_from._merge_params(nn.unbox(fresh["params"]), trained_params)
  assert count == len(jax.tree.leaves(trained_params))
  np.testing.assert_array_equal(merged["embedding"], trained_params["embedding"])


def test_question_answering_begins_from_a_run_with_the_words_it_saved(tmp_path):
  """Words made of the new text would be others than those of the embeddings."""
  (tmp_path / "text").mkdir()
  for i in range(20):
    (tmp_path / "text" / f"{i}.txt").write_text("the dog has a red boat. " * (10 + i))
  # the config allows 319 words, and the text has 9 ids
  first = dataclasses.replace(config(tmp_path, tokenizer="words:319"), steps=6)
  assert train(first, tmp_path / "run") == 0
  tokenizer = str(tmp_path / "run" / "tokenizer.json")
  words = trained.make(tokenizer, [])
  assert words.vocab_size == trained.size(tokenizer) == 9
  assert words.fingerprint == trained.kept("words:319", tmp_path / "run").fingerprint

  questions = tmp_path / "asked.jsonl"
  line = {"question": "who has it?", "answers": "dog"}
  endings = ["", " a", " red", " boat"]
  contexts = [f"the dog{a}{b}{c}" for a in endings for b in endings for c in endings]
  contexts = list(dict.fromkeys(contexts))[:20]
  lines = [json.dumps(line | {"context": c, "title": c}) for c in contexts]
  questions.write_text("\n".join(lines))
  sizes = {"segment_length": 16, "question_length": 4, "overlap": 2, "batch_size": 8}
  second = dataclasses.replace(
    first,
    model=dataclasses.replace(first.model, vocab_size=320),
    task=SpansConfig(str(questions), tokenizer=tokenizer, **sizes),
    optim=OptimConfig(warmup_steps=1, learning_rate=1e-9),
    init_from=str(tmp_path / "run"),
    steps=2,
  )
  assert train(second, tmp_path / "second") == 0
  before, after = (
    load_run(tmp_path / name).params["embedding"] for name in ("run", "second")
  )
  np.testing.assert_allclose(before, after, atol=1e-5)
  predict = asking.predictor(tmp_path / "second", "last")
  assert predict([{"question": "who?", "context": "a dog"}])[0]["answer"] in "a dog"


def _two_documents(rows):
  """A batch of one row with two documents, and where the second one begins."""
  for step in range(20):
    batch = rows[step]
    for row, reset in enumerate(batch["reset"]):
      if cut := int(np.argmax(reset * (np.arange(32) > 4))):
        return {k: a[row : row + 1] for k, a in batch.items() if k != "rows"}, cut
  raise AssertionError("no row has two documents")


@pytest.mark.parametrize("name", ["gru", "encoder_attention"])
def test_a_masked_word_is_predicted_from_its_document_alone(run, name):
  resolved = resolve(config(run.parent))
  pattern = (entry(name, num_heads=2) if name != "gru" else entry(name),)
  model = MaskedLM(dataclasses.replace(resolved.model, pattern=pattern))
  one, cut = _two_documents(run_task.make(resolved, model).rows)
  init, apply = (
    jax.jit(functools.partial(f, method="objective")) for f in (model.init, model.apply)
  )
  params = init(jax.random.key(0), model.example(1, 32), ())
  changed = one["tokens"].copy()
  changed[0, :cut] = (changed[0, :cut] + 1) % 256
  before, after = (
    np.asarray(apply(params, batch, ())[0])[0]
    for batch in (one, one | {"tokens": changed})
  )
  moved = before != after
  assert moved[:cut].any() and not moved[cut:].any()


def test_the_masks_of_held_out_text_do_not_depend_on_the_seed_or_the_size(run):
  first = resolve(config(run.parent))
  other = dataclasses.replace(first, seed=7)
  tasks = [runs.task(c) for c in (first, other)]
  params = init_from.load_params(str(run))
  scores = [task.validation_metric(params) for task in tasks]
  assert scores[0] == scores[1]
  assert (tasks[0].rows[0]["tokens"] != tasks[1].rows[0]["tokens"]).any()
  (run.parent / "short.txt").write_text("the cat sat on the mat, the cat sat on")
  short = runs.task(config(run.parent, heldout=str(run.parent / "short.txt")))
  assert np.isfinite(short.validation_metric(params))


@pytest.mark.parametrize("run_length", [1, 4])
def test_tokens_are_masked_at_the_rates_of_the_paper(run_length):
  draw = np.random.default_rng(0)
  where = chosen((200, 100), 0.15, run_length, draw)
  assert abs(where.mean() - 0.15) < 0.01
  tokens = draw.integers(8, 50, (200, 100))
  inputs = hide(tokens, where, (50, 51, 7), draw)
  np.testing.assert_array_equal(inputs[~where], tokens[~where])
  assert not (inputs == 7).any()  # the EOS token
  assert abs((inputs[where] == 50).mean() - 0.8 - 0.1 / 50) < 0.03
  assert abs((inputs[where] == tokens[where]).mean() - 0.1 - 0.1 / 50) < 0.03
  begins = where & ~np.pad(where, ((0, 0), (1, 0)))[:, :-1]
  assert (where.sum() / begins.sum() > 3.5) == (run_length == 4)


def test_batches_depend_on_seed_and_step_alone_and_mask_no_eos(run):
  resolved = resolve(config(run.parent))
  rows = [runs.task(resolved).rows for _ in range(2)]
  for key, value in rows[0][3].items():
    np.testing.assert_array_equal(value, rows[1][3][key])
  batch = rows[0][0]
  ends = batch["targets"] == 256
  assert ends.any() and not batch["weights"][ends].any()
  np.testing.assert_array_equal(batch["tokens"][ends], 256)
  assert batch["reset"][ends].all()
  assert (batch["tokens"] == 257).any()  # one id more than the tokenizer's
  assert resolved.model.vocab_size >= 258


def test_numbers_out_of_range_are_named(run):
  for changes, words in (
    ({"share": 0.0}, "task.share is 0.0"),
    ({"run": 0}, "task.run is 0"),
    ({"tokenizer": "bite"}, "did you mean 'byte'"),
  ):
    with pytest.raises(UserError, match=words):
      resolve(config(run.parent, **changes))
  with pytest.raises(UserError, match="no split 'dev'"):
    asking.evaluate(run, "last", "dev")
