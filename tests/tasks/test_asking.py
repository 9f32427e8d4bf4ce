"""One bad record is one bad line, whatever its fault; others are answered."""

import io
import json

import pytest

from jaxmem.core.errors import UserError
from jaxmem.evaluation import predict
from jaxmem.tasks import fields


class Fragile:
  """Answers with the text; some texts break the check, the batch, or the answer."""

  def __init__(self):
    self.batches = []

  def check(self, record):
    text = fields.text(record, "text")
    if text == "check":
      {}[text]

  def __call__(self, records):
    self.batches.append(len(records))
    texts = [record["text"] for record in records]
    if "model" in texts:
      raise RuntimeError("the model fails")
    if "short" in texts:
      return []
    odd = {"nan": float("nan"), "object": object(), "surrogate": "\ud83d"}
    return [{"answer": odd.get(text, text)} for text in texts]


BAD = {
  b'{"text": "check"}': "KeyError",
  b'{"text": "model"}': "cannot be answered: RuntimeError: the model fails",
  b'{"text": "short"}': "0 answers to 1 records",
  b'{"text": "nan"}': "its answer cannot be written",
  b'{"text": "object"}': "its answer cannot be written",
  b'{"text": "surrogate"}': "its answer cannot be written",
  b'{"text": "\\ud83d"}': "half of a surrogate pair",
  b'{"text": []}': "a text expected",
  b'{"text": ' + b"1" * 400 + b"}": "a text expected",
  b'{"text": ' + b"1" * 5000 + b"}": "",
  b"[" * 100_000: "nested too deeply",
  b"[1]": "no JSON object",
  b"\xff": "not UTF-8",
  b"{": "",
}


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_reported_and_stops_no_other(line, capsys):
  good, out = b'{"text": "good"}', io.BytesIO()
  assert predict.write([good, line, b"\n", good], Fragile(), 3, out) == 1
  first, bad, last = map(json.loads, out.getvalue().splitlines())
  assert first == last == {"answer": "good"}
  assert bad["line"] == 2 and BAD[line] in bad["error"] and len(bad["error"]) < 300
  assert "jaxmem: line 2: " in capsys.readouterr().err


def test_records_are_asked_one_by_one_only_where_several_fail():
  fragile = Fragile()
  lines = [b'{"text": "a"}', b'{"text": "b"}', b'{"text": "model"}', b'{"text": "c"}']
  assert len(list(predict.answers(lines, fragile, 2))) == 4
  assert fragile.batches == [2, 2, 1, 1]


@pytest.mark.parametrize(
  "value", [True, "1", None, [], float("nan"), float("inf"), 10**400, -(10**400)]
)
def test_numbers_of_records_are_finite_numbers(value):
  with pytest.raises(UserError, match='"x" is'):
    fields.number({"x": value}, "x", 0.0)
  with pytest.raises(UserError, match="a whole number in 0 .. 5"):
    fields.whole({"x": value}, "x", 0, 0, 5)
  assert (
    fields.number({}, "x", 0.5) == 0.5 and fields.whole({"x": 5}, "x", 0, 0, 5) == 5
  )
