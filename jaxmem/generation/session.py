"""What rows of text continue from, in memory and in a file."""

import contextlib
import dataclasses
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

# Raised when the layout of the file changes in a way that older code cannot read.
FORMAT = 2


class SessionError(UserError):
  """A file is no saved session, or not one of this model."""


class Session(NamedTuple):
  """All that rows of text continue from; every array is [B, ...].

  Attributes:
    state: the model's memory after every token read or drawn.
    logits: of the next token.
    seen: which tokens were read or drawn, but not the EOS token.
    key: the data of a random key a row.
    length: tokens read or drawn; 0 has not begun.
  """

  state: State
  logits: Float[Array, "B V"]
  seen: Bool[Array, "B V"]
  key: UInt32[Array, "B words"]
  length: Int32[Array, " B"]


def first_session(model: LM, batch_size: int) -> Session:
  """Nothing read yet."""
  shape = (batch_size, model.config.vocab_size)
  return Session(
    model.init_state(batch_size),
    jnp.zeros(shape, jnp.float32),
    jnp.zeros(shape, bool),
    jnp.zeros((batch_size, 2), jnp.uint32),
    jnp.zeros((batch_size,), jnp.int32),
  )


def keys_of(seed: int, prompts: Sequence[bytes]) -> UInt32[Array, "B words"]:
  """A random key a row: of the seed, the prompt, and how many rows before share it.

  A prompt is thus answered alike in any batch, and the same prompt twice in one batch
  is answered twice.
  """
  first = jax.random.key(seed, impl="threefry2x32")
  keys = []
  for i, prompt in enumerate(prompts):
    key = jax.random.fold_in(first, np.uint32(zlib.crc32(prompt)))
    again = sum(other == prompt for other in prompts[:i])
    keys.append(jax.random.key_data(jax.random.fold_in(key, again)))
  return jnp.stack(keys)


def save(
  path: str | Path, session: Session, model: LM, params: Any, tokenizer: Tokenizer
) -> None:
  """Writes a session to a file that `load` continues from; whole, or not at all.

  The file is an `array_file`, whose header says what model, weights and tokenizer the
  session is of.

  Raises:
    SessionError: if the file cannot be written.
  """
  header = {"format": FORMAT, "belongs": belongs(model, params, tokenizer)}
  try:
    array_file.write(path, header, session)
  except OSError as error:
    raise SessionError(
      f"cannot write the state to {path}: {error.strerror}; name another file"
    ) from error


def load(path: str | Path, model: LM, params: Any, tokenizer: Tokenizer) -> Session:
  """The session that `save` wrote.

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
  _compare(path, header.get("belongs", {}), belongs(model, params, tokenizer))
  return _build(path, header["leaves"], data, model)


def _build(path: Path, kinds: list, data: list[bytes], model: LM) -> Session:
  """The leaves in their tree, for as many rows as were saved."""
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
  return jax.tree.map(jnp.array, arrays)  # to be donated


def belongs(model: LM, params: Any, tokenizer: Tokenizer) -> dict[str, str]:
  """What a saved memory is of: the model's config, its weights, the ids of the text."""
  # how the model is trained does not change what its memory means
  fields = flatten(model.config, "model.", affects=("all",))
  weights = json.dumps(fingerprints(params), sort_keys=True).encode()
  model_keys = {key: _shown(value) for key, value in fields.items()}
  return model_keys | {
    "weights": hashlib.sha256(weights).hexdigest()[:16],
    "tokenizer": tokenizer.fingerprint,
  }


def as_of_now(saved: dict[str, Any]) -> dict[str, Any]:
  """What `belongs` gave an older version, as this one says it.

  A field of the model's config that was added since had its default, and a pattern may
  stand in an older form.
  """
  fields = dataclasses.fields(LMConfig)
  added = {
    f"model.{f.name}": _shown(f.default)
    for f in fields
    if "model.d_model" in saved and f.default is not dataclasses.MISSING
  }
  if text := saved.get("model.pattern"):
    with contextlib.suppress(UserError):  # what cannot be read is not this model's
      saved = saved | {"model.pattern": pattern.show(pattern.parse(text))}
  return added | saved


def _shown(value: Any) -> str:
  return pattern.show(value) if isinstance(value, tuple) else str(value)


def _compare(path: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
  saved = as_of_now(saved)
  for key, value in wanted.items():
    if saved.get(key) != value:
      raise SessionError(
        f"{path} was saved with {key} {saved.get(key)}, this run has {value}: give the "
        "--workdir it was saved with, or read the text again"
      )
