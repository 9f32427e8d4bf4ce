"""Hidden words: how many, what they become, and that an encoder learns to say them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxmem import jobs, pretrained
from jaxmem.config import Config, OptimConfig
from jaxmem.data.masked_rows import chosen, hide
from jaxmem.errors import UserError
from jaxmem.jobs import asking
from jaxmem.jobs.masked import MaskedConfig
from jaxmem.models.encoder import Encoder, EncoderConfig
from jaxmem.modules.pattern import entry
from jaxmem.program import resolve
from jaxmem.train import train


def config(place, **changes):
  data = MaskedConfig(
    source=str(place / "text"),
    tokenizer="byte",
    segment_length=32,
    batch_size=16,
    data_dir=str(place / "prepared"),
  )
  return Config(
    model=EncoderConfig(
      d_model=32, pattern=(entry("gru"),), num_groups=1, head="masked"
    ),
    data=dataclasses.replace(data, **changes),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=5),
    steps=80,
    log_every=5,
    save_every=80,
    eval_bytes=2048,
  )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  place = tmp_path_factory.mktemp("masked")
  (place / "text").mkdir()
  for i in range(30):
    text = "the cat sat on the mat. " * (20 + i)
    (place / "text" / f"{i}.txt").write_text(text)
  assert train(config(place), place / "run") == 0
  return place / "run"


def test_hidden_letters_are_said_far_better_than_by_frequency(run):
  found = json.loads((run / "report.json").read_text())
  assert found["unigram_bits"] > 2.5 > 1 > found["bits"], found
  assert found["accuracy"] > 0.9 > 0.5 > found["unigram_accuracy"]


def test_masks_of_a_record_are_guessed(run):
  predict = asking.predictor(run, "last")
  lines = [
    b'{"text": "the c[MASK]t sat on the [MASK]at."}',
    b'{"text": "no mask"}',
    json.dumps({"text": "x" * 40 + "[MASK]"}).encode(),
  ]
  found = list(asking.answers(lines, predict, 4))
  guesses = found[0]["guesses"]
  assert [g[0]["text"] for g in guesses] == ["a", "m"] and len(guesses[0]) == 5
  assert "[MASK] expected" in found[1]["error"]
  assert "the run reads 32" in found[2]["error"]


def test_an_encoder_with_another_head_begins_from_it(run):
  found = pretrained.parameters(str(run))
  made = EncoderConfig(320, 32, pattern=(entry("gru"),), num_groups=1, classes=2)
  model = Encoder(made)
  fresh = model.init(jax.random.key(0), model.example(2, 8), (), method="objective")
  merged, taken = pretrained._merged(nn.unbox(fresh["params"]), found)
  assert taken == len(jax.tree.leaves(found))
  np.testing.assert_array_equal(merged["embedding"], found["embedding"])


@pytest.mark.parametrize("run_length", [1, 4])
def test_as_many_are_chosen_and_become_what_they_should(run_length):
  draw = np.random.default_rng(0)
  where = chosen((200, 100), 0.15, run_length, draw)
  assert abs(where.mean() - 0.15) < 0.01
  tokens = draw.integers(0, 50, (200, 100))
  inputs = hide(tokens, where, (50, 50), draw)
  np.testing.assert_array_equal(inputs[~where], tokens[~where])
  assert abs((inputs[where] == 50).mean() - 0.8) < 0.03
  assert abs((inputs[where] == tokens[where]).mean() - 0.1 - 0.1 / 50) < 0.03
  begins = where & ~np.pad(where, ((0, 0), (1, 0)))[:, :-1]
  assert (where.sum() / begins.sum() > 3.5) == (run_length == 4)


def test_batches_depend_on_seed_and_step_alone_and_hide_no_boundary(run):
  made = resolve(config(run.parent))
  rows = [jobs.make(made, Encoder(made.model)).rows for _ in range(2)]
  for key, value in rows[0][3].items():
    np.testing.assert_array_equal(value, rows[1][3][key])
  batch = rows[0][0]
  ends = batch["targets"] == 256
  assert ends.any() and not batch["weights"][ends].any()
  np.testing.assert_array_equal(batch["tokens"][ends], 256)
  assert batch["reset"][ends].all()
  assert (batch["tokens"] == 257).any()  # one id more than the tokenizer's
  assert made.model.vocab_size >= 258


def test_numbers_out_of_range_are_said(run):
  for changes, words in (
    ({"share": 0.0}, "data.share is 0.0"),
    ({"run": 0}, "data.run 0"),
    ({"tokenizer": "bite"}, "did you mean 'byte'"),
  ):
    with pytest.raises(UserError, match=words):
      resolve(config(run.parent, **changes))
  with pytest.raises(UserError, match="no split 'dev'"):
    asking.evaluate(run, "last", "dev")
