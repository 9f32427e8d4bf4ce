"""Full attention alone: two blocks, the whole document in sight.

    jaxmem train configs/attention.py

0.6 M bytes read, two to three minutes on two CPU cores with other work: 3.70 held-out
bits per byte, carried (64 kB of held-out files; gzip -9 on the same bytes: 2.56). The
memory holds 2,048 tokens: longer documents are cut there.

Two layers of it reach 0.20 of associative recall in 600 steps
(`python -m tests.support.learning attention`).
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    pattern=(entry("attention"),),
    num_groups=2,
    dtype="auto",
  ),
  task=DataConfig(batch_size=8, document_length=2048),
  steps=300,
  eval_bytes=65_536,
)
