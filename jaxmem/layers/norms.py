"""The norms around layers, as data: RMS or layer norm, epsilon, offset, bias."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.core.typing import Activations
from jaxmem.layers.primitives import EPSILON, named
from jaxmem.ops.recurrence import scan

Kind = Literal["rms", "layer"]


@dataclasses.dataclass(frozen=True)
class Norm:
  """Which norm.

      rms:    x / sqrt(mean x^2 + epsilon) * (offset + scale)
      layer:  (x - mean) / sqrt(var + epsilon) * (offset + scale) + bias

  Attributes:
    kind: "rms" or "layer"; means are in float32 under either.
    epsilon: under the root.
    offset: what the scale is counted from: 1 in Gemma, so that weight decay and zeros
      mean no scale; else 0.
    bias: layer norms add one.

  Source: Zhang and Sennrich 2019, arXiv:1910.07467; Ba et al. 2016, arXiv:1607.06450.
  """

  kind: Kind = "rms"
  epsilon: float = EPSILON
  offset: float = 0.0
  bias: bool = True

  def make(self, name: str, dtype: str) -> nn.Module:
    """The module of the norm of D features.

    Args:
      name: of the submodule.
      dtype: of the result.
    """
    if self.offset:
      return OffsetNorm(self, dtype, name=name)
    return self._plain(dtype, name=name)

  def _plain(self, dtype: str, use_scale: bool = True, **fields) -> nn.Module:
    ones = named(nn.initializers.ones, ("embed",), decay=False)
    fields |= {"epsilon": self.epsilon, "dtype": jnp.dtype(dtype)}
    fields |= {"use_scale": use_scale, "scale_init": ones}
    if self.kind == "rms":
      return nn.RMSNorm(**fields)
    zeros = named(nn.initializers.zeros, ("embed",), decay=False)
    use_bias = self.bias and use_scale
    return nn.LayerNorm(**fields, use_bias=use_bias, bias_init=zeros)


class OffsetNorm(nn.Module):
  """A norm whose scale is counted from `norm.offset`, with the same parameters.

  Attributes:
    norm: which norm.
    dtype: of the result.
  """

  norm: Norm
  dtype: str = "float32"

  @nn.compact
  def __call__(self, x: Activations) -> Activations:
    first = nn.initializers.constant(1.0 - self.norm.offset)
    shape = (x.shape[-1],)
    scale = self.param("scale", named(first, ("embed",), decay=False), shape)
    # in float32 up to the end, so that the scale is not rounded beside its offset
    y = self.norm._plain("float32", use_scale=False, name="unit")(x)  # [B, T, D]
    y = y * scan.per_channel(self.norm.offset + scale, y)
    if self.norm.kind == "layer" and self.norm.bias:
      zeros = named(nn.initializers.zeros, ("embed",), decay=False)
      y = y + scan.per_channel(self.param("bias", zeros, shape), y)
    return y.astype(self.dtype)


# BERT's.
LAYER_NORM = Norm("layer", 1e-12)
