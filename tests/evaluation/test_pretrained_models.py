"""Every command takes a pretrained model, and `jaxmem.load` gives its parts."""

import json
import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem
from jaxmem import cli
from jaxmem.core.errors import UserError
from jaxmem.generation.sampling import Sampling
from support import pretrained_folders, runs

pytest.importorskip("tokenizers", reason="needs the package tokenizers")
pytest.importorskip("safetensors", reason="needs the package safetensors")
GREEDY = Sampling(0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return pretrained_folders.write(tmp_path_factory.mktemp("pretrained") / "model")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "text.txt"
  path.write_text("A lane of tokens, read by a model of others. " * 6)
  return path


def _run(capfd, *argv):
  code = cli.run([str(word) for word in argv])
  out, err = capfd.readouterr()
  return code, out, err


def test_a_folder_has_a_model_parameters_and_a_tokenizer(folder):
  m = jaxmem.load(folder)

  assert m.config is None and m.workdir is None
  ids = jnp.asarray(m.tokenizer.encode(b"def main"))[None]
  logits, _ = m.model.apply({"params": m.params}, ids, m.model.init_state(1))
  assert logits.shape == (*ids.shape, 512)
  text = m.generate("A lane", 8, GREEDY)
  assert text == "".join(m.stream("A lane").write(8, GREEDY))
  assert m.generate(["A lane", "of the"], 8, GREEDY)[0] == text
  assert np.isfinite(m.score("some text").bits_per_byte)


def test_its_texts_begin_with_its_own_token(folder, tmp_path):
  """Llama 3 reads a BOS token first; a model that reads another first says others."""
  m = jaxmem.load(folder)
  ids = [m.tokenizer.start_id, *m.tokenizer.encode(b"A lane")]

  logits, _ = m.model.apply(
    {"params": m.params}, jnp.array([ids]), m.model.init_state(1)
  )

  first = int(np.argmax(logits[0, -1, : m.tokenizer.vocab_size]))
  expected = (
    b"" if first in m.tokenizer.end_ids else m.tokenizer.decode(np.array([first]))
  )
  assert m.generate("A lane", 1, GREEDY) == expected.decode(errors="replace")


def test_generate_writes_the_text_of_load(folder, capfd):
  flags = ("--max-tokens", 8, "--temperature", 0)

  code, out, _ = _run(
    capfd, "generate", "--model", folder, "--prompt", "A lane", *flags
  )

  expected = jaxmem.load(folder).generate("A lane", 8, GREEDY)
  assert code == 0 and out.strip() == expected.strip()


def test_eval_scores_the_text_of_load(folder, text, capfd, tmp_path):
  out = tmp_path / "score.json"

  code, _, err = _run(
    capfd, "eval", "--model", folder, "--text", text, "--out", out, "--carry", "all"
  )

  assert code == 0, err
  score = jaxmem.load(folder).score(text.read_text())
  bits = json.loads(out.read_text())["bits_per_byte"]["carried"]
  assert abs(bits - score.bits_per_byte) < 1e-4


def test_inspect_and_probe_take_it(folder, text, capfd, tmp_path):
  pytest.importorskip("matplotlib")
  flags = ("--tokens", 32, "--positions", 2, "--directions", 1, "--samples", 2)
  code, _, err = _run(
    capfd, "inspect", "--model", folder, "--text", text, *flags, "--out", tmp_path / "a"
  )
  assert code == 0, err
  assert str(folder) in (tmp_path / "a" / "index.html").read_text()
  flags = ("--tasks", "passkey", "--lengths", 200, "--samples", 1, "--max-tokens", 2)
  code, _, err = _run(
    capfd,
    "probe",
    "--model",
    folder,
    *flags,
    "--haystack",
    text,
    "--out",
    tmp_path / "b",
  )
  assert code == 0, err


def test_convert_and_export_undo_each_other(folder, capfd, tmp_path):
  run, out = tmp_path / "run", tmp_path / "out"
  assert _run(capfd, "convert", "--model", folder, "--out", run)[0] == 0
  assert _run(capfd, "export", "--workdir", run, "--out", out)[0] == 0

  before, after = ((f / "model.safetensors").read_bytes() for f in (folder, out))
  assert before == after
  flags = ("--prompt", "A lane", "--max-tokens", 8, "--temperature", 0)
  texts = [
    _run(capfd, "generate", *where, *flags)[1]
    for where in (("--model", folder), ("--workdir", run))
  ]
  assert texts[0] == texts[1]


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
  folder = pretrained_folders.write(tmp_path / "model", words=400)

  with pytest.raises(UserError, match="505 ids, and its embedding 400 rows"):
    jaxmem.load(folder)


@pytest.mark.parametrize(
  "argv, message",
  [
    (["generate", "--prompt", "x"], "--workdir is missing.*or --model"),
    (["generate", "--prompt", "x", "--model", "FOLDER", "--workdir", "r"], "give one"),
    (["generate", "--prompt", "x", "--model", "FOLDER", "--memory", "gru"], "window"),
    (["generate", "--prompt", "x", "--max-tokens", "600", "--model", "FOLDER"], "512"),
    (["eval", "--model", "FOLDER", "--split", "test"], "is no run: give --text"),
    (["eval", "--split", "test"], "--workdir is missing"),
    (["inspect", "--model", "FOLDER", "--text", "TEXT"], "--out is missing"),
    (["convert", "--model", "FOLDER", "--out", "FOLDER"], "has files in it"),
    (["convert", "--model", "nowhere", "--out", "o"], "nowhere is no pretrained"),
    (["generate", "--prompt", "x", "--model", "us/x"], "no such folder.*hf:us/x"),
    (["export", "--out", "o"], "--workdir is missing"),
    (["export", "--model", "FOLDER", "--workdir", "r", "--out", "o"], "give one"),
    (
      ["train", "text", "--init-from", "FOLDER", "--workdir", "FOLDER"],
      "is the folder of a pretrained model",
    ),
    (
      ["eval", "--model", "FOLDER", "--text", "TEXT", "--memory", "window:num_heads=2"],
      "num_heads belongs to the weights",
    ),
  ],
)
def test_mistakes_exit_2_with_their_remedy(folder, text, capfd, argv, message):
  places = {"FOLDER": folder, "TEXT": text}

  code, _, err = _run(capfd, *(places.get(word, word) for word in argv))

  assert code == 2 and "Traceback" not in err
  assert re.search(message, err), err


def test_settings_that_say_nothing_of_layers_are_kept(folder, tmp_path, capfd):
  other = tmp_path / "model"
  shutil.copytree(folder, other)
  settings = json.loads((other / "config.json").read_text())
  (other / "config.json").write_text(json.dumps(settings | {"eos_token_id": [5, 6]}))

  assert _run(capfd, "export", "--model", other, "--out", tmp_path / "out")[0] == 0

  written = json.loads((tmp_path / "out" / "config.json").read_text())
  assert written["eos_token_id"] == [5, 6]


def test_a_dtype_that_parameters_cannot_have_is_named(folder):
  with pytest.raises(UserError, match="dtype 'bf16': it is one of float32, bfloat16"):
    jaxmem.load(folder, dtype="bf16")


def test_a_run_keeps_its_memory(tmp_path):
  run = runs.first_checkpoint(tmp_path, model=runs.SMALL)
  for option in ({"memory": "window:window_size=4"}, {"dtype": "bfloat16"}):
    with pytest.raises(UserError, match="is for a pretrained model"):
      jaxmem.load(run, **option)
