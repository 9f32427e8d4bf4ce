"""Makes tiny encoders with transformers, and what they answer.

    pip install -e '.[bench,test]'
    PYTHONPATH=tests python -m interop.make_encoder_folders [NAME ...]

Every parameter is moved from its first value. The rows of a batch have other lengths,
and what is behind a row is padding that no token may see.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

from interop.make_folders import gradients

FOLDERS = Path(__file__).parent / "encoder_folders"
ROWS, LENGTH, LENGTHS = 3, 13, (13, 7, 2)
_BERT = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 3,
  "num_attention_heads": 3,
  "max_position_embeddings": 16,
}
_DISTIL = {
  "vocab_size": 37,
  "dim": 24,
  "hidden_dim": 40,
  "n_layers": 2,
  "n_heads": 4,
  "max_position_embeddings": 16,
}
_ROBERTA = _BERT | {"type_vocab_size": 1, "layer_norm_eps": 1e-5}
_CLASSES = {"num_labels": 5}
# The windows divide the length to which transformers pads a text.
_LONGFORMER = _ROBERTA | {
  "attention_window": [4, 8, 4],
  "type_vocab_size": 2,
  "max_position_embeddings": 20,
}
_BIG_BIRD = _BERT | {"attention_type": "original_full", "hidden_act": "gelu_new"}
# Name of the folder -> class of transformers, model type and settings.
MODELS = {
  "bert": ("AutoModel", "bert", _BERT),
  "bert_language": (
    "AutoModelForMaskedLM",
    "bert",
    # such that an omission shows
    _BERT | {"hidden_act": "gelu_new", "layer_norm_eps": 1e-2},
  ),
  "bert_answers": ("AutoModelForQuestionAnswering", "bert", _BERT),
  "bert_classes": ("AutoModelForSequenceClassification", "bert", _BERT | _CLASSES),
  "roberta_language": ("AutoModelForMaskedLM", "roberta", _ROBERTA),
  "xlm_roberta_classes": (
    "AutoModelForSequenceClassification",
    "xlm-roberta",
    _ROBERTA | _CLASSES,
  ),
  "camembert_answers": ("AutoModelForQuestionAnswering", "camembert", _ROBERTA),
  "distilbert": ("AutoModel", "distilbert", _DISTIL),
  "distilbert_language": ("AutoModelForMaskedLM", "distilbert", _DISTIL),
  "distilbert_answers": ("AutoModelForQuestionAnswering", "distilbert", _DISTIL),
  "distilbert_classes": (
    "AutoModelForSequenceClassification",
    "distilbert",
    _DISTIL | _CLASSES,
  ),
  "longformer": ("AutoModel", "longformer", _LONGFORMER),
  "longformer_language": (
    "AutoModelForMaskedLM",
    "longformer",
    _LONGFORMER | {"attention_window": 4},
  ),
  "longformer_classes": (
    "AutoModelForSequenceClassification",
    "longformer",
    _LONGFORMER | _CLASSES,
  ),
  "big_bird": ("AutoModel", "big_bird", _BIG_BIRD),
  "big_bird_language": ("AutoModelForMaskedLM", "big_bird", _BIG_BIRD),
}


def make(name: str) -> None:
  """Writes a folder with a model, and `answers.npz` with its outputs and gradients."""
  import torch
  import transformers

  torch.set_num_threads(1)
  auto, model_type, settings = MODELS[name]
  torch.manual_seed(zlib.crc32(name.encode()))
  config = transformers.AutoConfig.for_model(model_type, **settings)
  model = getattr(transformers, auto).from_config(config).eval()
  with torch.no_grad():
    for key, parameter in model.named_parameters():
      moved = 0.3 * torch.randn_like(parameter)
      scale = parameter.ndim == 1 and key.endswith("weight")
      parameter.copy_(parameter + moved if scale else moved)
  folder = FOLDERS / name
  model.save_pretrained(folder)
  (folder / "generation_config.json").unlink(missing_ok=True)
  arrays = _answers(model, config)
  loss = (arrays["outputs"] * arrays["factors"]).sum()
  if "pooled" in arrays:
    loss = loss + (arrays["pooled"] * arrays["factors"][:, 0]).sum()
  loss.backward()
  for parameter in model.parameters():
    if parameter.grad is None:  # nothing reads the pooler of a BigBird of language
      parameter.grad = torch.zeros_like(parameter)
  arrays = {key: value.detach().numpy() for key, value in arrays.items()}
  arrays |= {f"d {key}": grad for key, grad in gradients(model).items()}
  np.savez_compressed(folder / "answers.npz", **arrays)
  print(name, json.dumps(settings))


def _answers(model, config):
  """Runs the model on texts of several lengths; its outputs are those of its head."""
  import torch

  mask = torch.arange(LENGTH)[None] < torch.tensor(LENGTHS)[:, None]  # [B, T]
  # padding and what it is called stand in no text
  tokens = torch.randint(4, config.vocab_size, (ROWS, LENGTH))
  padding = config.pad_token_id or 0
  inputs = {"input_ids": torch.where(mask, tokens, padding), "attention_mask": mask}
  answers = {"tokens": inputs["input_ids"], "length": torch.tensor(LENGTHS)}
  # our masked language model reads texts of one type
  has_types = not type(model).__name__.endswith("MaskedLM")
  if has_types and getattr(config, "type_vocab_size", 0) > 1:
    kinds = torch.arange(LENGTH)[None] > torch.tensor(LENGTHS)[:, None] // 2
    answers["types"] = (kinds & mask).long()
    inputs["token_type_ids"] = answers["types"]
  if config.model_type == "longformer":  # its first token reads the whole text
    inputs["global_attention_mask"] = (torch.arange(LENGTH)[None] == 0) & mask
  output = model(**inputs, output_hidden_states=True)
  answers["hidden"] = output.hidden_states[-1]
  if "start_logits" in output:
    outputs = torch.stack([output.start_logits, output.end_logits], -1)  # [B, T, 2]
  elif "logits" in output:
    outputs = output.logits
  else:
    outputs = output.last_hidden_state
  if outputs.ndim == 3:  # the loss reads no padding
    outputs = torch.where(mask[..., None], outputs, 0)
  answers["outputs"] = outputs
  if "pooler_output" in output:
    answers["pooled"] = output.pooler_output
  answers["factors"] = torch.randn(outputs.shape)
  return answers


if __name__ == "__main__":
  for each in sys.argv[1:] or MODELS:
    make(each)
