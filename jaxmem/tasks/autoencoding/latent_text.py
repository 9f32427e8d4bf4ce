"""Text to latents and back: reconstructions, samples and interpolations."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from jaxmem.core.errors import UserError
from jaxmem.data.epochs import once
from jaxmem.generation.decode import sample
from jaxmem.generation.sampling import Sampling
from jaxmem.models.vae import VAE
from jaxmem.tokenizers import Tokenizer

# Rows that are read or written at once: one shape, compiled once.
ROWS = 32


class LatentWriter:
  """Encodes short texts as latents and decodes latents to texts.

  writer = LatentWriter(model, params, tokenizer, length=64)
  ends = writer.read([b"import os", b"return None"])
  writer.write(writer.between(*ends, steps=5), Sampling(temperature=0.0))
  """

  def __init__(self, model: VAE, params: Any, tokenizer: Tokenizer, length: int):
    """Args:
    model: the autoencoder.
    params: its parameters.
    tokenizer: its tokenizer.
    length: T, most tokens of a text and the EOS token at its end.
    """
    self._model, self._params, self._tokenizer = model, params, tokenizer
    self._length, self._size = length, model.config.d_latent

  def check(self, text: str) -> None:
    """Raises UserError unless a text is one line that can be read."""
    try:
      ids = self._tokenizer.encode(text.encode())
    except UnicodeEncodeError as error:
      raise UserError("it holds half of a surrogate pair, which is no text") from error
    if not text.strip():
      raise UserError("it is empty: nothing is to be read")
    if re.search(r"[\r\n].", text, re.DOTALL):
      raise UserError("it has several lines, and a text is one: give each by itself")
    if len(ids) >= self._length:
      raise UserError(
        f"it has {len(ids)} tokens, and at most {self._length - 1} are read: shorten "
        "it, or train with a larger task.segment_length"
      )

  def read(self, texts: Sequence[bytes]) -> Float[np.ndarray, "N L"]:
    """Returns the means of the posteriors of texts that were checked.

    Args:
      texts: the texts, at least one.
    """
    tokens = np.zeros((len(texts), self._length), np.int32)
    length = np.zeros(len(texts), np.int32)
    for row, text in enumerate(texts):
      ids = self._tokenizer.encode(text)
      tokens[row, : len(ids)], length[row] = ids, len(ids)
    # each part [ROWS, L], cut to its real rows
    parts = [
      np.asarray(_read(self._model, self._params, rows, sizes))[:real]
      for real, rows, sizes in _in_rows(tokens, length)
    ]
    return np.concatenate(parts)

  def prior(self, count: int, seed: int) -> Float[np.ndarray, "N L"]:
    """Draws latents of the prior; each row has a key, so fewer are a prefix of more.

    Args:
      count: how many.
      seed: seed of the draws.
    """
    draw = functools.partial(jax.random.normal, shape=(self._size,))
    return np.asarray(jax.vmap(draw)(_keys(seed, count)))

  def between(
    self, first: Float[np.ndarray, " L"], last: Float[np.ndarray, " L"], steps: int
  ) -> Float[np.ndarray, "N L"]:
    """Interpolates linearly between two latents.

    Args:
      first: the latent of the first row.
      last: the latent of the last row.
      steps: N, both ends included.
    """
    return np.linspace(first, last, steps, dtype=np.float32)

  def write(
    self, latent: Float[np.ndarray, "N L"], how: Sampling, seed: int = 0
  ) -> list[str]:
    """Decodes latents to texts; bytes that are no UTF-8 become U+FFFD.

    Args:
      latent: the latents.
      how: how tokens are drawn; temperature 0 takes the likeliest.
      seed: seed of the draws.
    """
    # stream 1: texts are drawn independently of latents from the same seed
    keys = np.asarray(jax.random.key_data(_keys(seed, len(latent), 1)))  # [N, words]
    sizes = {"length": self._length, "vocab_size": self._tokenizer.vocab_size}
    sizes |= {"eos_id": self._tokenizer.eos_id}
    texts = []
    for real, rows, row_keys in _in_rows(latent, keys):
      ids = _write(self._model, self._params, rows, row_keys, how, **sizes)
      ids = np.asarray(ids)  # [ROWS, T]
      texts += [self._tokenizer.decode(row) for row in ids[:real]]
    return [text.decode(errors="replace") for text in texts]


def _keys(seed: int, count: int, stream: int = 0) -> Array:
  """Returns a key a row, the same in any batch; each stream has keys of its own."""
  key = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), stream)
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(np.arange(count))


def _in_rows(*arrays: np.ndarray) -> Iterator[tuple]:
  """Yields how many rows are real, and `ROWS` rows of each array."""
  for items, real in once(len(arrays[0]), ROWS):
    yield real, *(a[items] for a in arrays)


@functools.partial(jax.jit, static_argnames="model")
def _read(model: VAE, params: Any, tokens: Int[Array, "B T"], length: Int[Array, " B"]):
  return model.apply({"params": params}, tokens, length, method="posterior").mean


@functools.partial(jax.jit, static_argnames=("model", "length", "vocab_size", "eos_id"))
def _write(
  model: VAE,
  params: Any,
  latent: Float[Array, "B L"],
  keys: UInt32[Array, "B words"],
  how: Sampling,
  *,
  length: int,
  vocab_size: int,
  eos_id: int,
) -> Int[Array, "B T"]:
  """Decodes each latent to a text, padded by EOS tokens.

  Cost: at most `length` + 1 steps. A row does not depend on the others, except in the
  last bits of the matrix products.

  Args:
    model: the autoencoder.
    params: its parameters.
    latent: the latent of each row.
    keys: see `sampling.draw`.
    how: how tokens are drawn; temperature 0 takes the likeliest.
    length: T, tokens of the longest text.
    vocab_size: ids of the tokenizer.
    eos_id: the id that begins and ends a text.
  """

  def step(token, state):
    """Advances by one token [B]; returns logits [B, V] and the state."""
    logits, state = model.apply(
      {"params": params}, token[:, None], latent, state, method="step"
    )
    return logits[:, 0], state

  rows = len(latent)
  # the EOS token begins a text, too; the state is that before any token
  logits, state = step(jnp.full(rows, eos_id, jnp.int32), model.first_state(rows))
  sizes = dict(eos_id=eos_id, length=length, vocab_size=vocab_size)
  return sample(step, logits, state, keys, how, **sizes)
