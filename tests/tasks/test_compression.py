"""Compression as a task: it is trained, scored and answers records."""

import dataclasses
import json

import numpy as np
import pytest

from jaxmem.core.errors import ConfigError, UserError
from jaxmem.data import DataError
from jaxmem.data.epochs import Epochs, once
from jaxmem.evaluation import predict as asking
from jaxmem.models import vae
from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAEConfig
from jaxmem.parallel import mesh as meshes
from jaxmem.tasks.autoencoding.task import CompressionConfig
from jaxmem.training import run_task
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.load import load_run
from jaxmem.training.step import Program, resolve
from jaxmem.training.trainer import train

LINES = [f"{'ab' * (i % 5 + 1)} {i}" for i in range(40)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
  root = tmp_path_factory.mktemp("texts")
  for name, lines in (("train", LINES[::-1]), ("held", LINES)):
    (root / f"{name}.txt").write_text("\n\n".join(lines) + "\n")
  return root


def config(texts, model=None, **changes):
  """Returns a config of four steps on the files of `texts`."""
  data = CompressionConfig(
    source=str(texts / "train.txt"),
    heldout=str(texts / "held.txt"),
    segment_length=16,
    batch_size=8,
    kl_steps=4,
    data_dir=str(texts / "prepared"),
  )
  model = VAEConfig(d_latent=3, d_model=8) if model is None else model
  return Config(
    model=model,
    task=dataclasses.replace(data, **changes),
    optim=OptimConfig(warmup_steps=1),
    validation=ValidationConfig(every=2, num_bytes=64),
    steps=4,
    save_every=2,
    eval_bytes=4096,
  )


@pytest.fixture(scope="module", params=["same", "previous"])
def run(request, texts):
  workdir = texts / request.param
  assert train(config(texts, latent_of=request.param), workdir) == 0
  return workdir


def test_a_run_reports_the_bound_and_its_parts(run):
  report = json.loads((run / "report.json").read_text())
  kl = report["kl_bits_per_text"] * report["texts"] / report["bytes"]
  assert report["elbo"] == pytest.approx(report["reconstruction"] + kl)
  assert report["sampled"] < report["elbo"]
  is_same = run.name == "same"
  assert report["texts"] == len(LINES) - (not is_same)  # the first has none before it
  assert report["bytes"] == sum(len(line) + 1 for line in LINES[not is_same :])
  assert 0 <= report["active_units"] <= len(report["kl_bits_of"]) == 3
  assert report["compressors"]["xz, whole"] > 0
  title = "Read and written" if is_same else "Read, followed by, and written"
  assert title in (run / "report.md").read_text()


def test_answers_do_not_depend_on_other_records(run):
  predict = asking.predictor(run, "last")
  records = [
    {"text": LINES[0]},
    {"samples": 2, "seed": 1},
    {"from": LINES[1], "to": LINES[2]},
  ]
  for record in records:
    predict.check(record)
  together = predict(records)
  alone = [predict([record])[0] for record in records]
  assert [set(one) for one in together] == [{"latent", "text"}, {"texts"}, {"texts"}]
  np.testing.assert_allclose(together[0].pop("latent"), alone[0].pop("latent"), 1e-5)
  assert together == alone
  assert len(together[1]["texts"]) == 2 and len(together[2]["texts"]) == 5


@pytest.mark.parametrize(
  "record, why",
  [
    ({}, 'give "text"'),
    ({"text": 7}, "is 7: a text expected"),
    ({"text": ""}, "is '': a text expected"),
    ({"text": "a" * 16}, "at most 15"),
    ({"from": "a"}, 'give "text"'),
    ({"samples": 0}, "1 .. 1000"),
    ({"samples": 1, "seed": -1}, "0 .. "),
  ],
)
def test_a_record_that_cannot_be_answered_is_refused_with_its_reason(run, record, why):
  with pytest.raises(UserError, match=why):
    asking.predictor(run, "last").check(record)


def test_without_a_latent_only_samples_are_answered(texts):
  workdir = texts / "alone"
  alone = config(texts, VAEConfig(d_latent=0, d_model=8))
  assert train(alone, workdir) == 0
  report = json.loads((workdir / "report.json").read_text())
  assert report["kl_bits_per_text"] == 0 == report["active_units"]
  predict = asking.predictor(workdir, "last")
  with pytest.raises(UserError, match="only samples"):
    predict.check({"text": "a"})
  assert len(predict([{"samples": 1}])[0]["texts"]) == 1


def test_the_weight_of_the_kl_rises_with_the_step(texts):
  resolved = resolve(config(texts, kl_weight=0.5))
  rows = run_task.make(resolved, vae.VAE(resolved.model)).rows
  weights = [float(rows[step]["kl_weight"][0]) for step in (0, 1, 4, 9)]
  assert weights == [0.0, 0.125, 0.5, 0.5]


def test_the_splits_and_the_score_are_those_of_the_run(run):
  config, model, params = load_run(run, "last")[:3]
  task = run_task.make(config, model)
  assert np.isfinite(task.validation_metric(params))
  with pytest.raises(UserError, match="no split 'dev'"):
    task.evaluate(params, "dev")


@pytest.mark.parametrize(
  "changes, why",
  [
    ({"segment_length": 1}, "at least 2"),
    ({"kl_weight": float("nan")}, "kl_weight is nan"),
    ({"kl_steps": -1}, "kl_steps is -1"),
    ({"model": VAEConfig(d_latent=-1)}, "d_latent is -1"),
    ({"model": VAEConfig(free_nats=-1.0)}, "free_nats is -1"),
    ({"model": VAEConfig(word_dropout=1.5)}, "word_dropout is 1.5"),
    ({"model": VAEConfig(encoder=())}, "encoder is empty"),
  ],
)
def test_a_config_out_of_range_is_refused(texts, changes, why):
  with pytest.raises(ConfigError, match=why):
    resolve(config(texts, **changes))


def test_an_encoder_that_reads_nothing_is_refused(texts):
  model = VAEConfig(d_model=8, encoder=(entry("cross_attention", num_heads=2),))
  resolved = resolve(config(texts, model))
  with pytest.raises(ConfigError, match="cross_attention.* nothing remembers for it"):
    Program(resolved, meshes.make(resolved.mesh))


def test_a_text_without_lines_is_refused(texts, tmp_path):
  (tmp_path / "blank.txt").write_text("\n \n\t\n")
  resolved = resolve(config(texts, source=str(tmp_path / "blank.txt")))
  with pytest.raises(DataError, match="no line"):
    run_task.make(resolved, vae.VAE(resolved.model))


def test_a_mixture_is_refused(texts):
  mix = f"mix:0.5*{texts / 'train.txt'},0.5*{texts / 'held.txt'}"
  resolved = resolve(config(texts, source=mix, heldout=""))
  with pytest.raises(UserError, match="mixture"):
    run_task.make(resolved, vae.VAE(resolved.model))


def test_epochs_read_every_item_once_and_once_reads_them_in_rows():
  epochs = Epochs(5, batch_size=3, seed=0)
  read = np.concatenate([epochs[step][1] for step in range(5)])
  assert np.sort(read.reshape(3, 5), 1).tolist() == [[0, 1, 2, 3, 4]] * 3
  with pytest.raises(IndexError):
    epochs[-1]
  batches = [(items.tolist(), real) for items, real in once(5, 3)]
  assert batches == [([0, 1, 2], 3), ([3, 4, 4], 2)]
  assert not list(once(0, 3))
