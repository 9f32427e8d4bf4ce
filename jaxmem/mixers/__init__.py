"""Flax mixers: projections around one op. One mixer a file."""

from types import ModuleType

from jaxmem import ops
from jaxmem.core import kinds


def names() -> list[str]:
  """The mixers, by file name; plugins are among them once they are imported."""
  return kinds.MIXERS.names()


def get(name: str) -> ModuleType:
  """The file `name`, or a plugin: its `Mixer` is the class.

  Args:
    name: of a mixer.

  Raises:
    KeyError: if there is none; names the nearest.
  """
  return kinds.MIXERS.get(name)


def carrying() -> list[str]:
  """The mixers that carry what they read: a language model can be made of each alone.

  Not those that read both ways as built by default, nor those whose memory is given.
  """
  return [name for name in names() if _carries(get(name).Mixer)]


def _carries(mixer: type) -> bool:
  return getattr(mixer, "causal", True) and not is_given(mixer)


def is_given(mixer: type) -> bool:
  """Whether a mixer only reads its memory, which its method `remember` makes."""
  return hasattr(mixer, "remember")


def op(name: str) -> ModuleType:
  """The op of the mixer `name`: its file's `OP`, else the op of the same name."""
  return getattr(get(name), "OP", None) or ops.get(name)
