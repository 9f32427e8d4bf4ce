"""Trains a small Transformer to translate German to English (Multi30k).

    jaxmem train translation --task.source TRAIN.de,TRAIN.en \
      --task.heldout VAL.de,VAL.en --task.test TEST.de,TEST.en

The set is at https://github.com/multi30k/dataset. On the 1,000 sentences of
test_2016_flickr the model scores 29.24 BLEU (sacrebleu, cased) and 47.13 chrF after 8.3
minutes of CPU time, and 40.12 and 58.98 with --steps 4000, 18.5 minutes on two cores
(results/translation.md).
"""

from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderDecoderConfig(
    encoder=(entry("encoder_attention"),),
    d_model=192,
    pattern=(entry("attention", capacity=64), entry("cross_attention")),
    num_groups=2,
    dropout=0.15,
    dtype="auto",
  ),
  task=PairsConfig(tokenizer="sp:4000", segment_length=64, batch_size=64),
  optim=OptimConfig(learning_rate=1.5e-3, warmup_steps=100, ema=0.999),
  validation=ValidationConfig(every=500),
  steps=1000,
  log_every=50,
  save_every=250,
  eval_bytes=1_000_000,
  sample_bytes=0,
)
