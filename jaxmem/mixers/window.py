"""Sliding-window attention as a mixer. Source: see `jaxmem.ops.window`."""

from typing import ClassVar

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset
from jaxmem.layers.attention_heads import Attending
from jaxmem.layers.mixer import OpState
from jaxmem.ops import window
from jaxmem.ops.attention_core import masks
from jaxmem.ops.attention_core.masks import Causal, First, Mask


class Window(Attending):
  """Causal attention to the last W tokens of a document; 2 D K (H + H_kv) parameters.

  State: the last W keys and values, 2 (W + M) H_kv K numbers of `dtype` a row.

      from jaxmem.mixers.window import Window
      mixer = Window(d_model=64, num_heads=4, window_size=16)
      state = mixer.init_state(batch_size=2)

  Attributes:
    window_size: W, the tokens that a query sees, its own included.
    num_sinks: M, how many first tokens of a document stay visible.
    implementation: "auto", "xla" (this package's blocks), "cudnn" or "splash"; naming
      one that cannot run raises the reason, see `ops.attention_core.dispatch`.
    others: see `Attending`.
  """

  window_size: int = 128
  num_sinks: int = 0
  implementation: str = "auto"

  family: ClassVar[str] = "attention"

  @nn.compact
  def __call__(
    self, x: Activations, state: window.State, reset: Reset | None = None
  ) -> tuple[Activations, window.State]:
    y, state = self._attend(  # [B, T, A, K]
      window,
      self._learned(),
      self._qkv(x),
      state,
      reset,
      num_sinks=self.num_sinks,
      score=self._score,
    )
    return self._out(x, y), state

  @property
  def mask(self) -> Mask:
    """Which tokens of a document each token sees."""
    near = masks.Window(self.window_size)
    return Causal() & (near | First(self.num_sinks) if self.num_sinks else near)

  @property
  def _state_spec(self) -> OpState:
    sizes = self.window_size, *self._kept, self.num_sinks
    return OpState(window, sizes, self.dtype)


Mixer = Window
