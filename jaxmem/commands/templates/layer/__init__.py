"""my_layer is a memory of jaxmem: a leaky sum.

`--plugins my_layer` registers it for a command:

    pytest my_layer
    jaxmem laws --plugins my_layer my_layer
    jaxmem train CONFIG.py --plugins my_layer --memory my_layer

`op.py` has the equation, `mixer.py` the projections around it. In a distribution of
your own an entry point of the group "jaxmem.mixers" replaces `--plugins`.
"""

from . import op as OP
from .mixer import MyLayer as Mixer

__all__ = ["OP", "Mixer"]
