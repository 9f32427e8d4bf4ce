"""Forecasters: patches of a series, a stack of memories, and a distribution.

Every series of a multivariate one is a row of its own with the same parameters (channel
independence), its past is cut into patches, each patch is a token, and the features of
the last token become the whole horizon.

Source: Nie et al. 2022, arXiv:2211.14730.
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
# How many numbers a head needs for a step of the horizon; "quantile" counts its levels.
_WIDTH = {"point": 1, "gaussian": 2, "student": 3}
# Added to a window's variance under the root, so that a constant series becomes zeros.
EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class ForecasterConfig:
  """The config of a forecaster, as data.

  Attributes:
    horizon: H, steps that are forecast.
    patch: P, steps of a token; divides the length of what is read.
    head: "point", or the parameters of a "gaussian" or a "student" distribution, or
      "quantile"s.
    loss: the loss of the point head, "mse" or "mae".
    quantiles: the levels of the quantile head, in (0, 1), rising, separated by commas.
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
    dtype: the dtype of the stack, "float32" or "bfloat16"; forecasts are float32.
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
    message = f"quantiles {self.quantiles!r}: rising numbers in (0, 1)"
    try:
      levels = tuple(map(float, self.quantiles.split(",")))
    except ValueError as error:
      raise ValueError(message) from error
    if not all(0 < q < 1 for q in levels) or list(levels) != sorted(set(levels)):
      raise ValueError(message)
    return levels

  def check_fields(self) -> None:
    """Raises ValueError if the fields do not fit one another."""
    if self.width < 1:  # or the quantiles say why themselves
      raise ValueError(f"quantiles is {self.quantiles!r}: at least one")

  @property
  def width(self) -> int:
    """How many numbers a forecast has for a step."""
    return len(self.levels) if self.head == "quantile" else _WIDTH[self.head]


class Scale(NamedTuple):
  """The mean and the deviation that a window is normalised by."""

  mean: Float[Array, "B 1 C"]
  std: Float[Array, "B 1 C"]


