"""Tensors of a file and parameters of a model: their names, places and layouts.

A `Layout` takes the axes of a tensor apart, orders them and joins them again, so it is
undone exactly: what is read and written again is bitwise the same.
"""

import itertools
import math
from collections.abc import Mapping
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
    backwards: axes of the parameter that run the other way.
    negative: the parameter has the other sign.
  """

  tensor: tuple[int, ...]
  split: tuple[int, ...]
  order: tuple[int, ...]
  param: tuple[int, ...]
  backwards: tuple[int, ...] = ()
  negative: bool = False

  def to_param(self, tensor: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns the parameter that a tensor becomes."""
    param = tensor.reshape(self.split).transpose(self.order).reshape(self.param)
    param = np.flip(param, self.backwards)
    return -param if self.negative else param

  def to_tensor(self, param: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns the tensor that a parameter was; undoes `to_param`."""
    param = np.flip(-param if self.negative else param, self.backwards)
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


def conv_taps(channels: int, taps: int) -> Layout:
  """Returns that of a convolution of channels: [C, 1, L] becomes [L, C].

  The tensor begins with the tap of the oldest token, the parameter with the newest's.
  """
  split = channels, taps
  return Layout((channels, 1, taps), split, (1, 0), (taps, channels), (0,))


class Part(NamedTuple):
  """A stretch of an axis of an array.

  Attributes:
    shape: of the whole array, with its axes as a file or the parameters have them.
    axis: of the array.
    start: where the part begins on it.
    stop: where the next one begins.
    split: the axes taken apart, if the axis is one of these; empty is `shape`.
  """

  shape: tuple[int, ...]
  axis: int
  start: int
  stop: int
  split: tuple[int, ...] = ()

  def of(self, whole: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns a view of the part, in the axes of `split`."""
    apart = whole.reshape(self.split or self.shape)
    return apart[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


# How many rows of a matrix are transposed at once: their lines fit into a cache.
_ROWS = 64


def copy(target: Shaped[np.ndarray, "..."], source: Shaped[np.ndarray, "..."]) -> None:
  """Copies an array into another one, a transposed one in blocks.

  NumPy walks along one of two transposed arrays and touches a new line of the cache for
  each number of the other: at 768 x 3352 that takes four times as long.

  Args:
    target: is written.
    source: of the same shape, and any dtype.
  """
  axes = [axis for axis, size in enumerate(source.shape) if size > 1]
  near = min(axes, key=lambda axis: abs(source.strides[axis]), default=0)
  behind = [axis for axis in axes if axis > near]
  sizes = [source.shape[axis] for axis in behind]
  if math.prod(sizes) <= _ROWS:
    target[...] = source
    return
  step = max(_ROWS // math.prod(sizes[1:]), 1)
  for begin in range(0, sizes[0], step):
    block = (slice(None),) * behind[0] + (slice(begin, begin + step),)
    copy(target[block], source[block])


class Rule(NamedTuple):
  """A tensor, and the parameter that it becomes.

  Several rules may have one name, or one path, where a file keeps in one tensor what
  are several parameters, or the other way around; each then has the parts that it is
  about.

  Attributes:
    name: of the tensor; in the rule of a layer "{}" stands for its number.
    path: of the parameter, joined by "/"; of a layer, within its block.
    layout: see `Layout`; it is that of the parts where there are such.
    source: the part of the tensor that is meant; None is all of it.
    target: the part of the parameter that it becomes, whose `split` is empty; None is
      all of it.
  """

  name: str
  path: str
  layout: Layout
  source: Part | None = None
  target: Part | None = None

  @property
  def size(self) -> int:
    """How many numbers it has."""
    return math.prod(self.layout.tensor)

  @property
  def tensor_shape(self) -> tuple[int, ...]:
    """The shape of the whole tensor."""
    return self.source.shape if self.source else self.layout.tensor

  @property
  def param_shape(self) -> tuple[int, ...]:
    """The shape of the whole parameter; in a group, that of a row."""
    return self.target.shape if self.target else self.layout.param

  @property
  def begins(self) -> tuple[int, ...]:
    """Where its numbers begin on each axis of the parameter."""
    begins = [0] * len(self.param_shape)
    if self.target:
      begins[self.target.axis] = self.target.start
    return tuple(begins)

  def to_param(self, tensor: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Returns the part of the parameter that a tensor becomes."""
    if self.source:
      tensor = self.source.of(tensor)
    return self.layout.to_param(tensor)

  def write(
    self, tensor: Shaped[np.ndarray, "..."], param: Shaped[np.ndarray, "..."]
  ) -> None:
    """Writes a parameter into its part of a tensor; undoes `to_param`."""
    param = self.target.of(param) if self.target else param
    tensor = self.source.of(tensor) if self.source else tensor
    copy(tensor, self.layout.to_tensor(param).reshape(tensor.shape))


def joined(path: str, layouts: Mapping[str, Layout], axis: int) -> list[Rule]:
  """Returns rules of tensors that lie behind one another in one parameter.

  Args:
    path: of the parameter.
    layouts: name of each tensor -> the layout of its part.
    axis: of the parameter, along which the parts lie.
  """
  stops = list(itertools.accumulate(x.param[axis] for x in layouts.values()))
  rules = []
  for (name, layout), stop in zip(layouts.items(), stops, strict=True):
    shape = list(layout.param)
    shape[axis] = stops[-1]
    target = Part(tuple(shape), axis, stop - layout.param[axis], stop)
    rules.append(Rule(name, path, layout, target=target))
  return rules


def divided(name: str, layouts: Mapping[str, Layout]) -> list[Rule]:
  """Returns rules of parameters that lie behind one another in one tensor.

  Args:
    name: of the tensor.
    layouts: path of each parameter -> the layout of its part, on the first axis.
  """
  stops = list(itertools.accumulate(x.tensor[0] for x in layouts.values()))
  rules = []
  for (path, layout), stop in zip(layouts.items(), stops, strict=True):
    shape = (stops[-1], *layout.tensor[1:])
    source = Part(shape, 0, stop - layout.tensor[0], stop)
    rules.append(Rule(name, path, layout, source=source))
  return rules


def biased(name: str, path: str, weight: Layout, bias: Layout) -> list[Rule]:
  """Returns the rules of a linear map or of a norm with a bias.

  Args:
    name: of its tensors, without ".weight" and ".bias".
    path: of the parameter of the weight; that of the bias lies beside it.
    weight: the layout of the weight.
    bias: that of the bias.
  """
  beside = path.rpartition("/")[0]
  return [
    Rule(f"{name}.weight", path, weight),
    Rule(f"{name}.bias", f"{beside}/bias", bias),
  ]
