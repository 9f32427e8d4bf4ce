"""Every op equals golden arrays of independent implementations, see `parity/`."""

import pytest

import parity
from parity.harness import measure

PAIRS = [(case, form) for case in parity.cases() for form in case.forms]


@pytest.mark.parametrize(
  "case, form", PAIRS, ids=[f"{c.op}-{form}-{c.peer}" for c, form in PAIRS]
)
def test_parity_with_peer(case, form):
  errors = measure(case, form)

  carried = {"final state"} if case.shapes[2] else set()
  assert {"y", "d inputs"} | carried <= errors.keys()
  too_much = {kind: e for kind, (e, allowed) in errors.items() if allowed > 1}
  assert not too_much, f"{case.op} {form} against {case.peer}: {too_much}"
