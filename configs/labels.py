"""Short texts: does the sentence praise? (SST-2)

jaxmem train configs/labels.py --data.source TRAIN --data.heldout DEV --data.test TEST
"""

from jaxmem.config import Config, OptimConfig, ValidationConfig
from jaxmem.jobs.labels import LabelsConfig
from jaxmem.models.encoder import EncoderConfig
from jaxmem.modules.pattern import entry

config = Config(
  model=EncoderConfig(
    d_model=128,
    pattern=(entry("gru"),),
    num_groups=1,
    pool="max",
    classes=2,
    dropout=0.5,
    dtype="auto",
  ),
  data=LabelsConfig(tokenizer="words:15000", segment_length=64, batch_size=64),
  optim=OptimConfig(learning_rate=1e-3, warmup_steps=20, weight_decay=0.1),
  validation=ValidationConfig(every=100, patience=4),
  steps=800,
  log_every=50,
  save_every=200,
  sample_bytes=0,
)
