"""Trains a decoder with additive attention to write dates in ISO form.

    python -c "import datetime as d, json, random; random.seed(0); [print(json.dumps(
      {'source': f'{t:%A, %d %B %Y}', 'target': str(t)})) for t in map(
      d.date.fromordinal, random.sample(range(365244, 1095364), 20000))]" > dates.jsonl
    jaxmem train additive_attention

The task is that of the config cross_attention, the scores are those of Bahdanau et al.
2014 (arXiv:1409.0473). After about a minute on two CPU cores the model scores 100.00
BLEU on 2,000 dates that no training text has; copying scores 0.04.
"""

from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.seq2seq.config import PairsConfig
from jaxmem.training.config import Config, OptimConfig

config = Config(
  model=EncoderDecoderConfig(
    encoder=(entry("gru"),),
    d_model=64,
    pattern=(entry("gru"), entry("additive_attention")),
    num_groups=1,
    dropout=0.0,
    smoothing=0.0,
    dtype="auto",
  ),
  task=PairsConfig(
    source="dates.jsonl", tokenizer="byte", segment_length=32, batch_size=32, beams=1
  ),
  optim=OptimConfig(learning_rate=2e-3),
  steps=300,
  eval_bytes=65_536,
  sample_bytes=0,
)
