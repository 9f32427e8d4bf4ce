"""Trains Mamba-2 on segments of 1,024 tokens, to be read to 64k tokens.

    jaxmem train length_generalisation --task.source dickens.txt
    jaxmem eval --workdir runs/length_generalisation --text heldout.txt --carry all

Every segment starts with an empty memory, as in most training of recurrent models, so
the model never meets a memory of more than 1,024 tokens. `--segment-start passed`,
`noise`, `fitted` and `carried` are remedies, see `jaxmem.models.state_init`. Every
machine has the default source, but its documents are short: give one of long documents.

It reads 1.2 M bytes in 95 CPU-seconds of a shared x86 machine (25 minutes by the clock,
since both cores had other work). Bits per byte at 0 to 127, 512 to 1,023 and 32,768 to
65,535 tokens into a document (`--document-length 65536`) are 2.618, 2.591 and 2.557
with every start; see results/length_generalisation.md.
"""

from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.training.config import Config, DataConfig

config = Config(
  model=LMConfig(
    vocab_size=0,
    d_model=64,
    pattern=(entry("mamba2", state_dim=64),),
    dtype="auto",
  ),
  task=DataConfig(source="stdlib", segment_length=1024, batch_size=4),
  steps=300,
  segment_start="empty",
  eval_bytes=65_536,
)
