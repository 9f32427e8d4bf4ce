"""Makes tiny models with transformers, and what they answer.

    pip install -e '.[bench,test]'
    PYTHONPATH=tests python -m interop.make_folders [NAME ...]

Every parameter is moved from its first value, so that no bias of 0 and no scale of 1
hides an omission. The numbers of heads, groups and layers differ, and the text is
longer than a window.
"""

import contextlib
import importlib
import json
import pkgutil
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FOLDERS = Path(__file__).parent / "folders"
_FILES = str(Path(__file__).parent / "tiny_models")
# Packages whose kernels transformers takes where they are installed.
KERNELS = ("fla", "causal_conv1d", "mamba_ssm")
ROWS, LENGTH, PROMPT, DRAWN = 2, 40, 8, 32
# Name of the folder -> model type and settings; a family is a file of `tiny_models`.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
  name: (model_type, file.SIZES | settings)
  for file in map(
    importlib.import_module,
    sorted(f"interop.tiny_models.{m.name}" for m in pkgutil.iter_modules([_FILES])),
  )
  for name, (model_type, settings) in file.MODELS.items()
}


def make(name: str) -> None:
  """Writes a folder with a model, and `answers.npz` with its logits and gradients."""
  import torch
  from transformers import AutoConfig, AutoModelForCausalLM

  model_type, settings = MODELS[name]
  torch.manual_seed(zlib.crc32(name.encode()))
  config = AutoConfig.for_model(model_type, **settings)
  # the models' own torch code: kernels of other packages need an accelerator
  with _hidden(KERNELS):
    model = AutoModelForCausalLM.from_config(config).eval()
  with torch.no_grad():
    for key, parameter in model.named_parameters():
      moved = 0.3 * torch.randn_like(parameter)
      # the scales of norms are moved from 1, those with an offset of 1 from 0
      scale = parameter.ndim == 1 and key.endswith("weight")
      parameter.copy_(parameter + moved if scale else moved)
  folder = FOLDERS / name
  model.save_pretrained(folder)
  (folder / "generation_config.json").unlink(missing_ok=True)
  tokens = torch.randint(0, config.vocab_size, (ROWS, LENGTH))
  logits = model(tokens).logits
  loss = torch.nn.functional.cross_entropy(
    logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
  )
  loss.backward()
  answers = {"tokens": tokens, "logits": logits, "loss": loss}
  answers["greedy"] = _greedy(model, tokens[:, :PROMPT])
  arrays = {key: value.detach().numpy() for key, value in answers.items()}
  arrays |= {f"d {key}": grad for key, grad in _gradients(model).items()}
  np.savez_compressed(folder / "answers.npz", **arrays)
  print(name, json.dumps(settings))


@contextlib.contextmanager
def _hidden(names):
  """Lets modules of these names be imported by nobody."""
  before = {name: sys.modules.get(name) for name in names}
  sys.modules.update(dict.fromkeys(names))
  yield
  for name, module in before.items():
    sys.modules.pop(name)
    if module is not None:
      sys.modules[name] = module


def _gradients(model):
  """The gradients by the names of a folder, which may not be those of the model."""
  import torch
  from safetensors.numpy import load_file

  with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
    for parameter in model.parameters():
      parameter.copy_(parameter.grad)
    model.save_pretrained(folder)
    return load_file(Path(folder) / "model.safetensors")


def _greedy(model, tokens):
  """The likeliest tokens, each model call reading the text from its beginning."""
  import torch

  for _ in range(DRAWN):
    following = model(tokens).logits[:, -1].argmax(-1, keepdim=True)
    tokens = torch.cat([tokens, following], 1)
  return tokens[:, -DRAWN:]


if __name__ == "__main__":
  for each in sys.argv[1:] or MODELS:
    make(each)
