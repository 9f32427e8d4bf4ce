"""Completes a model's config by sizes of the data, and checks it; costs nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxmem.core.errors import ConfigError
from jaxmem.models import pattern
from jaxmem.tokenizers import trained


def with_vocab(model: Any, tokens: int, source: str) -> Any:
  """Returns the model's config with a vocabulary, rounded up to a multiple of 64.

  Args:
    model: config of the model; a `vocab_size` other than 0 is kept.
    tokens: number of ids of the data.
    source: name of the tokenizer or the data, for the message.

  Raises:
    ConfigError: if the model's `vocab_size` is smaller than the number of ids.
  """
  if model.vocab_size and model.vocab_size < tokens:
    raise ConfigError(
      f"model.vocab_size is {model.vocab_size}, {source} has {tokens} ids: raise it, "
      "or set 0 to take as many"
    )
  # a multiple of 64 fills tiles of a matrix unit, and divides over a mesh
  vocab_size = model.vocab_size or -(-tokens // 64) * 64
  return dataclasses.replace(model, vocab_size=vocab_size)


def check_encoder(model: Any, length: int, windows: bool) -> None:
  """Checks an encoder's config against the rows of a task.

  Args:
    model: config of the encoder.
    length: T, tokens of a row.
    windows: whether the task reads one vector a text, so that rows may be cut into
      windows; a task that reads tokens needs the whole row.

  Raises:
    ConfigError: if rows are not a whole number of windows, or are longer than the
      model's positions.
  """
  if not windows and (model.window or model.between):
    raise ConfigError(
      f"model.window is {model.window} and model.between "
      f"{pattern.show(model.between)!r}: a row is read whole, leave both out"
    )
  if length < 8 or (model.window and length % model.window):
    raise ConfigError(
      f"task.segment_length is {length}: 8 at least, in whole windows of model.window"
    )
  # positions restart in each window
  most = model.window or length
  if model.positions and most > model.positions:
    raise ConfigError(
      f"{most} tokens are read at once and model.positions is {model.positions}: lower "
      "task.segment_length, or set model.window"
    )


def with_made(model: Any, name: str, mask: bool = False, exact: bool = False) -> Any:
  """Returns the model's config with the vocabulary of a tokenizer, trained or not.

  Args:
    model: config of the model.
    name: name of the tokenizer, see `tokenizers.trained`.
    mask: whether the vocabulary needs a mask id, added if the tokenizer has none.
    exact: whether the task measures bits per byte, so that no text may be lost.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text although `exact`, or the
      model's vocabulary is smaller; see `with_vocab`.
  """
  if mask:
    return _sized(model, name, trained.size_with_mask)
  return _sized(model, name, lambda name: trained.size(name, exact))


def _sized(model: Any, name: str, size: Callable[[str], int]) -> Any:
  try:
    tokens = size(name)
  except ValueError as error:
    raise ConfigError(f"task.tokenizer: {error}") from error
  return with_vocab(model, tokens, f"tokenizer {name!r}")
