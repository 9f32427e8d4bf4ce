"""Sessions: the states that rows of text continue from, in memory and in files."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, UInt32

from jaxmem.core.config import flatten
from jaxmem.core.errors import UserError
from jaxmem.core.typing import State
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.runtime import array_file
from jaxmem.runtime.fingerprints import fingerprints
from jaxmem.tokenizers import Tokenizer

# Is increased when the layout of the file changes so that older code cannot read it.
FORMAT = 2


class SessionError(UserError):
  """A file is no saved session, or is one of another model."""


class Session(NamedTuple):
  """Everything that rows of text continue from; every array is [B, ...].

  Attributes:
    state: the model's memory after all tokens that were read or drawn.
    logits: the logits of the next token.
    seen: which tokens were read or drawn, the EOS token excepted.
    key: the data of a random key a row.
    length: how many tokens were read or drawn; 0 where the text has not begun.
  """

  state: State
  logits: Float[Array, "B V"]
  seen: Bool[Array, "B V"]
  key: UInt32[Array, "B words"]
  length: Int32[Array, " B"]


# Up to so many rows a batch has a power of two, and beyond it a multiple of this.
ROWS = 16


def padded(rows: int) -> int:
  """Returns how many rows a batch of `rows` is compiled with."""
  if rows > ROWS:
    return -(-rows // ROWS) * ROWS
  return 1 << max(rows - 1, 0).bit_length()


@functools.partial(jax.jit, static_argnums=(0, 1))
def first_session(model: LM, batch_size: int) -> Session:
  """Returns the session of rows that have read nothing.

  Args:
    model: the language model.
    batch_size: B, the number of rows.
  """
  shape = (batch_size, model.config.vocab_size)
  return Session(
    state=model.init_state(batch_size),
    logits=jnp.zeros(shape, jnp.float32),
    seen=jnp.zeros(shape, bool),
    key=jnp.zeros((batch_size, 2), jnp.uint32),
    length=jnp.zeros((batch_size,), jnp.int32),
  )


def keys_of(
  seed: int, prompts: Sequence[bytes], repetitions: Sequence[int] | None = None
) -> UInt32[Array, "B words"]:
  """Makes a random key a row from the seed, the prompt, and its repetitions before.

  So a prompt gets the same continuation in any batch, and the same prompt twice in one
  batch gets two.

  Args:
    seed: the seed of the batch.
    prompts: the prompt of each row.
    repetitions: how often each prompt came before; None counts those of the batch.
  """
  if repetitions is None:
    counts = collections.Counter()
    repetitions = []
    for prompt in prompts:
      repetitions.append(counts[prompt])
      counts[prompt] += 1
  sums = np.zeros(padded(len(prompts)), np.uint32)
  sums[: len(prompts)] = [zlib.crc32(prompt) for prompt in prompts]
  before = np.zeros_like(sums)
  before[: len(prompts)] = repetitions
  return jnp.asarray(np.asarray(_keys(np.uint32(seed), sums, before))[: len(prompts)])


@jax.jit
def _keys(seed, sums, repetitions):
  base = jax.random.key(seed, impl="threefry2x32")

  def row(prompt, repetition):
    key = jax.random.fold_in(jax.random.fold_in(base, prompt), repetition)
    return jax.random.key_data(key)

  return jax.vmap(row)(sums, repetitions)


def save(
  path: str | Path, session: Session, model: LM, params: Any, tokenizer: Tokenizer
) -> None:
  """Writes a session to a file for `load`, completely or not at all.

  The file is an `array_file`, whose header identifies the model, the weights and the
  tokenizer of the session.

  Args:
    path: the file.
    session: the session.
    model: its language model.
    params: the model's parameters.
    tokenizer: the model's tokenizer.

  Raises:
    SessionError: if the file cannot be written.
  """
  header = {"format": FORMAT, "belongs": identity(model, params, tokenizer)}
  try:
    array_file.write(path, header, session)
  except OSError as error:
    raise SessionError(
      f"cannot write the state to {path}: {error.strerror}; name another file"
    ) from error


def load(path: str | Path, model: LM, params: Any, tokenizer: Tokenizer) -> Session:
  """Reads the session that `save` wrote.

  Args:
    path: the file.
    model: the language model.
    params: its parameters.
    tokenizer: its tokenizer.

  Raises:
    SessionError: if the file is missing or damaged, or if model, weights or tokenizer
      are not those it was saved with; the message names what differs.
  """
  path = Path(path)
  try:
    header, data = array_file.read(path)
  except FileNotFoundError as error:
    raise SessionError(
      f"no state file {path}: give one that --save-state wrote"
    ) from error
  except array_file.Unreadable as error:
    raise SessionError(
      f"{path} is no saved state, or damaged ({error}): give one that --save-state "
      "wrote"
    ) from error
  if header.get("format") != FORMAT:
    raise SessionError(
      f"{path} has format {header.get('format')}, this jaxmem reads {FORMAT}: read the "
      "text again"
    )
  _compare(path, header.get("belongs", {}), identity(model, params, tokenizer))
  return _build(path, header["leaves"], data, model)


def _build(path: Path, kinds: list, data: list[bytes], model: LM) -> Session:
  """Puts the leaves into their tree, for as many rows as were saved."""
  try:
    rows = int(kinds[-1][1][0])  # the last leaf is `length`, [B]
    shapes = jax.eval_shape(lambda: first_session(model, rows))
  except (LookupError, TypeError, ValueError, OverflowError) as error:
    raise SessionError(f"{path} is damaged: read the text again") from error
  if kinds != array_file.kinds(shapes):
    raise SessionError(
      f"{path} holds other arrays than this model's: read the text again"
    )
  try:
    arrays = array_file.build(shapes, data)
  except ValueError as error:
    raise SessionError(f"{path} is damaged: read the text again") from error
  return jax.tree.map(jnp.array, arrays)  # copies on the device, which can be donated


def identity(model: LM, params: Any, tokenizer: Tokenizer) -> dict[str, str]:
  """Identifies a model for its saved states: its config, weights and tokenizer.

  Args:
    model: the language model.
    params: its parameters.
    tokenizer: its tokenizer.
  """
  # how the model is trained does not change what its memory means
  fields = flatten(model.config, "model.", affects=("all",))
  # the values of the weights and not their file: a copied run is the same model
  weights = json.dumps(fingerprints(params), sort_keys=True).encode()
  model_keys = {key: _shown(value) for key, value in fields.items()}
  return model_keys | {
    "weights": hashlib.sha256(weights).hexdigest()[:16],
    "tokenizer": tokenizer.fingerprint,
  }


def as_of_now(saved: dict[str, Any]) -> dict[str, Any]:
  """Updates what `identity` returned in an older version to what it returns now.

  Fields that the model's config has gained since then had their defaults, and a pattern
  may have an older form.

  Args:
    saved: the saved identity.
  """
  fields = dataclasses.fields(LMConfig)
  added = {
    f"model.{f.name}": _shown(f.default)
    for f in fields
    if "model.d_model" in saved and f.default is not dataclasses.MISSING
  }
  if text := saved.get("model.pattern"):
    # a pattern that cannot be read is not this model's, and differs as it is
    with contextlib.suppress(UserError):
      saved = saved | {"model.pattern": pattern.show(pattern.parse(text))}
  return added | saved


def _shown(value: Any) -> str:
  return pattern.show(value) if isinstance(value, tuple) else str(value)


def _compare(path: Path, saved: dict[str, str], current: dict[str, str]) -> None:
  """Raises SessionError if the saved identity differs from that of this model."""
  saved = as_of_now(saved)
  for key, value in current.items():
    if saved.get(key) != value:
      raise SessionError(
        f"{path} was saved with {key} {saved.get(key)}, this run has {value}: give the "
        "--workdir it was saved with, or read the text again"
      )
