"""A run may begin from a pretrained model, whose sizes it does not restate."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from interop.make_folders import FOLDERS
from jaxmem import cli
from jaxmem.core.errors import ConfigError, DataError
from jaxmem.interop import minilm, pretrained
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tokenizers import trained
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.training.load import load_run
from jaxmem.training.step import resolve
from jaxmem.training.trainer import train
from support import runs
from tokenization.make_folders import FOLDERS as TOKENIZERS

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

ROWS = 512  # of the embedding: more than the tokenizer has ids
QWEN = LMConfig(
  ROWS,
  d_model=16,
  d_ff=24,
  pattern=(
    entry(
      "attention",
      capacity=4096,
      num_heads=4,
      num_kv_heads=2,
      head_dim=8,
      qk_norm=True,
      rotary_base=1e6,
    ),
  ),
  num_groups=2,
  embedding_scale=1.0,
  tied=False,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return runs.write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model of a type that is not the first that fits, with a tokenizer."""
  path = tmp_path_factory.mktemp("models") / "qwen3"
  shutil.copytree(TOKENIZERS / "llama3", path)
  model = LM(QWEN)
  tokens = jnp.zeros((1, 4), jnp.int32)
  drawn = model.init(jax.random.key(0), tokens, model.init_state(1))["params"]
  pretrained.save(path, QWEN, nn.unbox(drawn), "qwen3")
  return path


def config(corpus, folder, **changes):
  task = DataConfig(str(corpus), segment_length=16, batch_size=2, document_length=32)
  defaults = dict(
    model=LMConfig(0, dtype="auto", dropout=0.1),
    task=task,
    optim=OptimConfig(1e-2, warmup_steps=0),
    init_from=str(folder),
    steps=2,
    save_every=2,
    eval_bytes=256,
    sample_bytes=8,
  )
  return Config(**defaults | changes)


def test_what_a_config_leaves_open_is_that_of_the_folder(corpus, folder):
  own = resolve(config(corpus, folder))

  source, _ = pretrained.read(folder)
  # the state holds the texts of this run, and what the config states stays
  held = (entry("attention", **dict(source.pattern[0].options) | {"capacity": 256}),)
  assert own.model == dataclasses.replace(source, pattern=held, dropout=0.1)
  assert own.task.tokenizer == str(folder)
  # a config with sizes of its own is as it was before there were such folders
  stated = config(corpus, folder, model=LMConfig(ROWS, dtype="auto"))
  stated = dataclasses.replace(stated, task=DataConfig(tokenizer=str(folder)))
  assert resolve(stated).model == LMConfig(ROWS)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, corpus, folder):
  """A run of a folder that has been moved since, and what the folder was."""
  directory = tmp_path_factory.mktemp("begun")
  moved = shutil.copytree(folder, directory / "folder")
  assert train(config(corpus, moved), directory / "run") == 0
  shutil.rmtree(moved)
  return directory / "run", moved


def test_a_run_begins_with_the_parameters(corpus, folder, tmp_path):
  frozen = OptimConfig(1e-2, warmup_steps=0, trainable="^embedding$")
  tuned = config(corpus, folder, optim=frozen, eval_bytes=0, sample_bytes=0)
  assert train(tuned, tmp_path / "run") == 0

  _, params = pretrained.read(folder)
  learned = load_run(tmp_path / "run").params
  equal = jax.tree.map(np.array_equal, params, learned)
  assert not equal.pop("embedding") and jax.tree.all(equal)


def test_a_run_needs_its_folder_no_more(corpus, begun):
  run, moved = begun
  loaded = load_run(run)
  assert loaded.config.model.num_groups == QWEN.num_groups
  # the same command goes on, and reads with the tokenizer that the run kept
  longer = config(corpus, moved, steps=3)
  assert train(longer, run) == 0
  assert load_run(run).step == 3


def test_a_run_is_exported_as_what_it_was(begun, folder, tmp_path, capsys):
  run, _ = begun
  argv = ["export", "--workdir", str(run), "--out", str(tmp_path / "out")]
  assert cli.run(argv) == 0

  assert "qwen3, " in capsys.readouterr().out
  settings = json.loads((tmp_path / "out" / "config.json").read_text())
  assert settings["model_type"] == "qwen3"
  assert settings["max_position_embeddings"] == 4096
  text = "  m\u00e9mory <|eot_id|> \U0001f600\n".encode()
  before, after = trained.get(str(folder)), trained.get(str(tmp_path / "out"))
  for control in (False, True):
    ids = before.encode(text, control=control)
    np.testing.assert_array_equal(ids, after.encode(text, control=control))
  for name in ("start_id", "end_ids", "vocab_size", "special", "templates"):
    assert getattr(after, name) == getattr(before, name), name
  _, params = pretrained.read(tmp_path / "out")
  equal = jax.tree.map(np.array_equal, params, load_run(run).params)
  assert jax.tree.all(equal)


@pytest.mark.parametrize(
  "changes, error, message",
  [
    ({"tokenizer": "byte2"}, ConfigError, "task.tokenizer: no tokenizer 'byte2'"),
    ({"tokenizer": "words:300"}, ConfigError, "has other ids, .* 37 rows: its token"),
    ({"tokenizer": str(TOKENIZERS / "llama3")}, ConfigError, "has 505 ids, .* 37 rows"),
    ({}, DataError, "has no tokenizer: .*; the tokenizer of init_from"),
  ],
)
def test_a_tokenizer_of_another_model_is_refused(corpus, changes, error, message):
  wrong = config(corpus, FOLDERS / "llama")
  task = dataclasses.replace(wrong.task, **changes)
  with pytest.raises(error, match=message):
    resolve(dataclasses.replace(wrong, task=task))


def test_a_model_of_another_kind_is_refused(folder):
  task = LabelsConfig("none.jsonl")
  wrong = Config(EncoderConfig(0), task, init_from=str(folder))
  with pytest.raises(ConfigError, match="has a LMConfig, and model is EncoderConfig"):
    resolve(wrong)


def test_an_encoder_is_that_of_its_folder(tmp_path):
  shutil.copytree(TOKENIZERS / "bert", tmp_path / "bert")
  bert = EncoderConfig(
    704,
    d_model=16,
    d_ff=24,
    pattern=(entry("encoder_attention", num_heads=2, use_bias=True, rotary_base=None),),
    num_groups=3,
    block="post",
    positions=40,
    types=2,
  )
  model = Classifier(bert, 2)
  example = model.example(1, 8)
  drawn = model.init(jax.random.key(0), example, (), method="objective")["params"]
  params = nn.unbox(drawn)
  minilm.write(params, bert, tmp_path / "bert")
  lines = "".join(f"{i % 2} memory state {i}\n" for i in range(40))
  (tmp_path / "texts.txt").write_text(lines)
  task = LabelsConfig(str(tmp_path / "texts.txt"), segment_length=8, batch_size=4)
  tuned = Config(
    EncoderConfig(0, dtype="auto", pool="first"),
    task,
    OptimConfig(warmup_steps=0, trainable="^head"),
    init_from=str(tmp_path / "bert"),
    steps=1,
    eval_bytes=0,
  )
  assert train(tuned, tmp_path / "run") == 0

  run = load_run(tmp_path / "run")
  assert run.config.model == dataclasses.replace(bert, pool="first")
  equal = jax.tree.map(np.array_equal, run.params, params)
  assert not jax.tree.all(equal.pop("head")) and jax.tree.all(equal)
