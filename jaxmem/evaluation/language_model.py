"""A language model by its address: a run, or a pretrained model, before it is read.

found = find("smollm2", memory="window:window_size=64")
found.config, found.tokenizer  # nothing is on a device yet
loaded = found.load()
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxmem.core.errors import UserError
from jaxmem.interop import addresses, memories, pretrained
from jaxmem.models import capacity
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded
from jaxmem.tokenizers import Tokenizer, trained
from jaxmem.training.load import Which, load_config, load_model


@dataclasses.dataclass(frozen=True)
class LanguageModel:
  """A language model whose weights have not been read.

  Attributes:
    name: what the model is, for messages.
    config: of the model, as it is loaded.
    longest: the config with the largest capacities that the model allows.
    tokenizer: text to ids and back.
    run: the config of the run; None of a pretrained model.
    read: a config, which may have other capacities -> the model with its weights.
  """

  name: str
  config: LMConfig
  longest: LMConfig
  tokenizer: Tokenizer
  run: Any
  read: Callable[[LMConfig], Loaded]

  def load(self) -> Loaded:
    """Reads the weights."""
    return self.read(self.config)

  def for_texts(self, tokens: int) -> "LanguageModel":
    """Returns the model with a state for texts of so many tokens.

    A run keeps the capacity that it was trained with, which its saved states have.
    """
    if self.run is not None:
      return self
    config = capacity.fitted(self.longest, tokens)
    return dataclasses.replace(self, config=config)


def find(
  address: str | Path, which: Which = "last", memory: str = "", dtype: str = "float32"
) -> LanguageModel:
  """Finds a language model; its weights are not read.

  Args:
    address: the work directory of a run, or see `interop.addresses`.
    which: of a run, "last", or "best" on the held-out data.
    memory: of a pretrained model, what its full attention becomes; see
      `interop.memories`.
    dtype: of a pretrained model, "float32" or "bfloat16".

  Raises:
    UserError: if there is no such model, or it is no language model.
  """
  if addresses.is_address(address):
    return _pretrained(str(address), memory, dtype)
  if memory or dtype != pretrained.DTYPES[0]:
    raise of_pretrained(address, memory, dtype)
  run = load_config(address, which)
  return LanguageModel(
    name=f"the language_modeling run in {address}",
    config=run.model,
    longest=run.model,
    tokenizer=trained.kept(run.task.tokenizer, address),
    run=run,
    read=lambda _: load_model(address, which),
  )


def of_pretrained(address: str | Path, memory: str, dtype: str) -> UserError:
  """Returns the error of a memory, or of a dtype, that is asked of a run."""
  option = f"memory {memory!r}" if memory else f"dtype {dtype!r}"
  return UserError(
    f"{option} is for a pretrained model, and {address} is none: a run has the memory "
    "and the dtype it was trained with"
  )


def _pretrained(address: str, memory: str, dtype: str) -> LanguageModel:
  """Finds a pretrained language model."""
  # a misspelt memory is reported before a model is fetched
  pretrained.check_dtype(dtype)
  entry = memories.parse(memory) if memory else None
  source = addresses.find(address)
  longest = dataclasses.replace(pretrained.lm_config_of(source), dtype=dtype)
  longest = memories.replace(longest, entry) if entry else longest
  config = memories.bounded(longest, entry)
  tokenizer = pretrained.tokenizer_of(source, config)

  def read(config: LMConfig) -> Loaded:
    params = pretrained.params_of(source, config)
    return Loaded(None, LM(config), params, tokenizer, 0)

  name = f"the language model {address}"
  return LanguageModel(name, config, longest, tokenizer, None, read)
