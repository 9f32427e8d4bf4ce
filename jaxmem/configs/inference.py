"""Trains a classifier of Chinese sentence pairs (OCNLI) from scratch.

    jaxmem train inference --task.source train.10k.jsonl \
      --task.test dev.jsonl

The set is at https://github.com/CLUEbenchmark/OCNLI (CC BY-NC 2.0). Its files end in
.json but hold a JSON object a line: rename them. Rows labelled "-" are left out. The
accuracy on 2,950 pairs is 0.404 (two standard errors are 0.018), the share of the
largest class 0.374, after 2.2 minutes on two busy cores (results/labels.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.augment import AugmentConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderConfig(
    d_model=128,
    pattern=(entry("encoder_attention"), entry("gru")),
    num_groups=1,
    types=2,
    pool="max",
    dropout=0.3,
    dtype="auto",
  ),
  task=LabelsConfig(
    text="sentence1",
    other="sentence2",
    ignore="-",
    tokenizer="words:5000",
    segment_length=80,
    batch_size=64,
    label_smoothing=0.1,
    augment=AugmentConfig(hiding=0.1),
  ),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=50, ema=0.99),
  validation=ValidationConfig(every=100, patience=4),
  steps=800,
  log_every=50,
  save_every=200,
  sample_bytes=0,
)
