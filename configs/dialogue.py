"""Dialogue: is what was said turns ago still known?

    jaxmem train configs/dialogue.py
    jaxmem eval --workdir runs/dialogue --split heldout
    jaxmem train configs/dialogue.py --task.source FILE.jsonl

Generated dialogues of two speakers: up to four things are told, each is asked for
later, among other talk (`tasks.dialogue.recall`); or any JSONL file of chat form
(`tasks.dialogue.chat`), read as pieces that are made of it.

3.9 minutes of CPU time, one layer: 0.999 of the held-out answers are exact with the
memory carried, 0.060 with it emptied between turns, where guessing gets 0.0625. A guess
among the names told would get 0.743. A convolution of 8 tokens, in place of 4, is what
binds a name to its thing so soon: both are in sight at once (results/dialogue.md).
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
