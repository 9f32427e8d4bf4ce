"""A small recurrent network names the first letter.

jaxmem train my_task/config.py --plugins my_task --workdir runs/my_task
"""

from jaxmem import Config, LMConfig, parse

from my_task import Config as TaskConfig

config = Config(
  model=LMConfig(vocab_size=0, d_model=32, d_ff=64, pattern=parse("gru")),
  task=TaskConfig(segment_length=8, batch_size=16),
  steps=500,
)
