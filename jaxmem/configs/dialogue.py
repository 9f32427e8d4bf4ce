"""Trains a model to recall what was said several turns ago.

    jaxmem train dialogue
    jaxmem eval --workdir runs/dialogue --split heldout
    jaxmem train dialogue --task.source FILE.jsonl

The data are generated dialogues of two speakers, who mention up to four facts and ask
for each later, between other sentences (`tasks.dialogue.recall`); or any JSONL file of
chat form (`tasks.dialogue.chat`), with a tokenizer that is trained on it.

After 3.9 minutes of CPU time one layer answers 0.999 of the held-out questions exactly
with the memory carried, and 0.060 with the memory emptied between turns. Guessing gets
0.0625, and a guess among the names of the dialogue 0.743. The convolution has 8 taps
instead of 4, so that it sees a name and its fact at once (results/dialogue.md).
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.dialogue.task import DialogueConfig
from jaxmem.training.config import Config, OptimConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    d_ff=128,
    pattern=(entry("gated_delta", conv_size=8),),
    num_groups=1,
    dtype="auto",
  ),
  task=DialogueConfig(source="recall:facts=4:count=65536", tokenizer="sp:512"),
  optim=OptimConfig(learning_rate=3e-3, warmup_steps=50),
  steps=1200,
  log_every=50,
  save_every=400,
  eval_bytes=8192,
  sample_bytes=0,
)
