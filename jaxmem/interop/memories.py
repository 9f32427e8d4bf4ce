"""The memory that a pretrained model is read with, in the place of full attention.

    config = replace(config, parse("window:window_size=64:num_sinks=4"))

Both have the same projections and positions, so the parameters stay as they are.
"""

import dataclasses

from jaxmem.core.errors import UserError
from jaxmem.models import capacity, pattern
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import Entry

# What full attention holds where nothing says how long the texts are: a state for the
# longest text that a model allows may not fit a device.
CAPACITY = 8192
_FULL = "attention"
# Options of the memory itself; the others belong to projections and positions.
_OWN = ("capacity", "window_size", "num_sinks", "block_size", "form", "implementation")


def parse(text: str) -> Entry:
  """Reads the name and the options of a memory.

  Raises:
    UserError: if it is neither attention nor a window.
  """
  entries = pattern.parse(text)
  entry = pattern.memory_of(entries[0])
  # a wrapper, an MLP or a second block makes the pattern more than its first memory
  if entries != (entry,) or entry.name not in (_FULL, "window"):
    raise UserError(
      f"memory {text!r}: a pretrained model is read with attention or with window"
    )
  if foreign := [name for name, _ in entry.options if name not in _OWN]:
    raise UserError(
      f"memory {text!r}: {foreign[0]} belongs to the weights; a memory sets "
      f"{', '.join(_OWN)}"
    )
  return entry


def replace(config: LMConfig, memory: Entry) -> LMConfig:
  """Replaces full attention by a memory with the same projections and positions.

  Args:
    config: of the model.
    memory: attention or a window; options that it does not set stay, if it has them.

  Raises:
    UserError: if the model has no full attention.
  """
  names = pattern.options(memory.name)

  def replaced(item: Entry) -> Entry:
    if item.name != _FULL:
      return item
    kept = {name: value for name, value in item.options if name in names}
    return pattern.entry(memory.name, **kept | dict(memory.options))

  parts = {name: getattr(config, name) for name in ("first", "pattern", "last")}
  if not any(item.name == _FULL for item in pattern.walk(sum(parts.values(), ()))):
    raise UserError(f"memory {str(memory)!r}: the model has no full attention")
  edited = {name: pattern.edit(part, replaced) for name, part in parts.items()}
  return dataclasses.replace(config, **edited)


def bounded(config: LMConfig, memory: Entry | None = None) -> LMConfig:
  """Lowers capacities above `CAPACITY`, unless a memory sets its own.

  Args:
    config: of the model.
    memory: what `replace` has put into it, if anything.
  """
  if memory is not None and "capacity" in dict(memory.options):
    return config
  return capacity.fitted(config, CAPACITY)
