"""Trains a summariser of scientific papers (SciTLDR) from scratch.

    jaxmem train summarisation --task.source TRAIN.jsonl \
      --task.heldout DEV.jsonl --task.test TEST.jsonl

The set is at https://github.com/allenai/scitldr (abstracts only). Its 2,000 pairs are
too few to train a summariser from scratch: with --steps 300 --eval-bytes 10000, 9
minutes of CPU time, the first 68 test abstracts have 14.4 ROUGE-1, and each of the five
printed summaries is "We propose a new neural networks." The report compares it with the
first sentence (30.2 on these, 28.3 on all 618) and with the sentence that MiniLM finds
nearest to the whole (35.4 and 34.6); see results/retrieval.md. The run may begin from
a run of the config gap_sentences.
"""

from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderDecoderConfig(
    encoder=(entry("longformer", window_size=64, causal=False),),
    d_model=128,
    pattern=(entry("attention", capacity=512), entry("cross_attention")),
    num_groups=2,
    dropout=0.2,
    dtype="auto",
  ),
  task=PairsConfig(
    tokenizer="sp:4000",
    segment_length=384,
    batch_size=8,
    metric="rouge",
    beams=4,
    extract="minilm",
  ),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=50),
  validation=ValidationConfig(every=100, patience=3),
  steps=600,
  log_every=50,
  save_every=200,
  eval_bytes=30_000,
  sample_bytes=0,
)
