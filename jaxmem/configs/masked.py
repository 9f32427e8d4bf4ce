"""Trains a small encoder on hidden words, for other runs to begin from.

    jaxmem train masked
    jaxmem train labels --init-from runs/masked ...

The texts are those of the Python standard library. The second run must have the
pattern, the sizes and the tokenizer of the first.
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.masked_lm.task import MaskedConfig
from jaxmem.training.config import Config, OptimConfig

config = Config(
  model=EncoderConfig(
    d_model=128,
    pattern=(entry("encoder_attention"),),
    num_groups=2,
    dtype="auto",
  ),
  task=MaskedConfig(tokenizer="byte", segment_length=128, batch_size=32),
  optim=OptimConfig(learning_rate=2e-3, warmup_steps=50),
  steps=500,
  log_every=50,
  save_every=250,
  eval_bytes=65_536,
  sample_bytes=0,
)
