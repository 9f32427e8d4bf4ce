"""Whole folders of pretrained models: tiny random weights, and a tokenizer."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxmem.interop import pretrained
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes

TOKENIZERS = Path(__file__).parents[1] / "tokenization" / "folders"


def write(folder: Path, tokenizer: str = "llama3", words: int = 512, **changes) -> Path:
  """Writes a random Llama with a tokenizer of `tests/tokenization/folders`.

  Args:
    folder: the folder.
    tokenizer: the name of the tokenizer.
    words: rows of the embedding.
    **changes: fields of the config.
  """
  attention = entry("attention", capacity=512, num_kv_heads=2, block_size=16)
  fields = {"d_model": 16, "d_ff": 32, "pattern": (attention,), "num_groups": 2}
  config = LMConfig(words, **fields | changes, embedding_scale=1.0)
  model, tokens = LM(config), jnp.zeros((1, 2), jnp.int32)
  boxed = jax.jit(model.init)(jax.random.key(0), tokens, model.init_state(1))
  pretrained.save(folder, config, meshes.unboxed(boxed["params"]), "llama")
  for file in (TOKENIZERS / tokenizer).iterdir():
    if file.name != "answers.npz":
      shutil.copy(file, folder)
  return folder
