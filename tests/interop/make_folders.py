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
_FAMILIES = [
  importlib.import_module(f"interop.tiny_models.{name}")
  for name in sorted(module.name for module in pkgutil.iter_modules([_FILES]))
]
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
  name: (model_type, file.SIZES | settings)
  for file in _FAMILIES
  for name, (model_type, settings) in file.MODELS.items()
}
# Name of the folder -> `CONTEXT` of its file, in which the model is made and run.
_CONTEXTS = {
  name: file.CONTEXT
  for file in _FAMILIES
  if hasattr(file, "CONTEXT")
  for name in file.MODELS
}


def make(name: str) -> None:
  """Writes a folder with a model, and `answers.npz` with its logits and gradients."""
  model_type, settings = MODELS[name]
  with _CONTEXTS.get(name, _with_torch_code)():
    _make(name, model_type, settings)
  print(name, json.dumps(settings))


def _make(name, model_type, settings):
  import torch
  from transformers import AutoConfig, AutoModelForCausalLM

  torch.manual_seed(zlib.crc32(name.encode()))
  config = AutoConfig.for_model(model_type, **settings)
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
  arrays |= {f"d {key}": grad for key, grad in gradients(model).items()}
  np.savez_compressed(folder / "answers.npz", **arrays)


@contextlib.contextmanager
def _with_torch_code():
  """Makes transformers take its own torch code, also where kernels are installed."""
  before = {name: sys.modules.get(name) for name in KERNELS}
  sys.modules.update(dict.fromkeys(KERNELS))  # nobody can import these
  yield
  for name, module in before.items():
    sys.modules.pop(name)
    if module is not None:
      sys.modules[name] = module


def gradients(model):
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
