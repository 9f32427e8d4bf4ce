"""The leak table: planted leaks in layers of torch are found, correct ones pass."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxmem.testing import LawError, check_laws, of_torch
from tests.leaks.report import page

RESULTS = Path(__file__).parents[2] / "results"
WIDTH = 4


def _empty(batch_size):
  return (np.zeros((batch_size, WIDTH), np.float32),)


def _token_by_token(told):
  """A GRU cell over the tokens, whose memory is forgotten where a document begins.

  Args:
    told: whether it is told so.
  """
  torch = pytest.importorskip("torch")

  def run(module, x, state, reset):
    (h,) = state
    outputs = []
    for token, begins in zip(x.unbind(1), reset.unbind(1), strict=True):
      h = torch.where(begins[:, None] & told, torch.zeros_like(h), h)
      h = module(token, h.to(x.dtype)).float()
      outputs.append(h)
    return torch.stack(outputs, 1), (h,)

  torch.manual_seed(0)
  return torch.nn.GRUCell(WIDTH, WIDTH), run


def test_a_torch_layer_that_forgets_obeys_all_laws():
  module, run = _token_by_token(told=True)
  rows = check_laws(of_torch(module, run, d_model=WIDTH, empty=_empty))
  assert {law for law, _, _ in rows} == {1, 2, 3, 4, 5, 6, 8}
  assert max(error for _, _, error in rows) <= 1


def test_a_torch_layer_that_is_not_told_of_documents_is_found():
  module, run = _token_by_token(told=False)
  case = of_torch(module, run, d_model=WIDTH, empty=_empty, name="leaky")
  with pytest.raises(LawError, match=r"law 4 .* is broken by leaky.*token 16"):
    check_laws(case)


def test_the_smallest_input_of_a_planted_leak_of_a_convolution():
  torch = pytest.importorskip("torch")
  from tests.leaks.layer import D_MODEL, of_torch_calls
  from tests.leaks.measure import measured

  torch.manual_seed(0)
  module = torch.nn.Conv1d(D_MODEL, D_MODEL, 2, groups=D_MODEL)

  def told(module, x, reset):
    """Reads two tokens before this one, and forgets one of them at a border."""
    last = torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1] * ~reset[..., None]
    before = torch.nn.functional.pad(x, (0, 0, 2, 0))[:, :-2]
    pairs = torch.stack([last + before, x], -1).flatten(0, 1)  # [B T, D, 2]
    return module(pairs).unflatten(0, x.shape[:2])[..., 0]

  layer = of_torch_calls(
    module, told, None, told, name="planted", package="torch", path="torch",
    told="reset", claims=True,
  )  # fmt: skip
  found = measured(layer)
  assert found["cells"] == {
    "values": "broken", "gradients": "broken", "convolution": "broken",
    "split": "no state", "state": "no state", "causality": "holds",
  }  # fmt: skip
  # of 2 tokens the first is forgotten; the one before the last is not, from 3 on
  assert found["smallest"]["values"]["length"] == 3
  assert found["smallest"]["gradients"]["length"] == 3


def test_the_page_is_that_of_its_numbers_and_its_controls_are_not_vacuous():
  table = json.loads((RESULTS / "leaks.json").read_text())
  assert (RESULTS / "leaks.md").read_text() == page(table)
  ours = {n: r["cells"] for n, r in table["rows"].items() if r["peer"] == "ours"}
  broken = {name for name, cells in ours.items() if "broken" in cells.values()}
  assert broken == {name for name in ours if name.startswith("control")}
  assert len(broken) == 2 and len(ours) > 2
  for row in table["rows"].values():
    for cell, what in (("values", "values"), ("gradients", "gradients")):
      assert (row["cells"][cell] == "broken") == (what in row["smallest"])
