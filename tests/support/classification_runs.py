"""Tiny runs of the task classification: short reviews, good and bad."""

import dataclasses
import json

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

GOOD = ("a warm film", "good acting and a good plot")
BAD = ("a cold film", "bad acting")


def write(path, count=40):
  """Writes different texts of two classes, one after the other."""
  words = ["one", "two", "three", "four", "five"]
  rows = []
  for i in range(count):
    opinion = (GOOD if i % 2 else BAD)[i // 2 % 2]
    text = f"{opinion} {'abcdefghij'[i // 20]} {words[i % 5]}"
    rows.append({"label": "good" if i % 2 else "bad", "text": text})
  path.write_text("\n".join(map(json.dumps, rows)) + "\n")
  return path


def config(path, **changes):
  """A run of some seconds; `changes` are of the task's config."""
  model = EncoderConfig(d_model=16, pattern=(entry("gru"),), num_groups=1)
  changes = {"source": str(path)} | changes
  data = LabelsConfig(tokenizer="words:300", segment_length=16, batch_size=8)
  return Config(
    model=model,
    task=dataclasses.replace(data, **changes),
    optim=OptimConfig(learning_rate=1e-2, warmup_steps=2),
    validation=ValidationConfig(every=20),
    steps=40,
    save_every=20,
  )
