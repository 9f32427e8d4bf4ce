"""Makes tiny models with transformers, and what they answer.

    pip install -e '.[bench,test]' && python -m tests.interop.make_folders [NAME ...]

Every parameter is moved from its first value, so that no bias of 0 and no scale of 1
hides an omission. The numbers of heads, groups and layers differ, and the text is
longer than a window.
"""

import json
import sys
from pathlib import Path

import numpy as np

FOLDERS = Path(__file__).parent / "folders"
ROWS, LENGTH, PROMPT, DRAWN = 2, 40, 8, 32
_SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 3,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-5,
}
_LLAMA3 = {
  "rope_type": "llama3",
  "rope_theta": 500.0,
  "factor": 4.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 16,
}
_YARN = {
  "rope_type": "yarn",
  "rope_theta": 500.0,
  "factor": 4.0,
  "original_max_position_embeddings": 16,
}
# Name of the folder -> model type and settings.
MODELS = {
  "llama": ("llama", {"head_dim": 8, "tie_word_embeddings": False}),
  "llama3": (
    "llama",
    {"attention_bias": True, "rope_parameters": _LLAMA3, "tie_word_embeddings": True},
  ),
  "mistral": ("mistral", {"sliding_window": 8, "head_dim": 8}),
  "qwen2": (
    "qwen2",
    {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
  ),
  "qwen3": ("qwen3", {"head_dim": 8, "rope_parameters": _YARN}),
}


def make(name: str) -> None:
  """Writes a folder with a model, and `answers.npz` with its logits and gradients."""
  import torch
  from transformers import AutoConfig, AutoModelForCausalLM

  model_type, settings = MODELS[name]
  torch.manual_seed(sorted(MODELS).index(name))
  config = AutoConfig.for_model(model_type, **_SIZES | settings)
  model = AutoModelForCausalLM.from_config(config).eval()
  with torch.no_grad():
    for key, parameter in model.named_parameters():
      parameter.copy_(0.3 * torch.randn_like(parameter) + ("norm" in key))
  folder = FOLDERS / name
  model.save_pretrained(folder)
  (folder / "generation_config.json").unlink(missing_ok=True)
  tokens = torch.randint(0, _SIZES["vocab_size"], (ROWS, LENGTH))
  logits = model(tokens).logits
  loss = torch.nn.functional.cross_entropy(
    logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
  )
  loss.backward()
  answers = {"tokens": tokens, "logits": logits, "loss": loss}
  answers |= {f"d {k}": p.grad for k, p in model.named_parameters()}
  answers["greedy"] = _greedy(model, tokens[:, :PROMPT])
  arrays = {key: value.detach().numpy() for key, value in answers.items()}
  np.savez_compressed(folder / "answers.npz", **arrays)
  print(name, json.dumps(settings))


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
