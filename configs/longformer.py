"""Longformer's causal attention alone: two blocks, dilation 1 and 2, a global token.

    jaxmem train configs/longformer.py

0.6 M bytes read, a few minutes on two CPU cores with other work: 3.62 held-out bits per
byte, carried (64 kB of held-out files; gzip -9 on the same bytes: 2.56).

Two layers of it reach 0.20 of associative recall in 600 steps
(`python -m tests.support.learning longformer`).
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    pattern=(entry("longformer", window_size=64, dilation=(1, 1, 2, 2)),),
    num_groups=2,
    dtype="auto",
  ),
  task=DataConfig(batch_size=8),
  steps=300,
  eval_bytes=65_536,
)
