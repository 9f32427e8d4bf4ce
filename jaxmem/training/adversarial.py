"""Adversarial training: the gradient where embeddings are perturbed to raise the loss.

"fgm" averages the gradients at the text and at its worst neighbour,

    r = radius g / |g|,  g = dL/d(embeddings),

"freelb" climbs from a random neighbour in `steps` steps and averages the gradients on
the way, each of which the climb needs anyway. Norms are taken over a row.

Source: Miyato et al. 2016, arXiv:1605.07725 (fgm); Zhu et al. 2019, arXiv:1909.11764
(freelb).
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
  """Returns the loss as a function of (params, noise); the noise may be None."""

  def noisy(primals, memory, batch, rng):
    params, noise = primals
    if noise is not None:
      batch = batch | {"noise": noise}
    return loss(params, memory, batch, rng)

  return noisy


def whole(loss: Loss) -> Callable:
  """Differentiates a loss: `((params, noise), memory, batch, rng) -> aux, gradients`.

  Args:
    loss: `(params, memory, batch, rng) -> (nats, memory)`.

  Returns:
    The function above, where `aux` is (nats, memory) and the gradients are those of
    (params, noise).
  """
  return jax.value_and_grad(with_noise(loss), has_aux=True)


@dataclasses.dataclass(frozen=True)
class AdversaryConfig:
  """How embeddings are perturbed.

  Attributes:
    kind: "none", "fgm" (twice the cost of a step) or "freelb" (`steps` times).
    radius: the largest norm of a perturbation, > 0; embeddings of this package have
      norm sqrt(D) a token.
    steps: how many steps "freelb" climbs, >= 1.
    step_size: the length of one of them, > 0.
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
  """Returns `jax.value_and_grad(loss, has_aux=True)`, adversarial if so configured.

  Args:
    loss: adds the batch's "noise" to the embeddings, if there is any.
    config: how embeddings are perturbed.
    noise_shape: `batch -> (B, T, D)`, the shape of the noise; None where the model has
      no embeddings to perturb, and the kind is "none".
    differentiate: `whole`, or a function of its signature that computes the batch in
      parts.

  Returns:
    `(params, memory, batch, rng) -> ((nats, memory), grads)`.
  """
  value_and_grad = differentiate(loss)
  if config.kind == "none":

    def plain(params, memory, batch, rng):
      aux, (grads, _) = value_and_grad((params, None), memory, batch, rng)
      return aux, grads

    return plain
  method = {"fgm": _fgm, "freelb": _freelb}[config.kind]
  return functools.partial(method, value_and_grad, config, noise_shape)


def _fgm(value_and_grad, config, noise_shape, params, memory, batch, rng):
  """Reports the loss of the unperturbed text."""
  zeros = jnp.zeros(noise_shape(batch))  # [B, T, D]
  aux, (grads, ascent) = value_and_grad((params, zeros), memory, batch, rng)
  noise = config.radius * _unit(ascent)
  # the carried memory is that of the unperturbed text, not of its worst neighbour
  _, (worst_grads, _) = value_and_grad((params, noise), memory, batch, rng)
  return aux, jax.tree.map(lambda a, b: (a + b) / 2, grads, worst_grads)


def _freelb(value_and_grad, config, noise_shape, params, memory, batch, rng):
  """Reports the mean loss over the steps of the climb."""
  shape, key = noise_shape(batch), jax.random.fold_in(rng, 1)
  # the cube of this side lies inside the ball, so the first noise needs no projection
  scale = config.radius / (shape[1] * shape[2]) ** 0.5
  sample = functools.partial(jax.random.uniform, minval=-1.0, maxval=1.0)
  noise = scale * rows.draw(sample, key, shape)  # [B, T, D]
  total = None
  for _ in range(config.steps):
    (nats, after), (grads, ascent) = value_and_grad((params, noise), memory, batch, rng)
    step = nats, grads
    total = step if total is None else jax.tree.map(jnp.add, total, step)
    noise = _inside(noise + config.step_size * _unit(ascent), config.radius)
  nats, grads = jax.tree.map(lambda a: a / config.steps, total)
  return (nats, after), grads


def _norm(x: Float[Array, "B T D"]) -> Float[Array, "B 1 1"]:
  return jnp.sqrt((x * x).sum((1, 2), keepdims=True))


def _unit(x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
  """Normalises each row to unit norm; zero rows stay zero."""
  return x / jnp.maximum(_norm(x), 1e-12)


def _inside(x: Float[Array, "B T D"], radius: float) -> Float[Array, "B T D"]:
  return x * jnp.minimum(1.0, radius / jnp.maximum(_norm(x), 1e-12))
