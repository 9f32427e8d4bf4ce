"""A loaded language model, wherever its weights come from."""

from typing import Any, NamedTuple

from jaxmem.models.lm import LM
from jaxmem.tokenizers import Tokenizer


class Loaded(NamedTuple):
  """A language model with its weights and its tokenizer.

  Attributes:
    config: the resolved config of the run; None where no run made the weights.
    model: the language model.
    params: its parameters, or their moving average where the run keeps one, on the
      default device.
    tokenizer: text to ids and back.
    step: the step of the checkpoint; 0 where there is none.
  """

  config: Any
  model: LM
  params: Any
  tokenizer: Tokenizer
  step: int
