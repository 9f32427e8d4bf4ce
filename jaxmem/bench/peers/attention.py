"""Attention: that of torch, of JAX and of transformers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.bench.case import Case, Peer


def _heads_first(case: Case) -> tuple:
  """Returns [B, T, H, K] as contiguous [B, H, T, K], the layout that torch has."""
  _, inputs, _ = case.draw()
  return tuple(np.ascontiguousarray(a.swapaxes(1, 2)) for a in inputs)


def _torch_sdpa(case):
  import torch

  attend = torch.nn.functional.scaled_dot_product_attention
  return functools.partial(attend, is_causal=True), _heads_first(case)


def _torch_window(case):
  """Masks blocks of W queries on 2 W keys, which is torch's fastest way at long T."""
  import torch

  size = case.draw()[2].k.shape[1]
  query, key = torch.arange(size)[:, None], torch.arange(2 * size)
  near = (key > query) & (key <= query + size)

  def blocks(a):
    a = torch.nn.functional.pad(a, (0, 0, size, 0)).unflatten(2, (-1, size))
    return torch.cat([a[:, :, :-1], a[:, :, 1:]], dim=3)  # [B, H, T/W, 2 W, K]

  def attend(q, k, v):
    count = q.shape[2] // size
    mask = near.repeat(count, 1, 1)  # [T/W, W, 2 W]
    mask[0, :, :size] = False  # nothing stands before the first block
    y = torch.nn.functional.scaled_dot_product_attention(
      q.unflatten(2, (-1, size)).flatten(0, 1),  # [B H, T/W, W, K]
      blocks(k).flatten(0, 1),
      blocks(v).flatten(0, 1),
      attn_mask=mask,
    )
    return y.flatten(1, 2).unflatten(0, q.shape[:2])  # [B, H, T, K]

  return attend, _heads_first(case)


def _transformers_longformer(case):
  """Builds the layer of the same size; the mask makes the first tokens global."""
  import torch
  from transformers import LongformerConfig
  from transformers.models.longformer import modeling_longformer

  (x,) = case.draw()[1]
  size, window, count = x.shape[-1], *map(int, re.findall(r"\d+", case.title)[:2])
  config = LongformerConfig(
    hidden_size=size,
    num_attention_heads=4,
    attention_window=[window],
    attention_probs_dropout_prob=0.0,
  )
  layer = modeling_longformer.LongformerSelfAttention(config, layer_id=0)
  mask = torch.zeros(x.shape[:2])
  mask[:, :count] = 10_000.0  # above 0 is global, below 0 is padding
  masks = dict(
    attention_mask=mask,
    is_index_masked=mask < 0,
    is_index_global_attn=mask > 0,
    is_global_attn=True,
  )
  return lambda x: layer(x, **masks)[0], (x,)


def _dense(case):
  """Attends between all pairs of as many tokens, without projections."""
  import torch

  (x,) = case.draw()[1]
  qkv = np.broadcast_to(
    x.reshape(1, -1, 4, 64).swapaxes(1, 2), (3, 1, 4, x.shape[1], 64)
  )
  attend = torch.nn.functional.scaled_dot_product_attention
  return attend, tuple(map(np.ascontiguousarray, qkv))


def _jax_nn_attention(case):
  attend = functools.partial(jax.nn.dot_product_attention, is_causal=True)
  return attend, tuple(map(jnp.asarray, case.draw()[1]))


PEERS = {
  "torch_sdpa": Peer("torch SDPA", "torch", "attention", "torch", _torch_sdpa),
  "transformers_longformer": Peer(
    "transformers LongformerSelfAttention",
    "transformers",
    "longformer_layer",
    "torch",
    _transformers_longformer,
    same=False,
  ),
  "torch_dense": Peer(
    "torch SDPA, dense", "torch", "longformer_layer", "torch", _dense, same=False
  ),
  "torch_sdpa_16k": Peer("torch SDPA", "torch", "attention_16k", "torch", _torch_sdpa),
  "jax_nn_attention": Peer(
    "jax.nn.dot_product_attention", "jax", "attention", "jax", _jax_nn_attention
  ),
  "torch_window": Peer(
    "torch SDPA, blocks of 2 W", "torch", "window", "torch", _torch_window
  ),
}
