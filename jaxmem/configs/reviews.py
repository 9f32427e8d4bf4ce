"""Trains a classifier of film reviews of 4 kB, read by windows, in five folds.

    jaxmem train reviews --task.source movie_reviews.zip --task.fold 1/5
    jaxmem train reviews --task.source movie_reviews.zip --task.fold 1/5 \
      --task.first-bytes 256 --task.segment-length 256

The set is at https://www.cs.cornell.edu/people/pabo/movie-review-data (polarity 2.0): a
folder of texts for each label, or a zip of such folders. Over five folds, 2,000
reviews, the accuracy is 0.763 on whole reviews and 0.564 on their first 256 bytes; the
paired difference is 0.200 (two standard errors are 0.028). A fold takes 1.8 and 0.6
minutes on two busy cores (results/labels.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.augment import AugmentConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  model=EncoderConfig(
    d_model=64,
    pattern=(entry("gru"),),
    num_groups=1,
    window=256,
    pool="max",
    dropout=0.3,
    dtype="auto",
  ),
  task=LabelsConfig(
    tokenizer="words:20000",
    segment_length=1024,
    batch_size=32,
    label_smoothing=0.1,
    augment=AugmentConfig(hiding=0.3),
  ),
  optim=OptimConfig(learning_rate=2e-3, warmup_steps=20, weight_decay=0.1, ema=0.98),
  validation=ValidationConfig(every=50),
  steps=250,
  log_every=25,
  save_every=250,
  sample_bytes=0,
)
