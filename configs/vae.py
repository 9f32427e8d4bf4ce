"""Compression: lines of Python through 32 numbers, and back.

jaxmem train configs/vae.py
"""

from jaxmem.config import Config, OptimConfig
from jaxmem.jobs.compression import CompressionConfig
from jaxmem.models.vae import VAEConfig
from jaxmem.modules.pattern import entry

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
  data=CompressionConfig(kl_steps=1000),
  optim=OptimConfig(learning_rate=3e-3, warmup_steps=50),
  steps=2000,
  log_every=50,
  save_every=500,
  eval_bytes=131_072,
  sample_bytes=0,
)
