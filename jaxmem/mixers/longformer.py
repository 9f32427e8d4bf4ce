"""Dilated window and global tokens: local attention with a few tokens that see all.

Source: see `jaxmem.ops.longformer`.
"""

from typing import ClassVar

from flax import linen as nn

from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.attention_heads import Attending
from jaxmem.layers.mixer import OpState
from jaxmem.ops import encoder_attention, longformer
from jaxmem.ops.attention_core.masks import ByFirst, ByRest, Causal, First, Global, Mask
from jaxmem.ops.longformer import Dilation


class Longformer(Attending):
  """Attention to near tokens, and to and from the first G; 3 D K (H + H_kv) parameters.

  The first G tokens of a document see all of it that they may, by queries, keys and
  values of their own; all see them. Without global tokens, 2 D K (H + H_kv) parameters.

  State: the last R = (W - 1) d + 1 keys and values and two of each global token,
  2 (R + 2 G) H_kv K numbers of `dtype` a row; () where it is not causal, and then a
  call holds whole documents.

      from jaxmem.mixers.longformer import Longformer
      mixer = Longformer(d_model=64, num_heads=4, window_size=16, num_global=2)
      state = mixer.init_state(batch_size=2)

  Attributes:
    window_size: W, tokens a query sees, itself included; where it is not causal, even,
      W/2 on each side and itself, which is the paper's w.
    dilation: d, a query sees every d-th token of its window; one for all heads, or a
      tuple of one a head.
    num_global: G, how many first tokens of a document are global.
    causal: whether a token sees only what came before it.
    form: where it is not causal "auto", "dense" or "parallel".
    others: see `Attending`.
  """

  window_size: int = 128
  dilation: Dilation = 1
  num_global: int = 1
  causal: bool = True

  family: ClassVar[str] = "attention"
  MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ("num_global",)

  @nn.compact
  def __call__(
    self, x: Activations, state: State, reset: Reset | None = None
  ) -> tuple[Activations, State]:
    by_global = self._qkv(x, "_global") if self.num_global else ()
    qkv, learned = self._qkv(x), self._learned()
    if self.causal:
      y, state = self._attend(  # [B, T, A, K]
        longformer,
        learned,
        (*qkv, *by_global),
        state,
        reset,
        num_global=self.num_global,
        dilation=self.dilation,
        score=self._score,
      )
      return self._out(x, y), state
    rest = self._near
    if self.num_global:
      rest = ByRest(self.num_global) & (rest | First(self.num_global))
    score = self._score
    y, _ = self._attend(
      encoder_attention, learned, qkv, (), reset, mask=rest, score=score
    )
    if self.num_global:
      # the first tokens read by projections of their own; where one of the two masks
      # shows something the other's y is 0
      first = ByFirst(self.num_global)
      y_first, _ = self._attend(
        encoder_attention, learned, by_global, (), reset, mask=first, score=score
      )
      y = y + y_first
    return self._out(x, y), ()

  @property
  def mask(self) -> Mask:
    """Who sees whom in a document."""
    seen = self._near
    if self.num_global:
      seen |= Global(self.num_global)
    return Causal() & seen if self.causal else seen

  @property
  def _near(self) -> Mask:
    if self.causal:
      return longformer.near(self.window_size, self.dilation)
    half = self.window_size // 2
    return longformer.near(half + 1, self.dilation, half)

  @nn.nowrap
  def _check(self) -> None:
    super()._check()
    dilation, size = self.dilation, self.window_size
    each = dilation if isinstance(dilation, tuple) else (dilation,)
    are_whole = all(type(d) is int and d >= 1 for d in each)
    if not are_whole or (each is dilation and len(each) != self.num_heads):
      raise ValueError(
        f"dilation is {dilation}: a whole number, at least 1, for all, or "
        f"one for each of {self.num_heads} heads"
      )
    if not self.causal and size % 2:
      raise ValueError(f"window_size {size} is odd: both ways half is on each side")

  @property
  def _state_spec(self) -> State:
    if not self.causal:
      return ()
    sizes = self.window_size, *self._kept, self.num_global, self.dilation
    return OpState(longformer, sizes, self.dtype)


Mixer = Longformer
