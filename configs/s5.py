"""S5 alone: two state spaces of 64 on the Python standard library.

    jaxmem train configs/s5.py

0.6 M bytes read, about a minute on two CPU cores: 3.75 held-out bits per byte, carried
(64 kB of held-out files; gzip -9 on the same bytes: 2.56).

Two layers of it reach 0.05 of selective copy in 600 steps
(`python -m tests.support.learning s5`).
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    pattern=(entry("s5"),),
    num_groups=2,
    dtype="auto",
  ),
  task=DataConfig(batch_size=8),
  steps=300,
  eval_bytes=65_536,
)
