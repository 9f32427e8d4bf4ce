"""Trains a recurrent encoder and decoder with additive attention to translate.

    jaxmem train seq2seq_attention --task.source TRAIN.de,TRAIN.en \
      --task.heldout VAL.de,VAL.en --task.test TEST.de,TEST.en

A bidirectional GRU encodes and a GRU decodes, as in Bahdanau et al. 2014
(arXiv:1409.0473). `cross_attention` (dot products) may replace `additive_attention`. On
Multi30k, German to English, see the config translation, it scores 31.50 BLEU
(sacrebleu, cased) and 49.53 chrF after 11.2 minutes of CPU time
(results/translation.md).
"""

from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderDecoderConfig(
    encoder=(entry("gru"),),
    d_model=192,
    pattern=(entry("gru"), entry("additive_attention", key_dim=64)),
    num_groups=1,
    dropout=0.2,
    dtype="auto",
  ),
  task=PairsConfig(tokenizer="sp:4000", segment_length=64, batch_size=64),
  optim=OptimConfig(learning_rate=2e-3, warmup_steps=100, ema=0.999),
  validation=ValidationConfig(every=500),
  steps=1000,
  log_every=50,
  save_every=250,
  eval_bytes=1_000_000,
  sample_bytes=0,
)
