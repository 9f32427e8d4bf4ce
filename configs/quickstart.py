"""A hybrid byte-level language model on the Python standard library of this machine.

    jaxmem train configs/quickstart.py

Two CPU cores, under 5 minutes, under 4 GiB. Expected: see the README.
"""

from jaxmem.config import Config

config = Config()
