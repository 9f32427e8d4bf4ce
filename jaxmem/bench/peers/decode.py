"""Models of 11 M parameters that write: transformers', and torch by hand."""

import numpy as np

from jaxmem.bench.case import Peer
from jaxmem.bench.decode import CONTEXT, NEW, VOCAB, WIDTH


def _torch_decode(case):
  """Builds a Llama-like transformer of 8 layers, eager, with a cache allocated once."""
  import torch
  from torch.nn import functional as F

  quick = len(case.draw()[1][0][0]) < CONTEXT
  layers, heads, hidden = (1, 2, 32) if quick else (8, 5, 853)
  width = 40 if quick else WIDTH
  torch.manual_seed(0)

  def weight(*shape):
    return torch.randn(*shape) * shape[0] ** -0.5

  table = weight(VOCAB, width)
  blocks = [
    (
      weight(width, 3 * width),
      weight(width, width),
      weight(width, 2 * hidden),
      weight(hidden, width),
    )
    for _ in range(layers)
  ]
  size = width // heads
  frequencies = 10_000.0 ** (-torch.arange(0, size, 2) / size)
  cache = torch.randn(2, layers, 1, heads, CONTEXT + NEW, size)

  def rotated(x, position):
    angles = position * frequencies
    cos, sin = torch.cos(angles), torch.sin(angles)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

  def step(token, position):
    x = table[token]  # [1, 1, D]
    for i, (qkv, out, up, down) in enumerate(blocks):
      y = F.rms_norm(x, (width,)) @ qkv
      q, k, v = y.view(1, 1, 3, heads, size).permute(2, 0, 3, 1, 4)  # [1, H, 1, K]
      cache[0, i, :, :, position] = rotated(k, position)[:, :, 0]
      cache[1, i, :, :, position] = v[:, :, 0]
      keys, values = cache[:, i, :, :, : position + 1]  # [1, H, position + 1, K]
      y = F.scaled_dot_product_attention(rotated(q, position), keys, values)
      x = x + y.reshape(1, 1, width) @ out
      gate, value = (F.rms_norm(x, (width,)) @ up).chunk(2, dim=-1)
      x = x + (F.silu(gate) * value) @ down
    return (F.rms_norm(x, (width,)) @ table.T).argmax(-1)

  def run(token):
    token = token.long()
    for position in range(CONTEXT, CONTEXT + NEW):
      token = step(token, position)
    return token

  return run, (np.ones((1, 1), np.float32),)


def _transformers_generate(case):
  """Builds Mamba-2 of 15 layers without MLPs, 11.3 M; ours has 8 with MLPs, 11.0 M."""
  from transformers import Mamba2Config, Mamba2ForCausalLM

  prompt = np.asarray(case.draw()[1][0])
  size = dict(hidden_size=WIDTH, head_dim=64, num_heads=10, num_hidden_layers=15)
  if prompt.shape[1] < CONTEXT:
    size = dict(hidden_size=32, head_dim=16, num_heads=4, num_hidden_layers=1)
  config = Mamba2Config(
    vocab_size=VOCAB,
    state_size=64,
    n_groups=1,
    chunk_size=256,
    eos_token_id=None,
    tie_word_embeddings=True,
    **size,
  )
  model = Mamba2ForCausalLM(config).eval()
  options = dict(max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False)

  def run(prompt):
    return model.generate(prompt.long(), use_cache=True, **options)

  return run, (prompt.astype(np.float32),)


def _torch_copy(case):
  """Copies the bytes of the cache once a token, a bound for any step that reads it."""
  import torch

  cache = [np.asarray(a) for a in case.draw()[2][:2]]
  copies = [torch.empty(a.shape) for a in cache]

  def run(k, v):
    for _ in range(NEW):
      copies[0].copy_(k)
      copies[1].copy_(v)
    return copies[0][0, 0]

  return run, tuple(cache)


PEERS = {
  "torch_copy": Peer(
    "torch copy_ of the cache",
    "torch",
    "decode_cache",
    "torch",
    _torch_copy,
    same=False,
  ),
  "torch_decode": Peer(
    "torch eager, KV cache", "torch", "decode", "torch", _torch_decode, same=False
  ),
  "transformers_generate": Peer(
    "transformers Mamba2 generate",
    "transformers",
    "decode_mamba2",
    "torch",
    _transformers_generate,
    same=False,
  ),
}
