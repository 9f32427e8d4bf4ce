"""Attention to a fixed memory: what an encoder made of another sequence.

Source: see `jaxmem.ops.cross_attention`.
"""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxmem.modules.attending import Attending
from jaxmem.ops import cross_attention, scan
from jaxmem.parallel import context
from jaxmem.typing import Activations, Reset


class CrossAttention(Attending):
  """Reads an encoder's outputs and writes nothing; 2 K (D H + D_enc H_kv) parameters.

  State: keys and values of S tokens and how many there are, 2 S H_kv K numbers of
  `dtype` a row. The empty memory reads as 0; a reset forgets it. It comes from the
  encoder's outputs by `remember`:

      from jaxmem.modules.cross_attention import CrossAttention
      mixer = CrossAttention(d_model=64, num_heads=4, memory_size=32)
      state = mixer.apply(params, encoded, valid, method="remember")
      y, state = mixer.apply(params, x, state)

  Attributes:
    memory_size: S, tokens remembered at most.
    d_encoded: D_enc, features of what is remembered; 0 is D.
    rotary_base: None: there is no distance between two sequences; nor may there be a
      bias by distance.
    others: see `Attending`.
  """

  memory_size: int = 512
  d_encoded: int = 0
  rotary_base: float | None = None

  family: ClassVar[str] = "attention"

  def __call__(
    self, x: Activations, state: cross_attention.State, reset: Reset | None = None
  ) -> tuple[Activations, cross_attention.State]:
    if self.is_initializing():  # the parameters of both methods
      shape = len(x), self.memory_size, self.d_encoded or self.d_model
      self._parts("remember", jnp.zeros(shape, x.dtype), state.count)
    return self._parts("read", x, state, reset)

  def remember(
    self, encoded: Float[Array, "B S E"], valid: Int[Array, " B"]
  ) -> cross_attention.State:
    """The memory of an encoder's outputs.

    Args:
      encoded: at most `memory_size` tokens a row.
      valid: int32, how many first ones of a row are tokens; the others are padding.

    Returns:
      A state to begin from.

    Raises:
      ValueError: if there are more tokens than the memory holds.
    """
    if encoded.shape[1] > self.memory_size:
      raise ValueError(
        f"{encoded.shape[1]} tokens to remember, memory_size is {self.memory_size}: "
        "raise it"
      )
    return self._parts("remember", encoded, valid)

  @nn.compact
  def _parts(self, what: str, *given: Any) -> Any:
    """Flax makes all parameters in one method."""
    return {"read": self._read, "remember": self._remember}[what](*given)

  def _read(self, x, state, reset):
    y, state = context.apply(
      cross_attention,
      self.form,
      self._learned(),
      (self._queries(x),),
      state,
      reset,
      sizes={"block_size": self.block_size},
      score=self._score,
    )
    return self._out(x, y), state

  def _remember(self, encoded, valid):
    some = scan.indices(encoded.shape[1]) < valid[:, None]
    # padding must be finite, whatever the encoder made of it
    encoded = jnp.where(some[..., None], encoded, 0)
    pad = ((0, 0), (0, self.memory_size - encoded.shape[1]), (0, 0), (0, 0))
    k, v = (jnp.pad(a, pad) for a in self._keys(encoded))
    return cross_attention.State(k, v, valid.astype(jnp.int32))

  def init_state(self, batch_size: int) -> cross_attention.State:
    if self.memory_size < 1:
      raise ValueError(f"memory_size is {self.memory_size}: it must be at least 1")
    if self.rotary_base is not None or self.bias != "none":
      raise ValueError(
        "there is no distance between two sequences: rotary_base is None and bias "
        "'none' in cross attention"
      )
    return cross_attention.init_state(batch_size, self.memory_size, *self._kept)

  def state_axes(self) -> cross_attention.State:
    kv = ("batch", "slots", "heads", None)
    return cross_attention.State(kv, kv, ("batch",))


Mixer = CrossAttention
