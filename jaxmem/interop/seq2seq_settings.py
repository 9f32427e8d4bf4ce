"""What the families of encoder-decoders share: places, linear maps, and a check.

A layer of their decoders is two blocks of a pattern: attention without an MLP, then
cross attention with one. A family reads and writes the settings of one model type; see
`families`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.interop.families import Place
from jaxmem.models import pattern
from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.pattern import Block, Entry

# The stacks of the model, and the names of a layer in each.
SIDES = ("encoder", "decoder")


def decoder_pattern(options: dict[str, Any], **own: Any) -> pattern.Pattern:
  """Returns the pattern of a decoder whose layers are of three parts.

  Args:
    options: of both attentions.
    **own: of the first, which knows distances.
  """
  return (
    pattern.block(pattern.entry("attention", **options, **own)),  # without an MLP
    pattern.entry("cross_attention", **options),
  )


def both_places(config: EncoderDecoderConfig) -> Iterator[Place]:
  """Yields the places of the layers of the encoder, then those of the decoder.

  Args:
    config: of the model; a group of either stack is one layer.
  """
  stacks = (
    ("encoder", config.encoder, config.encoder_groups or config.num_groups),
    ("decoder", config.pattern, config.num_groups),
  )
  for stack, items, groups in stacks:
    for group in range(groups):
      for i, item in enumerate(items):
        yield Place(group, f"{stack}/groups/block_{i}", group, item)


def check_layers(config: EncoderDecoderConfig, model_type: str) -> None:
  """Checks that a model has the layers of an encoder-decoder of transformers.

  Raises:
    DataError: if it has others.
  """
  names = [pattern.memory_of(item).name for item in config.encoder + config.pattern]
  if names != ["encoder_attention", "attention", "cross_attention"]:
    raise DataError(
      f"the layers are {', '.join(names)}: those of a {model_type} are "
      "encoder_attention, attention/none, cross_attention"
    )


# Fields of a config, and options of a layer, that change no number of the model.
_FREE_FIELDS = (
  "dropout", "smoothing", "dtype", "memory_size", "d_ff", "encoder_groups",
)  # fmt: skip
_FREE_OPTIONS = ("capacity", "block_size", "form", "implementation", "memory_size")


def check_equal(
  config: EncoderDecoderConfig, read: EncoderDecoderConfig, model_type: str
) -> None:
  """Checks that settings are read as the model that they were written of.

  Args:
    config: of the model.
    read: the config that its settings describe.
    model_type: of the settings.

  Raises:
    DataError: if the two compute other numbers; names the first difference.
  """
  for field in dataclasses.fields(config):
    ours, theirs = getattr(config, field.name), getattr(read, field.name)
    if field.name in ("encoder", "pattern"):
      same = [_plain(item, config.d_model) for item in ours] == [
        _plain(item, config.d_model) for item in theirs
      ]
      ours, theirs = pattern.show(ours), pattern.show(theirs)
    else:
      same = ours == theirs or field.name in _FREE_FIELDS
    if not same:
      raise DataError(f"{field.name} is {ours!r}, and {theirs!r} in every {model_type}")


def _plain(item: Entry | Block, d_model: int) -> tuple[Any, ...]:
  """A block with all options of its memory, the free ones left out."""
  entry = pattern.memory_of(item)
  try:
    mixer = pattern.mixer(entry, d_model, "float32")
  except ValueError as error:  # a model type may leave the size of a head no choice
    raise DataError(f"{str(entry)!r}: {error}") from error
  names = [name for name in pattern.options(entry.name) if name not in _FREE_OPTIONS]
  mlps = item.layers[1:] if isinstance(item, Block) else None
  return entry.name, {name: getattr(mixer, name) for name in names}, mlps


def all_options(item: Entry | Block, d_model: int) -> dict[str, Any]:
  """Returns all options of a block's memory, those that are not set too."""
  entry = pattern.memory_of(item)
  mixer = pattern.mixer(entry, d_model, "float32")
  return {name: getattr(mixer, name) for name in pattern.options(entry.name)}
