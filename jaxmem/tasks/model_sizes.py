"""What the data decide of a model's config, and whether the two fit; costs nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxmem.core.errors import ConfigError
from jaxmem.models import pattern
from jaxmem.tokenizers import trained


def with_vocab(model: Any, tokens: int, source: str) -> Any:
  """The model's config with a vocabulary for `tokens` ids, up to a multiple of 64.

  Args:
    model: its config; a `vocab_size` other than 0 is kept.
    tokens: ids of the data.
    source: what gives them their meaning, in words.

  Raises:
    ConfigError: if the model's own has fewer.
  """
  if model.vocab_size and model.vocab_size < tokens:
    raise ConfigError(
      f"model.vocab_size is {model.vocab_size}, {source} has {tokens} ids: raise it, "
      "or set 0 to take as many"
    )
  vocab_size = model.vocab_size or -(-tokens // 64) * 64
  return dataclasses.replace(model, vocab_size=vocab_size)


def check_encoder(model: Any, length: int, windows: bool) -> None:
  """Checks an encoder's config against the rows of a task.

  Args:
    model: its config.
    length: T, tokens of a row.
    windows: whether the task reads one vector a text, so that windows may be cut; one
      that reads tokens takes each row whole.

  Raises:
    ConfigError: if rows are not of whole windows, or longer than there are positions.
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
  most = model.window or length
  if model.positions and most > model.positions:
    raise ConfigError(
      f"{most} tokens are read at once and model.positions is {model.positions}: lower "
      "task.segment_length, or set model.window"
    )


def with_made(model: Any, name: str, mask: bool = False, exact: bool = False) -> Any:
  """The model's config with the vocabulary of a tokenizer that a run may make.

  Args:
    model: its config.
    name: of the tokenizer, see `tokenizers.trained`.
    mask: whether the vocabulary has a mask id, one more if the tokenizer has none.
    exact: whether bits per byte are measured, so that no text may be lost.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text that it must not lose, or
      the vocabulary is smaller; see `with_vocab`.
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
