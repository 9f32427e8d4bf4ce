"""my_task is trained for a few steps, scored, and answers records."""

import dataclasses
import json

import jaxmem
import pytest

from .config import config
from .data import LETTERS


def test_it_is_trained_scored_and_answers_records(tmp_path):
  """A run of three steps is reported, and its model answers one record."""
  jaxmem.load_plugin("my_task")
  small = dataclasses.replace(config, steps=3, log_every=1)
  assert jaxmem.train(small, tmp_path / "run") == 0
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert 0 <= report["accuracy"] <= 1

  m = jaxmem.load(tmp_path / "run")
  assert m.predict({"text": "abcdefgh"})["first"] in LETTERS
  with pytest.raises(jaxmem.UserError, match="8 letters of abcdefgh"):
    m.predict({"text": "xyz"})
