"""Trains a hybrid byte-level language model on this machine's Python standard library.

    jaxmem train quickstart

It has Griffin's recurrence, a gated delta rule and a window of 128 tokens, with 0.7 M
parameters, and reads 1.6 M bytes once: 2.47 held-out bits per byte, where gzip on each
file needs 2.54. Then follows the config recall, whose dialogues only a memory can
answer. Both together took six minutes on two idle CPU cores and 1.42 GiB
(results/quickstart). For a TPU or GPU see the config quickstart_accelerator.
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=128,
    pattern=(
      entry("rglru", num_heads=4),
      entry("gated_delta", num_heads=2),
      entry("window", window_size=128, num_heads=4),
    ),
    dtype="auto",
  ),
  task=DataConfig(source="stdlib", segment_length=256, batch_size=8),
  steps=800,
  log_every=25,
  save_every=400,
  eval_bytes=131_072,
  then="recall",
)
