"""The gradient where embeddings are moved, a little and to the worse.

"fgm" takes the mean of the gradients at the text and at its worst neighbour,

    r = radius g / |g|,  g = dL/d(embeddings),

Miyato et al. 2016, arXiv:1605.07725. "freelb" climbs from a random neighbour in `steps`
steps and takes the mean of the gradients on the way, each of which is needed for the
climb anyway: Zhu et al. 2019, arXiv:1909.11764. Norms are of a row.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.core.ranges import number
from jaxmem.parallel import rows

# (params, memory, batch, rng) -> nats, memory
Loss = Callable[..., tuple[Any, Any]]


def with_noise(loss: Loss) -> Loss:
  """The loss as a function of (params, noise), whose noise may be None."""

  def moved(given, memory, batch, rng):
    params, noise = given
    if noise is not None:
      batch = batch | {"noise": noise}
    return loss(params, memory, batch, rng)

  return moved


def whole(loss: Loss) -> Callable:
  """`((params, noise), memory, batch, rng) -> (nats, memory), gradients of both`."""
  return jax.value_and_grad(with_noise(loss), has_aux=True)


@dataclasses.dataclass(frozen=True)
class AdversaryConfig:
  """How embeddings are moved.

  Attributes:
    kind: "none", "fgm" (twice the cost of a step) or "freelb" (`steps` times).
    radius: how far at most, > 0; embeddings of this house have norm sqrt(D) a token.
    steps: of "freelb", >= 1.
    step_size: of one of them, > 0.
  """

  kind: Literal["none", "fgm", "freelb"] = "none"
  radius: float = number(1.0, above=0)
  steps: int = number(2, at_least=1, at_most=1000)
  step_size: float = number(0.5, above=0)


def gradient(
  loss: Loss,
  config: AdversaryConfig,
  noise_shape: Callable | None,
  differentiate: Callable = whole,
) -> Callable:
  """`jax.value_and_grad(loss, has_aux=True)`, adversarial if the config says so.

  Args:
    loss: reads the batch's "noise" of the shape below.
    config: how.
    noise_shape: of a batch; None where the model has none, and the kind is "none".
    differentiate: what `whole` is, perhaps in parts of the batch.
  """
  step = differentiate(loss)
  if config.kind == "none":

    def plain(params, memory, batch, rng):
      aux, (grads, _) = step((params, None), memory, batch, rng)
      return aux, grads

    return plain
  how = {"fgm": _fgm, "freelb": _freelb}[config.kind]
  return functools.partial(how, step, config, noise_shape)


def _fgm(both, config, noise_shape, params, memory, batch, rng):
  """The loss is that of the text as it is."""
  zeros = jnp.zeros(noise_shape(batch))
  (nats, after), (grads, up) = both((params, zeros), memory, batch, rng)
  noise = config.radius * _unit(up)
  _, (worse, _) = both((params, noise), memory, batch, rng)
  return (nats, after), jax.tree.map(lambda a, b: (a + b) / 2, grads, worse)


def _freelb(both, config, noise_shape, params, memory, batch, rng):
  """The loss is the mean on the way."""
  shape, key = noise_shape(batch), jax.random.fold_in(rng, 1)
  # inside the ball, whatever is drawn
  scale = config.radius / (shape[1] * shape[2]) ** 0.5
  sample = functools.partial(jax.random.uniform, minval=-1.0, maxval=1.0)
  noise = scale * rows.draw(sample, key, shape)
  total = None
  for _ in range(config.steps):
    (nats, after), (grads, up) = both((params, noise), memory, batch, rng)
    found = nats, grads
    total = found if total is None else jax.tree.map(jnp.add, total, found)
    noise = _inside(noise + config.step_size * _unit(up), config.radius)
  nats, grads = jax.tree.map(lambda a: a / config.steps, total)
  return (nats, after), grads


def _norm(x: Float[Array, "B T D"]) -> Float[Array, "B 1 1"]:
  return jnp.sqrt((x * x).sum((1, 2), keepdims=True))


def _unit(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
  """Of norm 1 a row; 0 for 0."""
  return x / jnp.maximum(_norm(x), 1e-12)


def _inside(x: Float[Array, "B T D"], radius: float) -> Float[Array, "B T D"]:
  return x * jnp.minimum(1.0, radius / jnp.maximum(_norm(x), 1e-12))
