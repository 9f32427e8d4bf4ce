"""Attention: torch's and JAX's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.bench.case import Case, Peer


def _heads_first(case: Case) -> tuple:
  """[B, T, H, K] -> [B, H, T, K], contiguous: the layout torch's attention wants."""
  _, inputs, _ = case.draw()
  return tuple(np.ascontiguousarray(a.swapaxes(1, 2)) for a in inputs)


def _torch_sdpa(case):
  import torch

  attend = torch.nn.functional.scaled_dot_product_attention
  return functools.partial(attend, is_causal=True), _heads_first(case)


def _torch_window(case):
  """Blocks of W queries on 2 W keys under a mask: torch's fastest way at long T."""
  import torch

  size = case.draw()[2].k.shape[1]
  query, key = torch.arange(size)[:, None], torch.arange(2 * size)
  near = (key > query) & (key <= query + size)

  def blocks(a):
    a = torch.nn.functional.pad(a, (0, 0, size, 0)).unflatten(2, (-1, size))
    return torch.cat([a[:, :, :-1], a[:, :, 1:]], dim=3)  # [B, H, T/W, 2 W, K]

  def attend(q, k, v):
    count = q.shape[2] // size
    seen = near.repeat(count, 1, 1)
    seen[0, :, :size] = False  # nothing stands before the first block
    flat = lambda a: a.flatten(0, 1)
    y = torch.nn.functional.scaled_dot_product_attention(
      *(flat(a) for a in (q.unflatten(2, (-1, size)), blocks(k), blocks(v))),
      attn_mask=seen,
    )
    return y.flatten(1, 2).unflatten(0, q.shape[:2])

  return attend, _heads_first(case)


def _jax_nn_attention(case):
  attend = functools.partial(jax.nn.dot_product_attention, is_causal=True)
  return attend, tuple(map(jnp.asarray, case.draw()[1]))


PEERS = {
  "torch_sdpa": Peer("torch SDPA", "torch", "attention", "torch", _torch_sdpa),
  "jax_nn_attention": Peer(
    "jax.nn.dot_product_attention", "jax", "attention", "jax", _jax_nn_attention
  ),
  "torch_window": Peer(
    "torch SDPA, blocks of 2 W", "torch", "window", "torch", _torch_window
  ),
}
