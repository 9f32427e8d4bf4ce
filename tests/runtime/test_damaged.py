"""What a run, an index or a comparison is read from may be damaged: one sentence."""

import io
import json
import zipfile

import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError, UserError
from jaxmem.evaluation.compare import plan
from jaxmem.evaluation.longbench import questions
from jaxmem.evaluation.longbench.runner import open_ledger
from jaxmem.runtime import array_file
from jaxmem.runtime.checkpoint import CheckpointError, read_meta
from jaxmem.tasks.retrieval import index
from jaxmem.training.config import from_json

ABSURD = {
  "nested": "[" * 100_000,
  "list": "[]",
  "number": "1" * 5000,
  "null": "null",
  "text": '"x"',
  "keys": '{"a": 1}',
  "empty": "",
  "cut": '{"config": "',
}


@pytest.fixture(params=ABSURD)
def absurd(request):
  return ABSURD[request.param]


def test_a_config(absurd):
  with pytest.raises(ConfigError):
    from_json(absurd)


def test_the_metadata_of_a_checkpoint(absurd, tmp_path):
  (tmp_path / "3" / "meta").mkdir(parents=True)
  (tmp_path / "3" / "meta" / "metadata").write_text(absurd, encoding="utf-8")
  with pytest.raises(CheckpointError, match="no readable checkpoint"):
    read_meta(tmp_path)


def test_the_manifest_of_an_index(absurd, tmp_path, capsys):
  (tmp_path / "index.json").write_text(absurd, encoding="utf-8")
  with pytest.raises(index.NoIndex):
    index.load(tmp_path)
  assert cli.run(["index", "query", "--index", str(tmp_path)]) == 2
  assert "Traceback" not in capsys.readouterr().err


def test_the_plan_of_a_comparison(absurd, tmp_path):
  (tmp_path / "plan.json").write_text(absurd, encoding="utf-8")
  with pytest.raises(UserError, match="plan.json is damaged"):
    plan.read(tmp_path)


def test_the_answers_of_a_probe(absurd, tmp_path):
  (tmp_path / "answers.jsonl").write_text(absurd + "\n", encoding="utf-8")
  if absurd:
    with pytest.raises(UserError, match="is damaged"):
      open_ledger(tmp_path, {})


def test_the_questions_of_a_probe(absurd, tmp_path):
  path = tmp_path / "questions.json"
  path.write_text(absurd, encoding="utf-8")
  with pytest.raises(UserError):
    questions.read(str(path))


@pytest.mark.parametrize("kind", ["text", "cut", "deflated", "absurd header", "npy"])
def test_an_array_file(kind, tmp_path):
  path = tmp_path / "state"
  array_file.write(path, {"format": 1}, [np.arange(4)])
  written = path.read_bytes()
  if kind == "deflated":
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
      file.writestr("header.npy", bytes(5000))
    content = bytearray(stream.getvalue())
    content[45:60] = b"\xff" * 15
  elif kind == "absurd header":
    stream = io.BytesIO()
    header = np.frombuffer(json.dumps([1]).encode(), np.uint8)
    np.savez(stream, header=header)
    content = stream.getvalue()
  else:
    content = {"text": b"x", "cut": written[: len(written) // 2], "npy": b"\x93NUMPY"}[
      kind
    ]
  path.write_bytes(bytes(content))
  with pytest.raises(array_file.Unreadable):
    array_file.read(path)
