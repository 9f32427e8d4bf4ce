"""A variational autoencoder of short texts: an encoder, a latent, a causal decoder.

A text is read both ways and becomes a Gaussian over a latent vector; a stack of
memories writes the text again with the latent added to what it reads (Bowman et al.
2015, arXiv:1511.06349). What is read may be another text than the one that is written:
the segment before it, say, of which the latent is then the compressed memory.
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
  """A variational autoencoder as data.

  Attributes:
    vocab_size: ids are 0 .. vocab_size - 1.
    d_latent: L, numbers of the latent; 0 has no encoder and leaves the decoder alone,
      an unconditional language model.
    free_nats: of each number of the latent of each row: so much of its KL is free, that
      is, it counts as max(free_nats, KL); >= 0.
    word_dropout: share of the decoder's inputs that read as zeros while training, in
      [0, 1]; the EOS token that begins a text never does.
    encoder: the memories that read a text; causal ones are run both ways.
    d_model: features.
    d_ff: width of the decoder's MLPs; 0 is 2 d_model.
    pattern: the memories of a group of the decoder, causal.
    num_groups: how often the pattern is repeated.
    dropout: rate in the decoder's blocks, in [0, 1).
    dtype: of the computation, "float32" or "bfloat16"; the latent is float32.
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
  """q(z | what was read): L independent Gaussians a row."""

  mean: Float[Array, "B L"]
  log_std: Float[Array, "B L"]

  def draw(self, noise: Float[Array, "B L"]) -> Float[Array, "B L"]:
    """mean + std noise; zeros for noise are the mean."""
    return self.mean + jnp.exp(self.log_std) * noise

  def kl(self) -> Float[Array, "B L"]:
    """KL(q || N(0, 1)) = (mean^2 + std^2 - 1) / 2 - log std of each number, nats.

    Where log std is above 44, std^2 is no number of float32 and the KL is infinite: a
    step of training is then skipped. It is not clamped, as a clamped std would have no
    gradient to come back by.

    Source: Kingma and Welling 2013, arXiv:1312.6114, appendix B.
    """
    square = self.mean**2 + jnp.expm1(2 * self.log_std)
    return 0.5 * square - self.log_std

  def log_ratio(self, noise: Float[Array, "B L"]) -> Float[Array, " B"]:
    """log N(z; 0, 1) - log q(z) at `draw(noise)`: what an importance weight needs."""
    z = self.draw(noise)
    return (0.5 * (noise**2 - z**2) + self.log_std).sum(-1)


class Reader(nn.Module):
  """x + mixer(norm(x)) for each memory, both ways, and the mean over the text.

  Attributes:
    pattern: the memories.
    d_model: D.
    dtype: of the computation.
  """

  pattern: Pattern
  d_model: int
  dtype: str = "float32"

  @nn.compact
  def __call__(self, x: Activations, mask: Bool[Array, "B T"]) -> Float[Array, "B D"]:
    """The features of each row's text, float32, 0 for none.

    Args:
      x: embeddings, each text from the row's first token on.
      mask: which tokens are the text; the rest is padding and moves nothing.
    """
    reset = one_text(mask)
    for i, item in enumerate(patterns.both_ways(self.pattern)):
      y = rms_norm(f"norm_{i}", self.dtype)(x)
      mixer = patterns.mixer(item, self.d_model, self.dtype, name=f"mixer_{i}")
      x = x + mixer(y, mixer.init_state(x.shape[0]), reset)[0]
    x = rms_norm("norm", self.dtype)(x).astype(jnp.float32)
    total = jnp.where(mask[..., None], x, 0).sum(1)
    return total / jnp.maximum(mask.sum(1, keepdims=True), 1).astype(jnp.float32)


