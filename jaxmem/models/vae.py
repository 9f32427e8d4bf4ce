"""Variational autoencoders of short texts: an encoder, a latent, a causal decoder.

The encoder reads a text in both directions and outputs a Gaussian over a latent vector;
a stack of memories writes the text again with the latent added to its inputs. The text
that is read may differ from the one that is written: where it is the segment before,
the latent is a compressed memory of it.

Source: Bowman et al. 2015, arXiv:1511.06349.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxmem.core.ranges import number, required
from jaxmem.core.typing import Activations, State, Tokens
from jaxmem.layers.embedder import Embedder
from jaxmem.layers.primitives import dense, rms_norm
from jaxmem.models import Batch
from jaxmem.models import pattern as patterns
from jaxmem.models.pattern import Pattern, check_language, check_own, entry
from jaxmem.models.stack import Stack
from jaxmem.models.wrappers.bidirectional import one_text
from jaxmem.parallel import rows


@dataclasses.dataclass(frozen=True)
class VAEConfig:
  """The config of a variational autoencoder, as data.

  Attributes:
    vocab_size: V, ids are 0 .. V - 1.
    d_latent: L, numbers of the latent; 0 has no encoder and leaves the decoder alone,
      an unconditional language model.
    free_nats: how much of the KL of each number of the latent of each row is free: it
      counts as max(free_nats, KL); >= 0.
    word_dropout: share of the decoder's inputs that read as zeros while training, in
      [0, 1]; the EOS token that begins a text never does.
    encoder: the memories that read a text; causal ones are run in both directions.
    d_model: D, the number of features.
    d_ff: width of the decoder's MLPs; 0 is 2 d_model.
    pattern: the memories of a group of the decoder, causal.
    num_groups: how often the pattern is repeated.
    dropout: rate in the decoder's blocks, in [0, 1).
    dtype: the dtype of the computation, "float32" or "bfloat16"; the latent is float32.
  """

  vocab_size: int = number(0, at_least=0, at_most=2**24)
  d_latent: int = number(32, at_least=0, at_most=2**24)
  free_nats: float = number(0.0, at_least=0)
  word_dropout: float = number(0.0, at_least=0, at_most=1)
  encoder: Pattern = required("name at least one memory", (entry("gru"),))
  d_model: int = number(128, at_least=1, at_most=2**20)
  d_ff: int = number(0, at_least=0, at_most=2**24)
  pattern: Pattern = (entry("gru"),)
  num_groups: int = number(1, at_least=1, at_most=2**16)
  dropout: float = number(0.0, at_least=0, below=1)
  dtype: str = "float32"


class Posterior(NamedTuple):
  """The posterior q(z | what was read): L independent Gaussians a row.

  Attributes:
    mean: the means.
    log_std: the logarithms of the standard deviations.
  """

  mean: Float[Array, "B L"]
  log_std: Float[Array, "B L"]

  def draw(self, noise: Float[Array, "B L"]) -> Float[Array, "B L"]:
    """Returns mean + std noise, a sample where the noise is standard normal."""
    return self.mean + jnp.exp(self.log_std) * noise

  def kl(self) -> Float[Array, "B L"]:
    """Computes KL(q || N(0, 1)) of each number of the latent, in nats.

        KL = (mean^2 + std^2 - 1) / 2 - log std

    Where log std is above 44, std^2 overflows float32 and the KL is infinite: a step of
    training is then skipped. It is not clamped, since a clamped std would have no
    gradient that leads it back.

    Source: Kingma and Welling 2013, arXiv:1312.6114, appendix B.
    """
    # expm1: std^2 - 1 would lose its digits where std is near 1, where KL is near 0
    square = self.mean**2 + jnp.expm1(2 * self.log_std)  # [B, L]
    return 0.5 * square - self.log_std

  def log_ratio(self, noise: Float[Array, "B L"]) -> Float[Array, " B"]:
    """Computes log N(z; 0, 1) - log q(z) at z = `draw(noise)`, an importance weight."""
    z = self.draw(noise)  # [B, L]
    return (0.5 * (noise**2 - z**2) + self.log_std).sum(-1)


class Reader(nn.Module):
  """Applies x + mixer(norm(x)) for each memory, and averages over the text.

  Attributes:
    pattern: the memories; causal ones are run in both directions.
    d_model: D, the number of features.
    dtype: the dtype of the computation.
  """

  pattern: Pattern
  d_model: int
  dtype: str = "float32"

  @nn.compact
  def __call__(self, x: Activations, mask: Bool[Array, "B T"]) -> Float[Array, "B D"]:
    """Returns the features of each row's text, float32; zeros for an empty text.

    Args:
      x: embeddings; a text begins at its row's first token.
      mask: True for tokens of the text; padding has no influence.
    """
    reset = one_text(mask)  # [B, T]
    for i, item in enumerate(patterns.both_ways(self.pattern)):
      y = rms_norm(f"norm_{i}", self.dtype)(x)  # [B, T, D]
      mixer = patterns.mixer(item, self.d_model, self.dtype, name=f"mixer_{i}")
      x = x + mixer(y, mixer.init_state(x.shape[0]), reset)[0]  # [B, T, D]
    x = rms_norm("norm", self.dtype)(x).astype(jnp.float32)
    total = jnp.where(mask[..., None], x, 0).sum(1)  # [B, D]
    return total / jnp.maximum(mask.sum(1, keepdims=True), 1).astype(jnp.float32)


class VAE(nn.Module):
  """Encodes text to a latent vector, and decodes a latent vector to text.

      model = VAE(VAEConfig(vocab_size=257, d_latent=16))
      batch = model.example(2, 64)
      params = model.init(key, batch, (), method="objective")
      q = model.apply(params, read, mask, method="posterior")
      nats = model.apply(params, tokens, targets, q.mean, method="losses")

  A batch has what is read and what is written, padded on the right to T:

      read     int32   [B, T]  the text that becomes the latent
      length   int32   [B]     its tokens, 0 .. T
      tokens   int32   [B, T]  the EOS token and the text to write
      targets  int32   [B, T]  that text and the EOS token
      weights  float32 [B, T]  1 for a target, 0 for padding
      kl_weight float32 [B]    of the KL, from 0 on while it is annealed

  Attributes:
    config: see `VAEConfig`.
  """

  config: VAEConfig

  def setup(self):
    """Makes the decoder, and the encoder if there is a latent."""
    c = self.config
    self.embedder = Embedder(c.vocab_size, c.d_model, dtype=c.dtype)
    nn.share_scope(self, self.embedder)
    self.stack = self._stack(name="stack")
    self.norm = rms_norm("norm", c.dtype)
    if c.d_latent:
      check_own(c.encoder)
      self.reader = Reader(c.encoder, c.d_model, c.dtype, name="reader")
      axes = ("embed", None)
      self.gaussian = dense(2 * c.d_latent, axes, "gaussian", "float32", bias=True)
      self.given = dense(c.d_model, axes[::-1], "given", c.dtype)

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

  def posterior(self, read: Tokens, length: Int[Array, " B"]) -> Posterior:
    """Computes q(z | text) of each row.

    Args:
      read: the text, padded on the right.
      length: how many tokens of each row are text.
    """
    if not self.config.d_latent:
      empty = jnp.zeros((read.shape[0], 0), jnp.float32)
      return Posterior(empty, empty)
    mask = jnp.arange(read.shape[1]) < length[:, None]  # [B, T]
    features = self.reader(self.embedder.encode(read), mask)  # [B, D]
    mean, log_std = jnp.split(self.gaussian(features), 2, axis=-1)  # [B, L] each
    return Posterior(mean, log_std)

  def step(
    self, tokens: Tokens, latent: Float[Array, "B L"], state: State
  ) -> tuple[Float[Array, "B T V"], State]:
    """Returns logits of the token after each, float32, and the decoder's memory.

    Args:
      tokens: ids; a text begins with the EOS token.
      latent: the latent of each row.
      state: see `first_state`.
    """
    x, state = self._features(self.embedder.encode(tokens), latent, state)  # [B, T, D]
    return self.embedder.decode(x), state

  def losses(
    self,
    tokens: Tokens,
    targets: Tokens,
    latent: Float[Array, "B L"],
    deterministic: bool = True,
  ) -> Float[Array, "B T"]:
    """Returns nats of each target, -log p(target | tokens before, latent), float32."""
    x, rate = self.embedder.encode(tokens), self.config.word_dropout  # [B, T, D]
    if rate and not deterministic:

      def bernoulli(key, shape):
        return jax.random.bernoulli(key, 1 - rate, shape)

      keep = rows.draw(bernoulli, self.make_rng("dropout"), tokens.shape)  # [B, T]
      keep = keep.at[:, 0].set(True)
      x = jnp.where(keep[..., None], x, 0)
    state = self.first_state(tokens.shape[0])
    x, _ = self._features(x, latent, state, deterministic)  # [B, T, D]
    return self.embedder.nats(x, targets)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], tuple[()]]:
    """Computes the negative ELBO, with a row's KL in equal shares over its targets.

        -E log p(x | z) + kl_weight sum_l max(free_nats, KL_l)

    One latent is drawn a row; `deterministic` takes the mean. The floor of the free
    nats applies to each row and not to a mean over the batch as in Kingma et al. 2016
    (arXiv:1606.04934, section C.8), so that neither accumulation nor devices change it.
    """
    q = self.posterior(batch["read"], batch["length"])
    noise = jnp.zeros_like(q.mean)
    if not deterministic and self.config.d_latent:
      key = self.make_rng("dropout")
      noise = rows.draw(jax.random.normal, key, q.mean.shape)  # [B, L]
    latent, targets = q.draw(noise), batch["targets"]
    nats = self.losses(batch["tokens"], targets, latent, deterministic)  # [B, T]
    kl = jnp.maximum(q.kl(), self.config.free_nats).sum(-1) * batch["kl_weight"]  # [B]
    share = kl / jnp.maximum(batch["weights"].sum(1), 1)
    return nats + share[:, None], memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    row = jnp.zeros(batch_size, jnp.int32)
    batch = {"read": tokens, "length": row, "tokens": tokens, "targets": tokens}
    weights = {"weights": tokens.astype(jnp.float32)}
    return batch | weights | {"kl_weight": row.astype(jnp.float32)}

  def first_state(self, batch_size: int) -> State:
    """Returns the decoder's memory before a text."""
    return self._stack(parent=None).init_state(batch_size)

  def init_state(self, batch_size: int) -> tuple[()]:
    """Returns (): a step of training reads a text whole, and carries nothing."""
    return ()

  def state_axes(self) -> tuple[()]:
    """Returns (), the axis names of nothing."""
    return ()

  def _features(
    self,
    x: Activations,
    latent: Float[Array, "B L"],
    state: State,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    """Returns what the head reads."""
    # every input has the latent, the EOS token too, so that the memory begins from it
    if self.config.d_latent:
      x = x + self.given(latent)[:, None]
    x, state = self.stack(x, state, None, deterministic)
    return self.norm(x), state


Config = VAEConfig
Model = VAE
