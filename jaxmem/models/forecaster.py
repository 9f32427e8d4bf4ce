"""Forecasts of series: patches of what was, a stack of memories, a distribution.

Every series of a multivariate one is a row of its own with the same parameters (channel
independence), its past is cut into patches, a patch is a token (Nie et al. 2022,
arXiv:2211.14730), and the features of the last token become the whole horizon.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.core.typing import State
from jaxmem.layers.primitives import dense, rms_norm
from jaxmem.models import Batch
from jaxmem.models.pattern import Pattern, check_language, entry
from jaxmem.models.stack import Stack
from jaxmem.ops import densities
from jaxmem.ops.recurrence import scan

Head = Literal["point", "gaussian", "student", "quantile"]
# Numbers a step of the horizon that a head needs; a quantile one has its own count.
_WIDTH = {"point": 1, "gaussian": 2, "student": 3}
# Under the root of a window's variance: a series that does not move is left at 0.
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class ForecasterConfig:
  """A forecaster as data.

  Attributes:
    horizon: H, steps that are forecast.
    patch: P, steps of a token; divides the length of what is read.
    head: "point", or the parameters of a "gaussian" or a "student" distribution, or
      "quantile"s.
    loss: of the point head, "mse" or "mae".
    quantiles: of the quantile head, in (0, 1), rising, apart by commas.
    normalise: each window to mean 0 and variance 1, and its forecast back (reversible
      instance normalisation without its affine map, Kim et al. 2022).
    backbone: "stack", or "dlinear", which needs none of the fields below: two linear
      maps of a window's moving average and of the rest, the baseline of Zeng et al.
      2022 (arXiv:2205.13504).
    d_model: features.
    d_ff: width of the MLPs; 0 is 2 d_model.
    pattern: the memories of a group, causal.
    num_groups: how often the pattern is repeated.
    dropout: rate in the blocks, in [0, 1).
    dtype: of the stack, "float32" or "bfloat16"; forecasts are float32.
  """

  horizon: int = number(96, at_least=1, at_most=2**20)
  patch: int = number(16, at_least=1, at_most=2**20)
  head: Head = "point"
  loss: Literal["mse", "mae"] = "mse"
  quantiles: str = "0.1,0.5,0.9"
  normalise: bool = True
  backbone: Literal["stack", "dlinear"] = "stack"
  d_model: int = number(64, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("gru"),)
  num_groups: int = number(1, at_least=1, at_most=2**16)
  dropout: float = number(0.0, at_least=0, below=1)
  dtype: str = "float32"

  @property
  def levels(self) -> tuple[float, ...]:
    """The quantiles as numbers.

    Raises:
      ValueError: if they are not rising numbers in (0, 1).
    """
    wanted = f"quantiles {self.quantiles!r}: rising numbers in (0, 1)"
    try:
      levels = tuple(map(float, self.quantiles.split(",")))
    except ValueError as error:
      raise ValueError(wanted) from error
    if not all(0 < q < 1 for q in levels) or list(levels) != sorted(set(levels)):
      raise ValueError(wanted)
    return levels

  def check_fields(self) -> None:
    """Raises ValueError if the fields do not fit one another."""
    if self.width < 1:  # or the quantiles say why themselves
      raise ValueError(f"quantiles is {self.quantiles!r}: at least one")

  @property
  def width(self) -> int:
    """Numbers of a forecast a step."""
    return len(self.levels) if self.head == "quantile" else _WIDTH[self.head]


class Scale(NamedTuple):
  """What a window is normalised by, [B, 1, C]."""

  mean: Float[Array, "B 1 C"]
  std: Float[Array, "B 1 C"]


class Forecaster(nn.Module):
  """The next H steps of C series from any number of patches.

      model = Forecaster(ForecasterConfig(horizon=24, patch=8))
      params = model.init(key, model.example(2, 48), (), method="objective")
      forecast = model.apply(params, history)  # [B, T, C] -> [B, H, C, width]

  `observe` reads patches as they come, with the state carried.

  Attributes:
    config: see `ForecasterConfig`.
  """

  config: ForecasterConfig

  def setup(self):
    c = self.config
    size = c.horizon * c.width
    if c.backbone == "dlinear":
      self.trend = dense(size, (None, None), "trend", "float32", bias=True)
      self.rest = dense(size, (None, None), "rest", "float32", bias=True)
      return
    self.embed = dense(c.d_model, (None, "embed"), "embed", c.dtype, bias=True)
    self.stack = self._stack(name="stack")
    self.norm = rms_norm("norm", c.dtype)
    self.head = dense(size, ("embed", None), "head", "float32", bias=True)

  def _stack(self, **fields) -> Stack:
    c = self.config
    check_language(c.pattern)
    sizes = c.d_model, c.d_ff or 2 * c.d_model, c.num_groups, c.dropout
    return Stack(c.pattern, *sizes, dtype=c.dtype, **fields)

  def __call__(
    self, history: Float[Array, "B T C"], deterministic: bool = True
  ) -> Float[Array, "B H C W"]:
    """The forecast from a whole window, read from an empty memory.

    Args:
      history: T steps, a multiple of `patch`; float32.
      deterministic: False drops out.

    Returns:
      Of each step the numbers of the head: a point; mean and log deviation; location,
      log scale and log of the degrees of freedom above 2; or the quantiles, which rise.
      A density clamps what is outside the ranges of `ops.densities`.

    Raises:
      ValueError: if there is no step.
    """
    scan.check_length(history.shape[1])
    scale = self.scale(history)
    if self.config.backbone == "dlinear":
      return self._back(self._linear((history - scale.mean) / scale.std), scale)
    rows = history.shape[0] * history.shape[2]
    state = self._stack(parent=None).init_state(rows)
    return self.observe(history, scale, state, deterministic)[0]

  def observe(
    self,
    steps: Float[Array, "B T C"],
    scale: Scale,
    state: State,
    deterministic: bool = True,
  ) -> tuple[Float[Array, "B H C W"], State]:
    """Continues by some patches: the forecast behind them, and the memory.

    A stream has no end to take a mean to, so its scale is given, and stays as it is.

    Args:
      steps: T of them, a multiple of `patch`.
      scale: see `scale`; ones and zeros leave the numbers as they are.
      state: of B C rows, see `stream_state`.
      deterministic: False drops out.
    """
    x = (steps - scale.mean) / scale.std
    x, state = self.stack(self._tokens(x), state, None, deterministic)
    x = self.head(self.norm(x[:, -1]).astype(jnp.float32))
    rows, _, series = steps.shape
    x = x.reshape(rows, series, self.config.horizon, self.config.width)
    return self._back(jnp.swapaxes(x, 1, 2), scale), state

  def scale(self, history: Float[Array, "B T C"]) -> Scale:
    """Mean and deviation of each series of a window; 0 and 1 if not `normalise`."""
    if not self.config.normalise:
      zeros = jnp.zeros_like(history[:, :1])
      return Scale(zeros, zeros + 1)
    mean = history.mean(1, keepdims=True)
    variance = history.var(1, keepdims=True)
    return Scale(*jax.lax.stop_gradient((mean, jnp.sqrt(variance + EPSILON))))

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """The loss of each window, the mean over steps and series."""
    forecast = self(batch["history"], deterministic)
    return self._loss(forecast, batch["future"]).mean((1, 2)), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros of one series; any number of them has the same parameters."""
    zeros = lambda steps: jnp.zeros((batch_size, steps, 1), jnp.float32)
    future = zeros(self.config.horizon)
    weights = jnp.zeros(batch_size, jnp.float32)
    return {"history": zeros(length), "future": future, "weights": weights}

  def init_state(self, batch_size: int) -> tuple[()]:
    """Nothing: a window is read whole in a step of training."""
    return ()

  def state_axes(self) -> tuple[()]:
    return ()

  def stream_state(self, batch_size: int, series: int) -> State:
    """The empty memory of `observe`."""
    return self._stack(parent=None).init_state(batch_size * series)

  def _tokens(self, x: Float[Array, "B T C"]) -> Float[Array, "R N D"]:
    """Patches of every series as tokens of R = B C rows."""
    rows, length, series = x.shape
    patch = self.config.patch
    x = jnp.swapaxes(x, 1, 2).reshape(rows * series, length // patch, patch)
    return self.embed(x.astype(jnp.dtype(self.config.dtype)))

  def _linear(self, x: Float[Array, "B T C"]) -> Float[Array, "B H C W"]:
    """DLinear: the moving average over 25 steps, its ends repeated, and the rest."""
    wide = jnp.pad(x, ((0, 0), (12, 12), (0, 0)), mode="edge")
    sums = jax.lax.reduce_window(wide, 0.0, jax.lax.add, (1, 25, 1), (1, 1, 1), "VALID")
    average = sums / 25
    last = lambda a: jnp.swapaxes(a, 1, 2)
    y = self.trend(last(average)) + self.rest(last(x - average))
    y = y.reshape(*y.shape[:2], self.config.horizon, self.config.width)
    return jnp.swapaxes(y, 1, 2)

  def _back(self, x: Float[Array, "B H C W"], scale: Scale) -> Float[Array, "B H C W"]:
    """The head's numbers in the units of the window."""
    mean, std = scale.mean[..., None], scale.std[..., None]
    if self.config.head == "quantile":
      # in their order: quantiles of one distribution do not cross, and sorting brings
      # none farther from its own (Chernozhukov et al. 2010, Econometrica 78)
      return jnp.sort(x, axis=-1) * std + mean
    if self.config.head == "point":
      return x * std + mean
    where, spread, *others = jnp.split(x, self.config.width, axis=-1)
    return jnp.concatenate([where * std + mean, spread + jnp.log(std), *others], -1)

  def _loss(
    self, forecast: Float[Array, "B H C W"], y: Float[Array, "B H C"]
  ) -> Float[Array, "B H C"]:
    c, first = self.config, forecast[..., 0]
    if c.head == "gaussian":
      return -densities.normal_log_density(y, first, forecast[..., 1])
    if c.head == "student":
      spread, freedom = forecast[..., 1], forecast[..., 2]
      return -densities.student_log_density(y, first, spread, freedom)
    if c.head == "quantile":
      levels, miss = jnp.array(c.levels), y[..., None] - forecast
      return (2 * jnp.maximum(levels * miss, (levels - 1) * miss)).mean(-1)
    miss = y - first
    return miss**2 if c.loss == "mse" else jnp.abs(miss)

  def middle(
    self, forecast: Float[Array | np.ndarray, "B H C W"]
  ) -> Float[Array | np.ndarray, "B H C"]:
    """One number a step: the point, the location, or the quantile nearest a half."""
    if self.config.head != "quantile":
      return forecast[..., 0]
    nearest = min(self.config.levels, key=lambda q: abs(q - 0.5))
    return forecast[..., self.config.levels.index(nearest)]


Config = ForecasterConfig
Model = Forecaster
