"""Trains a larger quickstart on one TPU or GPU, such as a Colab TPU or T4.

    jaxmem train quickstart_accelerator

It has three groups of the same pattern at d_model 384 in bfloat16, and reads 33 M
bytes; the config recall follows. It has not yet run on an accelerator, so there is no
score here.
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig, OptimConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=384,
    pattern=(
      entry("rglru", num_heads=6),
      entry("gated_delta", num_heads=6),
      entry("window", window_size=256, num_heads=6),
    ),
    num_groups=3,
    dtype="auto",
  ),
  task=DataConfig(source="stdlib", segment_length=512, batch_size=32),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=100),
  steps=2000,
  log_every=50,
  save_every=500,
  then="recall",
)
