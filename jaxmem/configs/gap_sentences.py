"""Pretrains an encoder-decoder to write hidden sentences (Pegasus).

    jaxmem train gap_sentences --task.source TEXTS.jsonl
    jaxmem train summarisation --init-from runs/gap_sentences \
      --task.tokenizer runs/gap_sentences/tokenizer.model ...

The sentences that matter most are hidden. The second run begins from the parameters and
the tokenizer of the first. Records of TEXTS have a field "text"; for the abstracts of
https://github.com/allenai/scitldr add --task.read source. On them, with --steps 150
--validation.every 50, the loss is 6.91 nats a held-out piece after 50 steps and 6.42 at
the end, where the model still writes nothing (the first sentence has 15.6 ROUGE-1).
Whether it improves summaries was not measured.
"""

from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  # of the config summarisation, which begins from this
  model=EncoderDecoderConfig(
    encoder=(entry("longformer", window_size=64, causal=False),),
    d_model=128,
    pattern=(entry("attention", capacity=512), entry("cross_attention")),
    num_groups=2,
    dropout=0.1,
    dtype="auto",
  ),
  task=PairsConfig(
    source="data/texts.jsonl",
    read="text",
    gaps=0.3,
    tokenizer="sp:4000",
    segment_length=384,
    batch_size=8,
    metric="rouge",
    beams=4,
  ),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=50),
  validation=ValidationConfig(every=100, patience=3),
  steps=600,
  log_every=50,
  save_every=200,
  eval_bytes=30_000,
  sample_bytes=0,
)
