"""Makes tiny encoder-decoders with transformers, and what they answer.

    PYTHONPATH=tests python -m interop.make_seq2seq_folders [NAME ...]

As in `make_folders` every parameter is moved from its first value; the two stacks have
other numbers of layers, and the rows that are read other lengths.
"""

import sys
import zlib

import numpy as np

from interop.make_folders import DRAWN, FOLDERS, gradients

LENGTHS, WRITTEN = (23, 9), 19  # tokens that are read, and that are written
_T5 = {
  "vocab_size": 37,
  "d_model": 16,
  "d_kv": 6,
  "d_ff": 24,
  "num_layers": 2,
  "num_decoder_layers": 3,
  "num_heads": 3,
  "relative_attention_num_buckets": 8,
  "relative_attention_max_distance": 12,
  "pad_token_id": None,
  "decoder_start_token_id": 0,
}
_BART = {
  "vocab_size": 37,
  "d_model": 16,
  "encoder_layers": 3,
  "decoder_layers": 2,
  "encoder_attention_heads": 2,
  "decoder_attention_heads": 4,
  "encoder_ffn_dim": 24,
  "decoder_ffn_dim": 24,
  "max_position_embeddings": 40,
  "pad_token_id": None,
  "bos_token_id": 0,
  "eos_token_id": 2,
  "decoder_start_token_id": 2,
}
# Name of the folder -> model type and settings.
SEQ2SEQ = {
  "t5": ("t5", _T5),
  "t5_v1_1": (
    "t5",
    _T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
  ),
  "bart": ("bart", _BART),
  "mbart": ("mbart", _BART | {"activation_function": "relu", "scale_embedding": True}),
  "pegasus": (
    "pegasus",
    _BART | {"activation_function": "gelu_new", "scale_embedding": True},
  ),
}
SEQ2SEQ["led"] = (
  "led",
  {k: v for k, v in _BART.items() if not k.startswith("max")}
  | {
    "attention_window": 6,
    "max_encoder_position_embeddings": 32,
    "max_decoder_position_embeddings": 36,
    "pad_token_id": 1,
  },
)
# Buffers that are parameters here: torch moves none of them, and gives no gradient.
_BUFFERS = ("final_logits_bias", "embed_positions.weight")


def make(name: str) -> None:
  """Writes a folder with a model, and `answers.npz` with its logits and gradients."""
  import torch
  from transformers import AutoConfig, AutoModelForSeq2SeqLM

  model_type, settings = SEQ2SEQ[name]
  torch.manual_seed(zlib.crc32(name.encode()))
  config = AutoConfig.for_model(model_type, **settings)
  model = AutoModelForSeq2SeqLM.from_config(config).eval()
  if settings.get("tie_word_embeddings") is False:
    # transformers ties it all the same, unless a folder has two tables
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
  tensors = dict(model.named_parameters()) | dict(model.named_buffers())
  with torch.no_grad():
    for key, tensor in tensors.items():
      if not isinstance(tensor, torch.nn.Parameter) and not key.endswith(_BUFFERS):
        continue
      moved = 0.3 * torch.randn_like(tensor)
      scale = tensor.ndim == 1 and key.endswith("weight")
      tensor.copy_(tensor + moved if scale else moved)
  for tensor in model.parameters():
    tensor.requires_grad_(True)
  folder = FOLDERS / name
  model.save_pretrained(folder)
  (folder / "generation_config.json").unlink(missing_ok=True)
  rows = len(LENGTHS)
  # from 2 on: torch gives the row of the padding no gradient
  read = torch.randint(2, config.vocab_size, (rows, max(LENGTHS)))
  mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
  tokens = torch.randint(2, config.vocab_size, (rows, WRITTEN))
  tokens[:, 0] = config.decoder_start_token_id
  inputs = {"input_ids": read, "attention_mask": mask.long()}
  if model_type == "led":
    inputs["global_attention_mask"] = torch.zeros_like(read)
    inputs["global_attention_mask"][:, 0] = 1
  logits = model(**inputs, decoder_input_ids=tokens).logits
  loss = torch.nn.functional.cross_entropy(
    logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
  )
  loss.backward()
  answers = {"read": read, "tokens": tokens, "logits": logits, "loss": loss}
  answers["greedy"] = _greedy(model, inputs, tokens[:, :1])
  arrays = {key: value.detach().numpy() for key, value in answers.items()}
  named = gradients(model).items()
  arrays |= {f"d {k}": g for k, g in named if k != "final_logits_bias"}
  np.savez_compressed(folder / "answers.npz", **arrays)
  print(name, loss.item())


def _greedy(model, inputs, tokens):
  """The likeliest tokens, each model call reading the text from its beginning."""
  import torch

  for _ in range(DRAWN):
    logits = model(**inputs, decoder_input_ids=tokens).logits
    tokens = torch.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
  return tokens[:, 1:]


if __name__ == "__main__":
  for each in sys.argv[1:] or SEQ2SEQ:
    make(each)
