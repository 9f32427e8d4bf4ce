"""What attention layers share: projections, positions, norms, gates."""

from types import ModuleType
from typing import Any

from flax import linen as nn
from jaxtyping import Array

from jaxmem.core.ranges import number, word
from jaxmem.core.typing import Activations, Reset, State
from jaxmem.layers.mixer import Memory, head_size
from jaxmem.layers.norms import Norm, OffsetNorm
from jaxmem.layers.primitives import EPSILON, dense, named, rms_norm
from jaxmem.ops.attention_core.rotary import Rotary
from jaxmem.ops.attention_core.scores import ALiBi, Buckets, Scores
from jaxmem.parallel import apply

BIASES = ("none", "alibi", "buckets")


class Heads(Memory):
  """Projects features to queries, keys and values of every head, and heads back.

  Attributes:
    d_model: D, features in and out.
    num_heads: H, query heads.
    num_kv_heads: H_kv, key heads, a divisor of H; 0 is H.
    head_dim: K; 0 is D/H.
    qk_norm: applies an RMS norm to every query and key.
    qk_norm_epsilon: under the root of that norm.
    qk_norm_offset: added to the scales of that norm, 1 in Qwen3-Next; else 0.
    query_scale: multiplies the scores; 0 is K^-0.5.
    gate: multiplies the output, per head and feature, by sigmoid(W_g x).
    use_bias: adds a bias to the projections.
    out_bias: adds a bias to the last projection; None is `use_bias`.
    block_size: tokens of a block.
    form: "auto", "recurrent" or "parallel".
    dtype: of the computation, and of the keys and values in the state.
  """

  d_model: int
  num_heads: int = 4
  num_kv_heads: int = 0
  head_dim: int = 0
  qk_norm: bool = False
  qk_norm_epsilon: float = number(EPSILON, above=0)
  query_scale: float = number(0.0, at_least=0)
  gate: bool = False
  use_bias: bool = False
  out_bias: bool | None = None
  block_size: int = 128
  form: str = "auto"
  dtype: str = "float32"
  qk_norm_offset: float = number(0.0)

  @nn.nowrap
  def _check(self) -> None:
    _ = self._dims  # raises ValueError where heads do not divide

  def _qkv(self, x: Activations, which: str = "") -> tuple[Array, Array, Array]:
    """Returns q, k and v; `which` ends the names of a second set of projections."""
    return self._queries(x, which), *self._keys(x, which)

  def _queries(self, x: Activations, which: str = "") -> Array:
    """Returns the queries, [B, T, A, K], of A = H heads."""
    q = self._heads(self.num_heads, "q" + which)(x)  # [B, T, A, K]
    q = self._norm("q_norm" + which)(q) if self.qk_norm else q
    if self.query_scale:  # ops scale by K^-0.5, which is divided out here
      q = q * (self.query_scale * self._dims[1] ** 0.5)
    return q

  def _keys(self, x: Activations, which: str = "") -> tuple[Array, Array]:
    """Returns keys and values, [B, T, H, K] each, of H = H_kv heads."""
    k, v = (self._heads(self._dims[0], name + which)(x) for name in "kv")
    k = self._norm("k_norm" + which)(k) if self.qk_norm else k
    return k, v

  def _norm(self, name: str) -> nn.Module:
    """Returns the norm of the queries, or of the keys."""
    if self.qk_norm_offset:
      norm = Norm("rms", self.qk_norm_epsilon, self.qk_norm_offset)
      return OffsetNorm(norm, self.dtype, axis_name=None, name=name)
    return rms_norm(name, self.dtype, None, self.qk_norm_epsilon)

  def _heads(self, heads: int, name: str) -> nn.DenseGeneral:
    """Returns a projection from features to heads, D -> heads x K."""
    axes = ("embed", "heads", None)  # of the kernel, [D, heads, K]
    shape = heads, self._dims[1]
    return dense(shape, axes, name, self.dtype, bias=self.use_bias)

  def _attend(
    self,
    op: ModuleType,
    params: tuple[Array, ...],
    inputs: tuple[Array, ...],
    state: State,
    reset: Reset | None,
    **options: Any,
  ) -> tuple[Array, State]:
    """Applies an attention op on the devices of the mesh, in the form of the layer.

    It is a method, so that `evaluation.inspection.inside` can record its inputs.
    """
    # only the blocked forms take these, so they do not travel with `options`
    blocked = ("block_size", "implementation")
    sizes = {name: getattr(self, name) for name in blocked if hasattr(self, name)}
    return apply.apply(
      op, self.form, params, inputs, state, reset, sizes=sizes, **options
    )

  def _out(self, x: Activations, y: Array) -> Activations:
    """Gates the heads by the input of the layer, and projects them to features."""
    if self.gate:
      y = y * nn.sigmoid(self._heads(self.num_heads, "gate")(x))  # [B, T, A, K]
    axes = ("heads", None, "embed")
    out = dense(self.d_model, axes, "out", self.dtype, (-2, -1), bias=self.has_out_bias)
    return out(y)

  @property
  def has_out_bias(self) -> bool:
    """Whether the last projection adds a bias."""
    return self.use_bias if self.out_bias is None else self.out_bias

  @property
  def _dims(self) -> tuple[int, int]:
    """Returns the number of key heads, and K."""
    kv_heads, size = self.num_kv_heads or self.num_heads, self.head_dim
    if self.num_heads % kv_heads:
      raise ValueError(
        f"{self.num_heads} heads do not divide among {kv_heads} key heads"
      )
    return kv_heads, size or head_size(self.d_model, self.num_heads, "head_dim")

  @property
  def _kept(self) -> tuple[int, int, int]:
    """Returns heads and sizes of the keys and values in the state."""
    heads, size = self._dims
    return heads, size, size


