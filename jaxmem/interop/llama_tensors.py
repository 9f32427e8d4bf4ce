"""The tensors of a Llama: names and shapes in a GGUF file, and their parameters."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array

from jaxmem.core.errors import DataError


class Sizes(NamedTuple):
  """The sizes of a Llama.

  Attributes:
    layers: the number of layers.
    heads: the number of query heads.
    key_heads: the number of key and value heads.
    key_dim: K, the size of a head.
    d_model: D, the width of the residual stream.
    d_ff: F, the width of the MLP.
    words: the size of the vocabulary.
  """

  layers: int
  heads: int
  key_heads: int
  key_dim: int
  d_model: int
  d_ff: int
  words: int


class LlamaTensor(NamedTuple):
  """How a tensor of the file becomes a parameter.

  Attributes:
    path: the parameter's path in a block.
    shape: the tensor's shape in the file, outputs first.
    split: the axes of `shape`, taken apart.
    order: the order of these axes in the parameter.
    adds: whether the tensor adds to the residual stream.
  """

  path: tuple[str, ...]
  shape: tuple[int, ...]
  split: tuple[int, ...]
  order: tuple[int, ...]
  adds: bool = False


def layer_tensors(sizes: Sizes) -> dict[str, LlamaTensor]:
  """Returns the tensors of a layer by name, `blk.0.attn_q.weight` as `attn_q`."""
  _, heads, key_heads, size, d, f, _ = sizes

  def norm(*path):
    return LlamaTensor(path, shape=(d,), split=(d,), order=(0,))

  def matrix(*path, rows, columns, adds=False):
    shape = rows, columns
    return LlamaTensor(path, shape, split=shape, order=(1, 0), adds=adds)

  def rotated(*path, count):
    # Rotary position embedding rotates pairs of channels: the file has them side by
    # side, our parameters have them K/2 apart.
    split = count, size // 2, 2, d
    return LlamaTensor(path, (count * size, d), split, order=(3, 0, 2, 1))

  return {
    "attn_norm": norm("mixer_norm", "scale"),
    "attn_q": rotated("mixer", "q", "kernel", count=heads),
    "attn_k": rotated("mixer", "k", "kernel", count=key_heads),
    "attn_v": LlamaTensor(
      ("mixer", "v", "kernel"),
      shape=(key_heads * size, d),
      split=(key_heads, size, d),
      order=(2, 0, 1),
    ),
    "attn_output": LlamaTensor(
      ("mixer", "out", "kernel"),
      shape=(d, heads * size),
      split=(d, heads, size),
      order=(1, 2, 0),
      adds=True,
    ),
    "ffn_norm": norm("mlp_norm", "scale"),
    "ffn_gate": matrix("mlp", "gate", "kernel", rows=f, columns=d),
    "ffn_up": matrix("mlp", "up", "kernel", rows=f, columns=d),
    "ffn_down": matrix("mlp", "down", "kernel", rows=d, columns=f, adds=True),
  }


def to_param(
  name: str, tensor: np.ndarray | Array, spec: LlamaTensor
) -> np.ndarray | Array:
  """Converts a tensor of the file to a parameter of a block.

  Args:
    name: the tensor's name, for messages.
    tensor: the tensor, outputs before inputs.
    spec: how it becomes a parameter.

  Raises:
    DataError: if it has another shape.
  """
  if tensor.shape != spec.shape:
    raise DataError(f"{name} is {list(tensor.shape)}, not {list(spec.shape)}")
  a = tensor.reshape(spec.split).transpose(spec.order)
  if len(spec.split) == 4:  # [D, H, 2, K/2] -> [D, H, K]
    a = a.reshape(*a.shape[:2], -1)
  return a


def to_tensor(a: np.ndarray, spec: LlamaTensor) -> np.ndarray:
  """Converts a parameter of a block to a tensor of the file; undoes `to_param`."""
  apart = a.reshape([spec.split[i] for i in spec.order])
  return apart.transpose(np.argsort(spec.order)).reshape(spec.shape)
