"""Trains an autoencoder that compresses lines of Python to 32 numbers.

    jaxmem train vae
    jaxmem train vae --model.d-latent 0 --workdir runs/decoder
    jaxmem eval --workdir runs/vae --split heldout
    jaxmem predict --workdir runs/vae --input FILE.jsonl

The second command trains the decoder alone. On 3,820 held-out lines of the standard
library, after 4.3 minutes of CPU time, reconstruction costs 2.432 bits a byte with 12.1
bits of KL a line and all 32 numbers in use; the decoder alone has 2.463 after 1.9
minutes. With its KL the bound is 2.787, so the latent costs more than it saves
(results/vae.md).
"""

from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAEConfig
from jaxmem.tasks.autoencoding.task import CompressionConfig
from jaxmem.training.config import Config, OptimConfig

config = Config(
  model=VAEConfig(
    d_latent=32,
    free_nats=0.25,
    encoder=(entry("gru"),),
    d_model=128,
    pattern=(entry("gru"),),
    num_groups=1,
    dtype="auto",
  ),
  task=CompressionConfig(kl_steps=1000),
  optim=OptimConfig(learning_rate=3e-3, warmup_steps=50),
  steps=1000,
  log_every=50,
  save_every=250,
  eval_bytes=131_072,
  sample_bytes=0,
)
