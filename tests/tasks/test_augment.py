"""Augmentation of training texts: rates, masks of rare words, synonyms, wordings."""

import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.core import ranges
from jaxmem.data import DataError
from jaxmem.tasks.classification.augment import AugmentConfig, Augmenter
from jaxmem.tokenizers import trained
from support import runs
from support.classification_runs import config, write


def test_augmentation_changes_tokens_at_the_rates_of_its_config():
  ids, draw = np.arange(10_000, dtype=np.int32), np.random.default_rng(0)

  def augmented(**rates):
    return Augmenter(AugmentConfig(**rates), unk_id=-1).ids(ids, draw)

  assert abs(len(augmented(deletion=0.3)) / 1e4 - 0.7) < 0.02
  swapped = augmented(swap=0.2)
  assert sorted(swapped.tolist()) == ids.tolist()
  assert 0.3 < (swapped != ids).mean() < 0.4
  for run in (1, 5):
    masked = augmented(hiding=0.15, run=run) == -1
    assert abs(masked.mean() - 0.15) < 0.02
    num_runs = (np.diff(masked.astype(int)) == 1).sum()
    assert (masked.sum() / num_runs > 4) == (run == 5)
  assert len(Augmenter(AugmentConfig(deletion=1.0), -1).ids(ids[:3], draw)) == 1


def test_a_masked_word_becomes_the_unknown_one(tmp_path):
  """The vocabulary has all training words, so that only masks are unknown words."""
  source = write(tmp_path / "train.jsonl")
  task = runs.task(config(source, augment=AugmentConfig(hiding=0.9)))
  ids = task.rows[0]["tokens"]
  unknown = task._tokenizer.encode(b"neverseen")
  assert 0.5 < (ids == unknown).sum() / task.rows[0]["length"].sum() <= 1
  assert trained.unk_id(tokenizers.get("byte")) == 257


def test_rare_tokens_are_masked_more_often():
  counts, ids = np.array([1, 9, 10**9]), np.repeat([0, 1, 2], 4000)
  augmenter = Augmenter(AugmentConfig(rare=1.0), -1, counts)
  masked = augmenter.ids(ids, np.random.default_rng(0)).reshape(3, -1) == -1
  np.testing.assert_allclose(masked.mean(1), [1 / 2, 1 / 10, 0], atol=0.03)
  with pytest.raises(ValueError, match="rare is -1"):
    ranges.check(AugmentConfig(rare=-1.0))


def test_counts_are_those_of_the_training_texts(tmp_path):
  source = write(tmp_path / "train.jsonl")
  task = runs.task(config(source, augment=AugmentConfig(rare=0.5)))
  texts = [e.texts[0] for e in task._splits[""]["train"]]
  film = task._tokenizer.encode(b"film")[0]
  assert task._encoded.counts()[film] == sum("film" in t for t in texts) > 0


def test_synonyms_and_wordings_come_from_the_user_s_files(tmp_path):
  table, wordings = tmp_path / "table.json", tmp_path / "wordings.jsonl"
  table.write_text('{"Film": ["movie"]}')
  wordings.write_text('{"text": "a film", "wordings": ["one film"]}\n')
  options = dict(synonyms=1.0, table=str(table), copies=1.0, wordings=str(wordings))
  augmenter = Augmenter(AugmentConfig(**options), 0)
  draw = np.random.default_rng(0)
  assert augmenter.text("a film", draw) == "one movie"
  assert augmenter.text("the film", draw) == "the movie"
  table.write_text('["film"]')
  with pytest.raises(DataError, match="is not of the form"):
    Augmenter(AugmentConfig(**options), 0)
