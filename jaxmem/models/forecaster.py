"""Forecasters: patches of a series, a stack of memories, and a distribution.

Every series of a multivariate one is a row of its own with the same parameters (channel
independence), its past is cut into patches, each patch is a token, and the features of
the last token become the whole horizon. Covariates are further inputs of every series:
those of the past lie in its patches, and those of a future step act on its forecast.

Source: Nie et al. 2022, arXiv:2211.14730.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmem.core.typing import State
from jaxmem.layers.primitives import dense, rms_norm
from jaxmem.models import Batch
from jaxmem.models.forecaster_config import ForecasterConfig
from jaxmem.models.pattern import check_language
from jaxmem.models.stack import Stack
from jaxmem.ops import densities
from jaxmem.ops.recurrence import scan

# Added to a window's variance under the root, so that a constant series becomes zeros.
EPSILON = 1e-5


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
    num_covariates: E, columns beside the series that are read and not forecast.
    num_future: F, how many of them, the last ones, are known over the horizon.
  """

  config: ForecasterConfig
  num_covariates: int = 0
  num_future: int = 0

  def setup(self):
    """Makes the layers of the backbone."""
    c = self.config
    size = c.horizon * c.width
    if self.num_future:
      self.step_output = dense(c.width, (None, None), "step_output", "float32")
    if c.backbone == "dlinear":
      if self.num_covariates:
        self.covariates = dense(size, (None, None), "covariates", "float32")
      self.trend = dense(size, (None, None), "trend", "float32", bias=True)
      self.rest = dense(size, (None, None), "rest", "float32", bias=True)
      return
    self.embed = dense(c.d_model, (None, "embed"), "embed", c.dtype, bias=True)
    self.stack = self._stack(name="stack")
    self.norm = rms_norm("norm", c.dtype)
    self.head = dense(size, ("embed", None), "head", "float32", bias=True)
    if self.num_future:
      self.step_context = dense(
        c.d_model, ("embed", None), "step_context", "float32", bias=True
      )
      self.step_covariates = dense(
        c.d_model, (None, None), "step_covariates", "float32"
      )

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
    self,
    history: Float[Array, "B T C"],
    deterministic: bool = True,
    past_covariates: Float[Array, "B T E"] | None = None,
    future_covariates: Float[Array, "B H F"] | None = None,
  ) -> Float[Array, "B H C W"]:
    """Forecasts from a whole window, which is read with an empty memory.

    Args:
      history: T steps, a multiple of `patch`; float32.
      deterministic: False applies dropout.
      past_covariates: all covariates over the same steps; None if there is none.
      future_covariates: those that are known over the horizon; None if there is none.

    Returns:
      The numbers of the head for each step: a point; mean and log deviation; location,
      log scale and log of the degrees of freedom above 2; or the quantiles, which rise.
      A density clamps what is outside the ranges of `ops.densities`.

    Raises:
      ValueError: if there is no step, or covariates are not those of the model.
    """
    scan.check_length(history.shape[1])
    scale = self.scale(history)
    if self.config.backbone == "dlinear":
      self._check_covariates(past_covariates, future_covariates)
      y = self._linear((history - scale.mean) / scale.std, past_covariates)
      if self.num_future:
        y += self.step_output(future_covariates)[:, :, None]  # [B, H, 1, W]
      return self._denormalised(y, scale)
    rows = history.shape[0] * history.shape[2]
    state = self._stack(parent=None).init_state(rows)
    covariates = past_covariates, future_covariates
    return self.observe(history, scale, state, deterministic, *covariates)[0]

  def observe(
    self,
    steps: Float[Array, "B T C"],
    scale: Scale,
    state: State,
    deterministic: bool = True,
    past_covariates: Float[Array, "B T E"] | None = None,
    future_covariates: Float[Array, "B H F"] | None = None,
  ) -> tuple[Float[Array, "B H C W"], State]:
    """Reads some more patches; returns the forecast after them, and the memory.

    The mean of a stream is unknown before its end, so the caller chooses a scale, and
    keeps it.

    Args:
      steps: T steps, a multiple of `patch`.
      scale: see `scale`; mean 0 and deviation 1 leave the numbers as they are.
      state: the memory of B C rows, see `stream_state`.
      deterministic: False applies dropout.
      past_covariates: see `__call__`; of these steps.
      future_covariates: see `__call__`; of the H steps after them.

    Raises:
      ValueError: if covariates are not those of the model.
    """
    self._check_covariates(past_covariates, future_covariates)
    x = (steps - scale.mean) / scale.std  # [B, T, C]
    x = self._tokens(x, past_covariates)  # [R, N, D]
    x, state = self.stack(x, state, None, deterministic)
    x = self.norm(x[:, -1]).astype(jnp.float32)  # [R, D]
    rows, _, series = steps.shape
    y = self.head(x).reshape(rows, series, self.config.horizon, self.config.width)
    if self.num_future:
      context = self.step_context(x).reshape(rows, series, 1, -1)  # [B, C, 1, D]
      future = self.step_covariates(future_covariates)[:, None]  # [B, 1, H, D]
      y += self.step_output(nn.silu(context + future))  # [B, C, H, W]
    return self._denormalised(jnp.swapaxes(y, 1, 2), scale), state  # [B, H, C, W]

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
    kinds = ("past_covariates", "future_covariates")
    covariates = {name: batch[name] for name in kinds if name in batch}
    forecast = self(batch["history"], deterministic, **covariates)
    return self._loss(forecast, batch["future"]).mean((1, 2)), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros of one series; the parameters fit any number of them."""
    history = jnp.zeros((batch_size, length, 1), jnp.float32)
    future = jnp.zeros((batch_size, self.config.horizon, 1), jnp.float32)
    weights = jnp.zeros(batch_size, jnp.float32)
    batch = {"history": history, "future": future, "weights": weights}
    if self.num_covariates:
      batch["past_covariates"] = jnp.zeros(
        (batch_size, length, self.num_covariates), jnp.float32
      )
    if self.num_future:
      shape = batch_size, self.config.horizon, self.num_future
      batch["future_covariates"] = jnp.zeros(shape, jnp.float32)
    return batch

  def init_state(self, batch_size: int) -> tuple[()]:
    """Returns (): a step of training reads a window whole, and carries nothing."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns (), the axis names of nothing."""
    return ()

  def stream_state(self, batch_size: int, series: int) -> State:
    """Returns the empty memory that `observe` begins with."""
    return self._stack(parent=None).init_state(batch_size * series)

  def _check_covariates(
    self,
    past: Float[Array, "B T E"] | None,
    future: Float[Array, "B H F"] | None,
  ) -> None:
    """Raises ValueError unless there are as many covariates as the model reads."""
    counts = {"past": self.num_covariates, "future": self.num_future}
    for (kind, count), array in zip(counts.items(), (past, future), strict=True):
      width = 0 if array is None else array.shape[-1]
      if width != count:
        raise ValueError(f"{kind}_covariates: {width} columns, the model reads {count}")

  def _tokens(
    self, x: Float[Array, "B T C"], covariates: Float[Array, "B T E"] | None
  ) -> Float[Array, "R N D"]:
    """Embeds the patches of every series as the N tokens of R = B C rows."""
    rows, length, series = x.shape
    patch = self.config.patch
    x = jnp.swapaxes(x, 1, 2).reshape(rows * series, length // patch, patch)
    if self.num_covariates:
      assert covariates is not None  # their number was checked
      patches = covariates.reshape(rows, length // patch, -1)  # [B, N, P E]
      x = jnp.concatenate([x, patches.repeat(series, 0)], -1)  # [R, N, P + P E]
    return self.embed(x.astype(jnp.dtype(self.config.dtype)))  # [R, N, D]

  def _linear(
    self, x: Float[Array, "B T C"], covariates: Float[Array, "B T E"] | None
  ) -> Float[Array, "B H C W"]:
    """Applies DLinear: a linear map of the moving average, one of the remainder."""
    # the average is over 25 steps; beyond the ends the first and last are repeated
    padded = jnp.pad(x, ((0, 0), (12, 12), (0, 0)), mode="edge")  # [B, T + 24, C]
    window, strides = (1, 25, 1), (1, 1, 1)
    sums = jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, strides, "VALID")
    average = sums / 25  # [B, T, C]
    trend = self.trend(jnp.swapaxes(average, 1, 2))  # [B, C, H W]
    y = trend + self.rest(jnp.swapaxes(x - average, 1, 2))  # [B, C, H W]
    if self.num_covariates:
      assert covariates is not None
      y += self.covariates(covariates.reshape(len(x), -1))[:, None]  # [B, 1, H W]
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
      return -jnp.asarray(densities.normal_log_density(y, location, forecast[..., 1]))
    if c.head == "student":
      log_scale, freedom = forecast[..., 1], forecast[..., 2]  # [B, H, C]
      return -jnp.asarray(
        densities.student_log_density(y, location, log_scale, freedom)
      )
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
