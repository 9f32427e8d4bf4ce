"""Trains a reader of Chinese questions (CMRC 2018), by character, from scratch.

    jaxmem train questions_zh --task.source cmrc2018_dev.json

The set is at https://github.com/ymcui/cmrc2018; it may be gzipped. On all 3,219
questions, by five runs (--task.fold 1/5 to 5/5), exact match is 30.6 and F1 52.0;
lexical baselines have at most 2.1 and 25.0. A fold takes 8.2 minutes of CPU time
(results/questions.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderConfig(
    d_model=128,
    pattern=(entry("encoder_attention"), entry("gru")),
    num_groups=1,
    types=3,
    dropout=0.3,
    dtype="auto",
  ),
  task=SpansConfig(
    rule="cmrc",
    tokenizer="words:4000",
    match=True,
    segment_length=256,
    question_length=40,
    answer_length=40,
    batch_size=16,
  ),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=50, ema=0.99),
  validation=ValidationConfig(every=100, patience=4),
  steps=1200,
  log_every=50,
  save_every=200,
  sample_bytes=0,
)
