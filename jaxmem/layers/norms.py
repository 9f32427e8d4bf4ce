"""Norms around layers, described as data: RMS or layer norm, epsilon, offset, bias."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.layers.primitives import EPSILON, named
from jaxmem.ops.recurrence import scan

Kind = Literal["rms", "layer"]


@dataclasses.dataclass(frozen=True)
class Norm:
  """Describes a norm of D features.

      rms:    x / sqrt(mean x^2 + epsilon) * (offset + scale)
      layer:  (x - mean) / sqrt(var + epsilon) * (offset + scale) + bias

  Attributes:
    kind: "rms" or "layer"; both compute means in float32.
    epsilon: added under the root.
    offset: added to the scale: 1 in Gemma, where weight decay and zeros lead to the
      scale 1; else 0.
    bias: adds a bias to a layer norm.

  Source: Zhang and Sennrich 2019, arXiv:1910.07467; Ba et al. 2016, arXiv:1607.06450.
  """

  kind: Kind = "rms"
  epsilon: float = EPSILON
  offset: float = 0.0
  bias: bool = True

  def make(self, name: str, dtype: str) -> nn.Module:
    """Returns the module of this norm.

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
  """A norm that adds `norm.offset` to its scale, with the same parameters.

  Attributes:
    norm: describes it.
    dtype: of the result.
    axis_name: logical name of the scale's axis.
  """

  norm: Norm
  dtype: str = "float32"
  axis_name: str | None = "embed"

  @nn.compact
  def __call__(self, x: Float[Array, "B T *H D"]) -> Float[Array, "B T *H D"]:
    # the norm begins with a scale of 1, whatever its offset
    first = nn.initializers.constant(1.0 - self.norm.offset)
    shape = (x.shape[-1],)
    axes = (self.axis_name,)
    scale = self.param("scale", named(first, axes, decay=False), shape)
    # in float32 up to the end, so that the scale is not rounded beside its offset
    y = self.norm._plain("float32", use_scale=False, name="unit")(x)  # [B, T, *H, D]
    y = y * scan.per_channel(self.norm.offset + scale, y)
    if self.norm.kind == "layer" and self.norm.bias:
      zeros = named(nn.initializers.zeros, axes, decay=False)
      y = y + scan.per_channel(self.param("bias", zeros, shape), y)
    return y.astype(self.dtype)


# The layer norm of BERT.
LAYER_NORM = Norm("layer", 1e-12)
