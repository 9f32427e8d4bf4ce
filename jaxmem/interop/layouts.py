"""Tensors of a file and parameters of a model: their names, places and layouts.

A `Layout` takes the axes of a tensor apart, orders them and joins them again, so it is
undone exactly: what is read and written again is bitwise the same.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped


class Layout(NamedTuple):
  """How the axes of a tensor become those of a parameter.

  Attributes:
    tensor: the shape of the tensor.
    split: its axes, taken apart.
    order: the order of these axes in the parameter.
    param: the shape of the parameter.
  """

  tensor: tuple[int, ...]
  split: tuple[int, ...]
  order: tuple[int, ...]
  param: tuple[int, ...]

  def to_param(self, tensor: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns the parameter that a tensor becomes."""
    return tensor.reshape(self.split).transpose(self.order).reshape(self.param)

  def to_tensor(self, param: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns the tensor that a parameter was; undoes `to_param`."""
    apart = param.reshape([self.split[axis] for axis in self.order])
    return apart.transpose(np.argsort(self.order)).reshape(self.tensor)


def same(*shape: int) -> Layout:
  """Returns the layout of a parameter that is the tensor."""
  return Layout(shape, shape, tuple(range(len(shape))), shape)


def matrix(inputs: int, outputs: int) -> Layout:
  """Returns that of a linear map, whose tensor has outputs before inputs."""
  return Layout((outputs, inputs), (outputs, inputs), (1, 0), (inputs, outputs))


def to_heads(inputs: int, heads: int, size: int) -> Layout:
  """Returns that of a map to heads: [H K, D] becomes [D, H, K]."""
  split = heads, size, inputs
  return Layout((heads * size, inputs), split, (2, 0, 1), (inputs, heads, size))


def from_heads(heads: int, size: int, outputs: int) -> Layout:
  """Returns that of a map from heads: [D, H K] becomes [H, K, D]."""
  split = outputs, heads, size
  return Layout((outputs, heads * size), split, (1, 2, 0), (heads, size, outputs))


def of_heads(heads: int, size: int) -> Layout:
  """Returns that of a number for each channel of each head: [H K] becomes [H, K]."""
  return Layout((heads * size,), (heads, size), (0, 1), (heads, size))


class Rule(NamedTuple):
  """A tensor, and the parameter that it becomes.

  Attributes:
    name: of the tensor; in the rule of a layer "{}" stands for its number.
    path: of the parameter, joined by "/"; of a layer, within its block.
    layout: see `Layout`.
  """

  name: str
  path: str
  layout: Layout

  @property
  def size(self) -> int:
    """How many numbers it has."""
    return math.prod(self.layout.tensor)
