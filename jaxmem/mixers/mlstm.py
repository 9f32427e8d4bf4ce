"""mLSTM: exponential input gates, sigmoid forget gates, a norm and an output gate.

Source: Beck et al. 2024, arXiv:2405.04517, section 2.3 (the cell); Beck et al. 2025,
arXiv:2503.13427, section 3.2 (the layer of xLSTM 7B: no convolution, capped gates).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.gated_linear import GatedLinear
from jaxmem.layers.mixer import OpState
from jaxmem.layers.primitives import dense, head_norm, named
from jaxmem.ops import mlstm

INPUT_BIAS = -10.0  # so that little is written at first


def _forget_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """From 3 to 6 over the heads: a memory of 20 to 400 tokens at first."""
  return jnp.asarray(np.linspace(3.0, 6.0, shape[0]), dtype)


class MLSTM(GatedLinear):
  """An mLSTM layer; D H (2 K + 3 V) + 2 D H + H (V + 2) parameters.

  State: 4 H (K V + K + 1) bytes a row.

      from jaxmem.mixers.mlstm import MLSTM
      mixer = MLSTM(d_model=64, num_heads=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    key_dim: K, a head's; 0 is half of D/H.
    gate_cap: the gates are capped to c tanh(gate / c).
    norm_epsilon: of the norm of every head.
    others: see `GatedLinear`.
  """

  gate_cap: float = number(15.0, above=0)
  norm_epsilon: float = number(1e-6, above=0)

  key_share: ClassVar[int] = 2

  @nn.compact
  def __call__(
    self, x: Activations, state: mlstm.State, reset: Reset | None = None
  ) -> tuple[Activations, mlstm.State]:
    i = self._capped(x, "input", nn.initializers.constant(INPUT_BIAS))  # [B, T, H]
    f = jax.nn.log_sigmoid(self._capped(x, "forget", _forget_init))  # [B, T, H]
    self.sow("intermediates", "log_input", i)
    self.sow("intermediates", "log_decay", f)
    q, k, v = self._qkv(x)  # [B, T, H, K], [B, T, H, K], [B, T, H, V]
    inputs = (q * q.shape[-1] ** -0.5, k, v, i, f)
    y, state = self._recall(mlstm, inputs, state, reset)  # [B, T, H, V]
    y = head_norm("norm", self.dtype, self.norm_epsilon, bias=False)(y)
    return self._out(y * nn.sigmoid(self._gate(x))), state

  def _capped(
    self, x: Activations, name: str, init: nn.initializers.Initializer
  ) -> Float[Array, "B T H"]:
    """A gate's logit, in float32: a decay of 0.999 is 1 in bfloat16."""
    z = dense(self.num_heads, ("embed", "heads"), name, "float32")(x)
    bias = named(init, ("heads",), decay=False)
    z = z + self.param(f"{name}_bias", bias, (self.num_heads,))
    return self.gate_cap * jnp.tanh(z / self.gate_cap)

  @property
  def _state_spec(self) -> OpState:
    return OpState(mlstm, self._dims)


Mixer = MLSTM
