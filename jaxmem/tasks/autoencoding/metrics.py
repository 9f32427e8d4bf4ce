"""Metrics of autoencoding: the bound on the bits, its parts, and active units."""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmem.models.vae import VAE
from jaxmem.tasks import scoring

# A unit of the latent is active if its posterior mean varies more over the data.
ACTIVE = 0.01


@dataclasses.dataclass(frozen=True)
class Worth:
  """Sums and means in bits over the texts that were scored.

  Attributes:
    texts: number of texts.
    num_bytes: their bytes, line breaks included.
    reconstruction: sum of -E log2 p(text | z) over draws of z from the posterior.
    kl: sum of KL(q || prior).
    kl_of: mean KL of each unit of the latent, in falling order.
    sampled: sum of -log2 of the mean over the draws of w. For a latent of the text
      itself w = p(text | z) p(z) / q(z | text), the importance weights of the source's
      eq. 8, and the expected value is at most that of `elbo`. For a latent of the text
      before it, which is available before the text, w = p(text | z), and the expected
      value is at most that of `reconstruction`.
    active: number of units whose posterior mean has a variance above `ACTIVE` over the
      texts (section 5 of the source).

  Source: Burda et al. 2015, arXiv:1509.00519.
  """

  texts: int
  num_bytes: int
  reconstruction: float
  kl: float
  kl_of: tuple[float, ...]
  sampled: float
  active: int

  @property
  def elbo(self) -> float:
    """Returns the negative ELBO, reconstruction + KL."""
    return self.reconstruction + self.kl


def worth(
  model: VAE,
  params: Any,
  batches: Iterable[tuple[dict[str, np.ndarray], int, int]],
  draws: int,
  seed: int = 0,
  reads_target: bool = True,
) -> Worth:
  """Scores a model by the bound on the bits of texts and by its parts.

  Cost: one encoding and `draws` decodings of each text.

  Args:
    model: the autoencoder.
    params: its parameters.
    batches: triples of a batch of `data.batch`, how many of its first rows are real,
      and their bytes; at least one, all of one shape.
    draws: K >= 1, draws of the latent for each text.
    seed: seed of the draws, which do not depend on the size of a batch.
    reads_target: whether the latent is of the text that is written, not of another.
  """
  key, batches = jax.random.key(seed), list(batches)

  def terms(item: tuple[int, tuple]) -> dict[str, tuple[Any, Any]]:
    number, (batch, real, _) = item
    count = len(batch["length"])
    rows = number * count + np.arange(count)  # [B], counted over all batches
    noise = _noise(key, rows, draws, model.config.d_latent)
    arrays = jax.device_get(
      _terms(model, params, batch, noise, reads_target=reads_target)
    )
    nats, weights, kl, mean = (np.asarray(a, np.float64) for a in arrays)
    # log mean exp over the draws; the largest is taken out against underflow
    top = weights.max(1, keepdims=True)
    log_mean = top[:, 0] + np.log(np.exp(weights - top).mean(1))
    counts = (np.arange(count) < real).astype(np.float64)
    column = counts[:, None]  # [B, 1], against [B, L]
    return {
      "nats": (nats.mean(1), counts),
      "sampled": (-log_mean, counts),
      "kl": (kl, column),
      "mean": (mean, column),
      "square": (mean**2, column),
    }

  sums = scoring.totals(terms, enumerate(batches))
  bits = {name: total.value / math.log(2) for name, total in sums.items()}
  variance = sums["square"].mean - sums["mean"].mean ** 2
  kl_of = sums["kl"].mean / math.log(2)
  return Worth(
    texts=sum(real for _, real, _ in batches),
    num_bytes=sum(size for _, _, size in batches),
    reconstruction=float(bits["nats"]),
    kl=float(bits["kl"].sum()),
    kl_of=tuple(sorted(kl_of.tolist(), reverse=True)),
    sampled=float(bits["sampled"]),
    active=int((variance > ACTIVE).sum()),
  )


@functools.partial(jax.jit, static_argnames=("draws", "size"))
def _noise(key: Array, rows: Int[Array, " B"], draws: int, size: int):
  """Draws normal noise [B, K, L]; a row's noise depends on its number alone."""
  keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
  return jax.vmap(lambda key: jax.random.normal(key, (draws, size)))(keys)


@functools.partial(jax.jit, static_argnames=("model", "reads_target"))
def _terms(
  model: VAE, params, batch, noise: Float[Array, "B K L"], *, reads_target: bool
):
  """Returns nats [B, K] by draw, log weights [B, K], KL [B, L] and means [B, L]."""
  apply = functools.partial(model.apply, {"params": params})
  q = apply(batch["read"], batch["length"], method="posterior")

  def score(noise):
    losses = apply(batch["tokens"], batch["targets"], q.draw(noise), method="losses")
    nats = (losses * batch["weights"]).sum(1)  # [B, T] -> [B]
    return nats, (q.log_ratio(noise) if reads_target else 0.0) - nats

  # one draw at a time: memory does not grow with K
  nats, weights = jax.lax.map(score, jnp.swapaxes(noise, 0, 1))  # [K, B]
  return nats.T, weights.T, q.kl(), q.mean


def numbers(worth: Worth, draws: int) -> dict[str, Any]:
  """Returns the metrics by byte and by text, for JSON.

  Args:
    worth: the sums.
    draws: draws of the latent that they were computed with.
  """
  size = worth.num_bytes
  return {
    "texts": worth.texts,
    "bytes": worth.num_bytes,
    "elbo": worth.elbo / size,
    "reconstruction": worth.reconstruction / size,
    "sampled": worth.sampled / size,
    "draws": draws,
    "kl_bits_per_text": worth.kl / worth.texts,
    "kl_bits_of": list(worth.kl_of),
    "active_units": worth.active,
  }


def table(numbers: dict[str, Any]) -> list[str]:
  """Returns `numbers` as a Markdown table."""
  draws, size = numbers["draws"], len(numbers["kl_bits_of"])
  costs = [f"{numbers[key]:.3f}" for key in ("elbo", "reconstruction", "sampled")]
  active = f"{numbers['active_units']} of {size}"
  cells = [*costs, f"{numbers['kl_bits_per_text']:.2f}", active]
  return [
    f"| -ELBO, bits/byte | reconstruction | {draws} draws | KL, bits/text | active |",
    "|--:|--:|--:|--:|--:|",
    f"| {' | '.join(cells)} |",
  ]
