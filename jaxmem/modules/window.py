"""Sliding-window attention as a mixer. Source: see `jaxmem.ops.window`."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxmem.modules.layers import dense
from jaxmem.ops import window
from jaxmem.parallel import context
from jaxmem.typing import Activations, Reset


class Window(nn.Module):
  """Causal attention to the last W tokens of a document; 2 D K (H + H_kv) parameters.

  State: the last W keys and values, 2 (W + M) H_kv K numbers of `dtype` a row.

      from jaxmem.modules.window import Window
      mixer = Window(d_model=64, num_heads=4, window_size=16)
      state = mixer.init_state(batch_size=2)

  Attributes:
    d_model: D, features in and out.
    window_size: W, tokens a query sees, itself included.
    num_heads: H, query heads.
    num_kv_heads: H_kv, key heads, a divisor of H; 0 is H.
    head_dim: K, even; 0 is D/H.
    num_sinks: M, how many first tokens of a document stay visible.
    rotary_base: base of the rotary angles; None for no positions.
    block_size: tokens of a block.
    form: "auto", "recurrent" or "parallel".
    dtype: of the computation and of the keys and values kept.
  """

  d_model: int
  window_size: int = 128
  num_heads: int = 4
  num_kv_heads: int = 0
  head_dim: int = 0
  num_sinks: int = 0
  rotary_base: float | None = 10_000.0
  block_size: int = 128
  form: str = "auto"
  dtype: str = "float32"

  family: ClassVar[str] = "attention"

  @nn.compact
  def __call__(
    self, x: Activations, state: window.State, reset: Reset | None = None
  ) -> tuple[Activations, window.State]:
    kv_heads, size = self._dims
    project = lambda heads, name: dense(
      (heads, size), ("embed", "heads", None), name, self.dtype
    )(x)
    q, k, v = (
      project(self.num_heads, "q"),
      project(kv_heads, "k"),
      project(kv_heads, "v"),
    )
    y, state = context.apply(
      window,
      self.form,
      (),
      (q, k, v),
      state,
      reset,
      sizes={"block_size": self.block_size},
      num_sinks=self.num_sinks,
      rotary_base=self.rotary_base,
    )
    out = dense(self.d_model, ("heads", None, "embed"), "out", self.dtype, (-2, -1))
    return out(y), state

  @property
  def _dims(self) -> tuple[int, int]:
    kv_heads, size = self.num_kv_heads or self.num_heads, self.head_dim
    if self.num_heads % kv_heads:
      raise ValueError(
        f"{self.num_heads} heads do not divide among {kv_heads} key heads"
      )
    if not size and self.d_model % self.num_heads:
      raise ValueError(
        f"d_model {self.d_model} does not divide into {self.num_heads} heads: change "
        "one, or give head_dim"
      )
    size = size or self.d_model // self.num_heads
    if self.rotary_base is not None and size % 2:
      raise ValueError(f"head_dim {size} is odd: rotary positions need pairs")
    if self.window_size < 1:
      raise ValueError(f"window_size is {self.window_size}: it must be at least 1")
    return kv_heads, size

  def init_state(self, batch_size: int) -> window.State:
    heads, size = self._dims
    dtype = jnp.dtype(self.dtype)
    return window.init_state(
      batch_size, self.window_size, heads, size, size, self.num_sinks, dtype
    )

  def state_axes(self) -> window.State:
    kv = ("batch", "window", "heads", None)
    return window.State(kv, kv, ("batch",))


Mixer = Window
