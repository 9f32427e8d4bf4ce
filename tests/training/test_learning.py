"""Every memory learns what the docstring of its config says."""

import pytest

from jaxmem import mixers
from support import learning


@pytest.mark.slow
@pytest.mark.parametrize("name", mixers.carrying())
def test_memory_learns_what_its_config_says(name):
  assert learning.learn(name) >= learning.promised(name) - 0.1
