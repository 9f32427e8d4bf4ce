"""Tiny runs of the task seq2seq, which learns to write words in capitals."""

import dataclasses

import numpy as np

from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training import run_task
from jaxmem.training.config import Config, OptimConfig, ValidationConfig
from jaxmem.training.step import resolve

SMALL = EncoderDecoderConfig(
  d_model=32,
  encoder=(entry("gru"),),
  pattern=(entry("gru"), entry("additive_attention")),
  num_groups=1,
  smoothing=0.05,
  dropout=0.0,
)


def write_pairs(directory, count=120):
  """Writes different lines of words, and the same lines in capitals.

  A line has three words; of more than 120 lines every other one has four.

  Returns:
    The source of the task, "READ,WRITTEN".
  """
  words = ["ab", "cd", "ef", "gh", "ij", "kl"]
  draw = np.random.default_rng(0)
  lines: list[list[str]] = []
  while len(lines) < count:
    size = 4 if count > 120 and len(lines) % 2 == 0 else 3  # each length compiles anew
    line = [words[i] for i in draw.integers(0, len(words), size)]
    lines += [] if line in lines else [line]
  read, written = directory / "train.low", directory / "train.up"
  read.write_text("".join(" ".join(line) + "\n" for line in lines))
  written.write_text("".join(" ".join(line).upper() + "\n" for line in lines))
  return f"{read},{written}"


def config(source, model=None, **changes):
  """A run of some seconds.

  Args:
    source: the files of pairs.
    model: changes of the model's config.
    changes: changes of the task's config.
  """
  data = PairsConfig(
    tokenizer="byte", segment_length=16, batch_size=16, beams=3, source=source
  )
  return Config(
    model=dataclasses.replace(SMALL, **model or {}),
    task=dataclasses.replace(data, **changes),
    optim=OptimConfig(learning_rate=2e-2, warmup_steps=5),
    validation=ValidationConfig(every=100),
    steps=400,
    log_every=5,  # of more steps in flight, fake devices of one processor can starve
    save_every=100,
    eval_bytes=4000,
  )


def make(config):
  """The task of a config, with the model that it trains."""
  resolved = resolve(config)
  return run_task.make(resolved, EncoderDecoder(resolved.model))