class VAE(nn.Module):
  """Text to a latent vector, and a latent vector to text.

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
    sizes = c.d_model, c.d_ff or 2 * c.d_model, c.num_groups, c.dropout
    return Stack(c.pattern, *sizes, dtype=c.dtype, **fields)

  def posterior(self, read: Tokens, length: Int[Array, " B"]) -> Posterior:
    """q(z | text) of each row.

    Args:
      read: the text, padded on the right.
      length: its tokens.
    """
    if not self.config.d_latent:
      nothing = jnp.zeros((read.shape[0], 0), jnp.float32)
      return Posterior(nothing, nothing)
    mask = jnp.arange(read.shape[1]) < length[:, None]
    numbers = self.gaussian(self.reader(self.embedder.encode(read), mask))
    return Posterior(*jnp.split(numbers, 2, axis=-1))

  def step(
    self, tokens: Tokens, latent: Float[Array, "B L"], state: State
  ) -> tuple[Float[Array, "B T V"], State]:
    """Logits for the token after each, float32, and the decoder's memory.

    Args:
      tokens: a text begins with the EOS token.
      latent: of each row.
      state: see `first_state`.
    """
    x, state = self._features(self.embedder.encode(tokens), latent, state)
    return self.embedder.decode(x), state

  def losses(
    self,
    tokens: Tokens,
    targets: Tokens,
    latent: Float[Array, "B L"],
    deterministic: bool = True,
  ) -> Float[Array, "B T"]:
    """Nats of each target, -log p(target | tokens before, latent), float32."""
    x, drop = self.embedder.encode(tokens), self.config.word_dropout
    if drop and not deterministic:
      sample = lambda key, shape: jax.random.bernoulli(key, 1 - drop, shape)
      keep = rows.draw(sample, self.make_rng("dropout"), tokens.shape)
      keep = keep.at[:, 0].set(True)
      x = jnp.where(keep[..., None], x, 0)
    state = self.first_state(tokens.shape[0])
    x, _ = self._features(x, latent, state, deterministic)
    return self.embedder.nats(x, targets)

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, "B T"], tuple[()]]:
    """-ELBO: nats of the targets, and the KL of a row in equal shares over its targets.

        -E log p(x | z) + kl_weight sum_l max(free_nats, KL_l)

    One latent is drawn a row; `deterministic` takes the mean. The floor of the free
    nats is each row's own, not that of a mean over the batch as in Kingma et al. 2016
    (arXiv:1606.04934, section C.8), so that neither accumulation nor devices move it.
    """
    q = self.posterior(batch["read"], batch["length"])
    noise = jnp.zeros_like(q.mean)
    if not deterministic and self.config.d_latent:
      key = self.make_rng("dropout")
      noise = rows.draw(jax.random.normal, key, q.mean.shape)
    written = batch["tokens"], batch["targets"], q.draw(noise)
    nats = self.losses(*written, deterministic)
    kl = jnp.maximum(q.kl(), self.config.free_nats).sum(-1) * batch["kl_weight"]
    share = kl / jnp.maximum(batch["weights"].sum(1), 1)
    return nats + share[:, None], memory

  def example(self, batch_size: int, length: int) -> Batch:
    """A batch of zeros."""
    tokens = jnp.zeros((batch_size, length), jnp.int32)
    row = jnp.zeros(batch_size, jnp.int32)
    batch = {"read": tokens, "length": row, "tokens": tokens, "targets": tokens}
    weights = {"weights": tokens.astype(jnp.float32)}
    return batch | weights | {"kl_weight": row.astype(jnp.float32)}

  def first_state(self, batch_size: int) -> State:
    """The decoder's memory before a text."""
    return self._stack(parent=None).init_state(batch_size)

  def init_state(self, batch_size: int) -> tuple[()]:
    """Nothing: a text is read whole in a step of training."""
    return ()

  def state_axes(self) -> tuple[()]:
    return ()

  def _features(
    self,
    x: Activations,
    latent: Float[Array, "B L"],
    state: State,
    deterministic: bool = True,
  ) -> tuple[Activations, State]:
    """What the head reads. The latent is added to every input, the EOS token's too, so
    the memory begins from it."""
    if self.config.d_latent:
      x = x + self.given(latent)[:, None]
    x, state = self.stack(x, state, None, deterministic)
    return self.norm(x), state


Config = VAEConfig
Model = VAE
