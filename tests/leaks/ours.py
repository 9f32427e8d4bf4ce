"""Control rows: our mixers, and two layers that are broken on purpose."""

import jax.numpy as jnp
from flax import linen as nn

from jaxmem import mixers
from jaxmem.layers.primitives import ShortConv
from jaxmem.testing import example_of

from .layer import D_MODEL, Layer, of_module

NAMES = ("gated_delta", "mamba2", "rglru", "mlstm", "slstm", "gla", "rwkv7", "lstm")


def _parts(d_model: int) -> tuple[nn.Module, nn.Module]:
  return ShortConv(d_model), mixers.get("rglru").Mixer(d_model)


class ForgetsToReset(nn.Module):
  """Broken on purpose: its recurrence is reset, its short convolution is not."""

  d_model: int

  def setup(self):
    self.convolution, self.recurrence = _parts(self.d_model)

  def __call__(self, x, state, reset=None):
    conv, recurrence = state
    x, conv = self.convolution(x, conv)
    y, recurrence = self.recurrence(x, recurrence, reset)
    return y, (conv, recurrence)

  @nn.nowrap
  def init_state(self, batch_size):
    """Returns the empty memories of both parts."""
    return tuple(part.init_state(batch_size) for part in _parts(self.d_model))


class AveragesOverTime(nn.Module):
  """Broken on purpose: it divides by the root mean square over a whole call."""

  d_model: int

  @nn.compact
  def __call__(self, x, state, reset=None):
    x = x / jnp.sqrt(jnp.mean(x * x, axis=1, keepdims=True))
    return mixers.get("rglru").Mixer(self.d_model)(x, state, reset)

  @nn.nowrap
  def init_state(self, batch_size):
    """Returns the empty memory of the recurrence."""
    return mixers.get("rglru").Mixer(self.d_model).init_state(batch_size)


def layers() -> list[Layer]:
  """Returns the control rows."""
  fields = {"package": "jaxmem", "told": "`reset`", "claims": True}
  rows = [
    of_module(
      mixers.get(name).Mixer(d_model=D_MODEL, **example_of(name)),
      name=f"jaxmem {name}",
      path="JAX, the form that users get",
      **fields,
    )
    for name in NAMES
  ]
  on_purpose = {"path": "JAX", "note": "Broken on purpose: it has to fail."}
  return [
    *rows,
    of_module(
      ForgetsToReset(D_MODEL), name="control: no reset of the convolution",
      **fields, **on_purpose,
    ),
    of_module(
      AveragesOverTime(D_MODEL), name="control: a mean over the call",
      **fields, **on_purpose,
    ),
  ]  # fmt: skip