class Attending(Heads):
  """Heads whose scores depend on distances; a subclass has the mask and the state.

  Attributes:
    rotary_base: base of the rotary angles, which need an even K; None rotates nothing.
    rotary_dim: how many channels of a head rotate, the first ones; 0 is all K.
    rotary_scaling: "none", "linear", "ntk", "yarn" or "llama3"; see `rotary.Rotary`.
    rotary_factor: how many times longer texts are than those of the training.
    trained_length: tokens of the texts of the training, for "yarn" and "llama3".
    rotary_fast: pairs that rotate more often in those are kept; 0 is the scaling's own.
    rotary_slow: pairs that rotate less often are slowed by the whole factor.
    bias: what distance adds to a score: "none", "alibi", or "buckets" (T5, learned).
    num_buckets: how many buckets distances are sorted into.
    farthest: the distance from which on all share the last bucket.
    logit_cap: bounds scores smoothly (Gemma 2); None does not bound them.
    learned_sink: adds to the softmax of every head a learned logit without a value.
    others: see `Heads`.
  """

  rotary_base: float | None = number(10_000.0, above=0)
  rotary_scaling: str = "none"
  rotary_factor: float = number(1.0, at_least=1)
  trained_length: int = 0
  rotary_fast: float = number(0.0, at_least=0)
  rotary_slow: float = number(1.0, above=0)
  bias: str = word("none", BIASES)
  num_buckets: int = 32
  farthest: int = 128
  logit_cap: float | None = number(None, above=0)
  learned_sink: bool = False
  rotary_dim: int = number(0, at_least=0)

  # A bidirectional subclass sets False: its buckets tell before from after.
  causal = True

  @nn.nowrap
  def _check(self) -> None:
    super()._check()
    self._rotary(1.0)  # raises ValueError where its options do not fit one another

  @nn.nowrap
  def _rotary(self, base: float) -> Rotary:
    return Rotary(
      base,
      scaling=self.rotary_scaling,
      factor=self.rotary_factor,
      trained_length=self.trained_length,
      fast=self.rotary_fast,
      slow=self.rotary_slow,
      dim=self.rotary_dim,
    )

  @property
  def _score(self) -> Scores:
    """Returns how scores are made of queries, keys and distances."""
    bias = {
      "none": None,
      "alibi": ALiBi(self.num_heads),
      "buckets": Buckets(self.num_buckets, self.farthest, not self.causal),
    }[self.bias]
    rotary = None
    if self.rotary_base is not None:
      rotary = self._rotary(self.rotary_base)
    return Scores(rotary, None, self.logit_cap, bias, self.learned_sink)

  def _learned(self) -> tuple[Array, ...]:
    """Returns the parameters that `_score` needs."""
    params: tuple[Array, ...] = ()
    if self.bias == "buckets":
      init = named(nn.initializers.normal(0.02), (None, "heads"), decay=False)
      shape = self.num_buckets, self.num_heads  # [buckets, A]
      params += (self.param("buckets", init, shape),)
    if self.learned_sink:
      zeros = named(nn.initializers.zeros, ("heads",), decay=False)
      params += (self.param("sink", zeros, (self.num_heads,)),)
    return params

  @property
  def _dims(self) -> tuple[int, int]:
    kv_heads, size = super()._dims
    if self.rotary_base is not None and not self.rotary_dim and size % 2:
      raise ValueError(f"head_dim {size} is odd: rotary positions need pairs")
    if self.rotary_dim > size:
      raise ValueError(f"rotary_dim {self.rotary_dim} is more than head_dim {size}")
    return kv_heads, size
