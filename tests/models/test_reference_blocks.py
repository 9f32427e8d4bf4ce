"""Configs of known model families equal their references, gradients too."""

import pytest

from parity import blocks
from parity.harness import measure


@pytest.mark.parametrize("case", blocks.BLOCKS, ids=[c.op for c in blocks.BLOCKS])
def test_a_family_equals_its_reference(case):
  errors = measure(case, "auto")

  assert {"y", "d weights"} <= errors.keys()
  too_much = {kind: e for kind, (e, allowed) in errors.items() if allowed > 1}
  assert not too_much, f"{case.op} against {case.peer}: {too_much}"
