"""Every memory learns what its config says."""

import pytest

import learning
from jaxmem import modules


@pytest.mark.slow
@pytest.mark.parametrize("name", modules.carrying())
def test_memory_learns_what_its_config_says(name):
  assert learning.learn(name) >= learning.promised(name) - 0.1
