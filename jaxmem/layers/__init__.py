"""What mixers are made of: primitives, and the base class of each family.

The classes of all mixers can be imported from here, too: `layers.GatedDelta` is the
`Mixer` of `jaxmem.mixers.gated_delta`, imported when it is first used.
"""

from typing import Any

from jaxmem.core import kinds


def __getattr__(name: str) -> Any:
  """Returns the class of a mixer by the name of the class."""
  if name[:1].isupper():
    for member in kinds.MIXERS.names():
      cls = kinds.MIXERS.get(member).Mixer
      if cls.__name__ == name:
        return cls
  raise AttributeError(f"module 'jaxmem.layers' has no attribute {name!r}")