class Forecaster(nn.Module):
  """Forecasts the next H steps of C series from any number of patches.

      model = Forecaster(ForecasterConfig(horizon=24, patch=8))
      params = model.init(key, model.example(2, 48), (), method="objective")
      forecast = model.apply(params, history)  # [B, T, C] -> [B, H, C, width]

  `observe` reads patches as they arrive, with the state carried.

  Attributes:
    config: see `ForecasterConfig`.
  """

  config: ForecasterConfig

  def setup(self):
    """Makes the layers of the backbone."""
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
    return Stack(
      pattern=c.pattern,
      d_model=c.d_model,
      d_ff=c.d_ff or 2 * c.d_model,
      num_groups=c.num_groups,
      dropout=c.dropout,
      dtype=c.dtype,
      **fields,
    )

  def __call__(
    self, history: Float[Array, "B T C"], deterministic: bool = True
  ) -> Float[Array, "B H C W"]:
    """Forecasts from a whole window, which is read with an empty memory.

    Args:
      history: T steps, a multiple of `patch`; float32.
      deterministic: False applies dropout.

    Returns:
      The numbers of the head for each step: a point; mean and log deviation; location,
      log scale and log of the degrees of freedom above 2; or the quantiles, which rise.
      A density clamps what is outside the ranges of `ops.densities`.

    Raises:
      ValueError: if there is no step.
    """
    scan.check_length(history.shape[1])
    scale = self.scale(history)
    if self.config.backbone == "dlinear":
      normalised = (history - scale.mean) / scale.std
      return self._denormalised(self._linear(normalised), scale)
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
    """Reads some more patches; returns the forecast after them, and the memory.

    The mean of a stream is unknown before its end, so the caller chooses a scale, and
    keeps it.

    Args:
      steps: T steps, a multiple of `patch`.
      scale: see `scale`; mean 0 and deviation 1 leave the numbers as they are.
      state: the memory of B C rows, see `stream_state`.
      deterministic: False applies dropout.
    """
    x = (steps - scale.mean) / scale.std  # [B, T, C]
    x, state = self.stack(self._tokens(x), state, None, deterministic)  # [R, N, D]
    x = self.head(self.norm(x[:, -1]).astype(jnp.float32))  # [R, H W]
    rows, _, series = steps.shape
    x = x.reshape(rows, series, self.config.horizon, self.config.width)  # [B, C, H, W]
    return self._denormalised(jnp.swapaxes(x, 1, 2), scale), state  # [B, H, C, W]

  def scale(self, history: Float[Array, "B T C"]) -> Scale:
    """Computes mean and deviation of each series; 0 and 1 if not `normalise`."""
    if not self.config.normalise:
      zeros = jnp.zeros_like(history[:, :1])
      return Scale(zeros, zeros + 1)
    mean = history.mean(1, keepdims=True)  # [B, 1, C]
    variance = history.var(1, keepdims=True)  # [B, 1, C]
    return jax.lax.stop_gradient(Scale(mean, jnp.sqrt(variance + EPSILON)))

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Returns the loss of each window, the mean over steps and series."""
    forecast = self(batch["history"], deterministic)
    return self._loss(forecast, batch["future"]).mean((1, 2)), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros of one series; the parameters fit any number of them."""
    history = jnp.zeros((batch_size, length, 1), jnp.float32)
    future = jnp.zeros((batch_size, self.config.horizon, 1), jnp.float32)
    weights = jnp.zeros(batch_size, jnp.float32)
    return {"history": history, "future": future, "weights": weights}

  def init_state(self, batch_size: int) -> tuple[()]:
    """Returns (): a step of training reads a window whole, and carries nothing."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns (), the axis names of nothing."""
    return ()

  def stream_state(self, batch_size: int, series: int) -> State:
    """Returns the empty memory that `observe` begins with."""
    return self._stack(parent=None).init_state(batch_size * series)

  def _tokens(self, x: Float[Array, "B T C"]) -> Float[Array, "R N D"]:
    """Embeds the patches of every series as the N tokens of R = B C rows."""
    rows, length, series = x.shape
    patch = self.config.patch
    x = jnp.swapaxes(x, 1, 2).reshape(rows * series, length // patch, patch)
    return self.embed(x.astype(jnp.dtype(self.config.dtype)))  # [R, N, D]

  def _linear(self, x: Float[Array, "B T C"]) -> Float[Array, "B H C W"]:
    """Applies DLinear: a linear map of the moving average, one of the remainder."""
    # the average is over 25 steps; beyond the ends the first and last are repeated
    padded = jnp.pad(x, ((0, 0), (12, 12), (0, 0)), mode="edge")  # [B, T + 24, C]
    window, strides = (1, 25, 1), (1, 1, 1)
    sums = jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, strides, "VALID")
    average = sums / 25  # [B, T, C]
    trend = self.trend(jnp.swapaxes(average, 1, 2))  # [B, C, H W]
    y = trend + self.rest(jnp.swapaxes(x - average, 1, 2))  # [B, C, H W]
    y = y.reshape(*y.shape[:2], self.config.horizon, self.config.width)
    return jnp.swapaxes(y, 1, 2)  # [B, H, C, W]

  def _denormalised(
    self, x: Float[Array, "B H C W"], scale: Scale
  ) -> Float[Array, "B H C W"]:
    """Returns the head's numbers in the units of the window."""
    mean, std = scale.mean[..., None], scale.std[..., None]  # [B, 1, C, 1]
    if self.config.head == "quantile":
      # sorted: quantiles of one distribution do not cross, and sorting brings none
      # farther from its true value (Chernozhukov et al. 2010, Econometrica 78)
      return jnp.sort(x, axis=-1) * std + mean
    if self.config.head == "point":
      return x * std + mean
    # location and log scale; the degrees of freedom have no unit
    location, log_scale, *unitless = jnp.split(x, self.config.width, axis=-1)
    location, log_scale = location * std + mean, log_scale + jnp.log(std)
    return jnp.concatenate([location, log_scale, *unitless], -1)

  def _loss(
    self, forecast: Float[Array, "B H C W"], y: Float[Array, "B H C"]
  ) -> Float[Array, "B H C"]:
    """Returns the loss of every step: nats of a density, else an error."""
    c, location = self.config, forecast[..., 0]  # [B, H, C]
    if c.head == "gaussian":
      density = densities.normal_log_density(y, location, forecast[..., 1])
      return -jnp.asarray(density)
    if c.head == "student":
      log_scale, freedom = forecast[..., 1], forecast[..., 2]  # [B, H, C]
      density = densities.student_log_density(y, location, log_scale, freedom)
      return -jnp.asarray(density)
    if c.head == "quantile":
      # the pinball loss, doubled: at level 1/2 it is the absolute error
      levels, error = jnp.array(c.levels), y[..., None] - forecast  # [W], [B, H, C, W]
      return (2 * jnp.maximum(levels * error, (levels - 1) * error)).mean(-1)
    error = y - location
    return error**2 if c.loss == "mse" else jnp.abs(error)

  def middle(
    self, forecast: Float[Array | np.ndarray, "B H C W"]
  ) -> Float[Array | np.ndarray, "B H C"]:
    """Returns the point, the location, or the quantile nearest a half, of each step."""
    if self.config.head != "quantile":
      return forecast[..., 0]
    nearest = min(self.config.levels, key=lambda q: abs(q - 0.5))
    return forecast[..., self.config.levels.index(nearest)]


Config = ForecasterConfig
Model = Forecaster
