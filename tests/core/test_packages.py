"""A missing package is named before a run begins, with the extra that has it."""

import dataclasses
import sys

import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training import run_task
from jaxmem.training.config import Config
from jaxmem.training.trainer import train

LABELS = Config(EncoderConfig(), LabelsConfig("none.jsonl"))
PAIRS = Config(EncoderDecoderConfig(), PairsConfig("none.jsonl"))
ROUGE = dataclasses.replace(PAIRS, task=PairsConfig("none.jsonl", metric="rouge"))
PASSAGES = Config(EncoderConfig(), PassagesConfig("none.jsonl"))


@pytest.mark.parametrize(
  "config, module, extra",
  [
    (LABELS, "sklearn", "apps"),
    (PAIRS, "sacrebleu", "apps"),
    (PAIRS, "sentencepiece", "text"),
    (ROUGE, "rouge_score", "apps"),
    (PASSAGES, "bm25s", "apps"),
    (Config(), "matplotlib", "train"),
    (Config(), "grain", "train"),
    (dataclasses.replace(LABELS, init_from="minilm"), "safetensors", "apps"),
  ],
)
def test_a_missing_package_is_named_with_its_extra(config, module, extra, monkeypatch):
  if config.init_from != "minilm":  # whose weights are a package of their own
    run_task.check_packages(config)
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(ConfigError, match=rf"needs {module}.*jaxmem\[{extra}\]"):
    run_task.check_packages(config)


def test_a_missing_package_is_named_before_the_data_are_read(monkeypatch, tmp_path):
  config = dataclasses.replace(LABELS, steps=100)
  monkeypatch.setitem(sys.modules, "sklearn", None)
  with pytest.raises(ConfigError, match="sklearn"):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_run_without_a_report_needs_no_metric(monkeypatch):
  monkeypatch.setitem(sys.modules, "sklearn", None)
  run_task.check_packages(dataclasses.replace(LABELS, eval_bytes=0))


def test_an_index_needs_faiss_before_it_reads(monkeypatch, tmp_path, capsys):
  monkeypatch.setitem(sys.modules, "faiss", None)
  build = ["index", "build", "--encoder", "minilm", "--input", "none.jsonl"]
  assert cli.run([*build, "--out", str(tmp_path / "index")]) == 2
  assert "jaxmem[apps]" in capsys.readouterr().err
