"""The config of compression: the lines of text, and the weight of the KL."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import affecting, number


@dataclasses.dataclass(frozen=True)
class CompressionConfig:
  """The config of a compression task: lines of text.

  Attributes:
    source: the documents, see `DataConfig`; a mixture is refused.
    heldout: the documents that are held out, see `DataConfig`.
    tokenizer: name of the tokenizer, see `DataConfig`.
    segment_length: T, tokens of a line with the EOS token at its end; a longer line is
      cut into several texts.
    batch_size: texts of a step.
    latent_of: "same" encodes the text that is written, "previous" the one before it in
      its document: the latent is then a compressed memory.
    kl_weight: weight of the KL at the end of its annealing, >= 0; 1 is the ELBO.
    kl_steps: steps over which the weight rises linearly from 0; 0 does not anneal.
    data_dir: where prepared data is kept; empty is $JAXMEM_DATA_DIR or ~/.cache/jaxmem.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and reports how many there are, and which came first.
  """

  source: str = "stdlib"
  heldout: str = ""
  tokenizer: str = "byte"
  segment_length: int = number(
    64, at_least=2, remedy="a text is a token and the EOS token at its end"
  )
  batch_size: int = number(32, at_least=1)
  latent_of: Literal["same", "previous"] = "same"
  kl_weight: float = number(1.0, at_least=0)
  kl_steps: int = number(0, at_least=0)
  data_dir: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"
