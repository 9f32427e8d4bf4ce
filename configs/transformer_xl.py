"""Segment recurrence alone: two blocks, segments of 64 tokens and 64 before them.

    jaxmem train configs/transformer_xl.py

0.6 M bytes read, a few minutes on two CPU cores with other work: 3.38 held-out bits per
byte, carried (64 kB of held-out files; gzip -9 on the same bytes: 2.56).

Two layers of it reach 1.00 of associative recall in 600 steps
(`python -m tests.support.learning transformer_xl`).
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    pattern=(entry("transformer_xl"),),
    num_groups=2,
    dtype="auto",
  ),
  task=DataConfig(batch_size=8),
  steps=300,
  eval_bytes=65_536,
)
