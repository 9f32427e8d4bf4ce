"""A user's mistake gives one message and exit code 2, before any device work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmem import cli
from jaxmem.models.pattern import entry
from jaxmem.training import config as configs
from support import runs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  root = tmp_path_factory.mktemp("tiny")
  corpus = runs.write_corpus(root / "corpus")
  return runs.write_config(
    root / "tiny.py", f"config = config({str(corpus)!r}, model=SMALL)\n"
  )


def _fails(capsys, *argv):
  try:
    code = cli.run([str(a) for a in argv])
  except SystemExit as stop:
    code = stop.code
  err = capsys.readouterr().err
  assert code == 2
  assert "Traceback" not in err
  return err


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--model.d-modle", "3"], ["--model.d-model"]),
    (["--model.pattern", "rglru,windw"], ["windw", "'window'"]),
    (["--model.pattern", "window:window_sise=3"], ["window_sise", "'window_size'"]),
    (["--memory", "lstn"], ["lstn", "'lstm'"]),
    (["--optim.learning-rate", "fast"], ["fast"]),
    (["--optim.learning-rate", "-1"], ["optim.learning_rate is -1.0", "above 0"]),
    (["--model.dropout", "1.5"], ["model.dropout is 1.5", "[0, 1)"]),
    (["--optim.warmup-steps", "99"], ["warmup_steps is 99 of steps 12"]),
    (["--optim.accumulate", "3"], ["batch_size 8", "accumulate 3"]),
    (["--model.pattern", "window:num_heads=3"], ["16", "3 heads"]),
    (["--model.vocab-size", "9"], ["vocab_size is 9", "257"]),
    (["--task.source", "no-such-file"], ["no-such-file"]),
    (["--task.segment-length", "99999"], ["batch_size", "segment_length 99999"]),
    (["--task.tokenizer", "bite"], ["bite", "byte"]),
    (["--mesh.tensor", "3"], ["3", "devices"]),
    (["--segment-start", "pased"], ["pased", "passed"]),
    (["--no-carry-memory"], ["--no-carry-memory", "segment_start", "'empty'"]),
    (["--carry_memory=False"], ["segment_start: 'carried' for True"]),
    (["--noise-scale", "2"], ["noise_scale is 2.0", "only 'noise'"]),
    (["--task.batch-size", "1", "--segment-start", "passed"], ["at least 2 rows"]),
    (
      ["--segment-start", "passed", "--model.pattern", "attention:num_heads=2"],
      ["'attention' has a capacity"],
    ),
  ],
  ids=lambda a: " ".join(a) if isinstance(a, list) and a[0][:2] == "--" else "",
)
def test_mistake_exits_2_with_one_message(capsys, tiny, tmp_path, flags, words):
  err = _fails(capsys, "train", tiny, "--workdir", tmp_path / "run", *flags)

  for word in words:
    assert word in err
  assert not (tmp_path / "run").exists()


def test_unknown_command_names_the_nearest(capsys):
  assert "did you mean 'train'" in _fails(capsys, "trian")


def test_a_closed_pipe_ends_a_command_without_a_traceback():
  command = [sys.executable, "-m", "jaxmem.cli", "--help"]
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
  with subprocess.Popen(command, **pipes) as process:
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_missing_config_file_is_named(capsys):
  assert "no config file nowhere.py" in _fails(capsys, "train", "nowhere.py")


def test_file_without_a_config_is_refused(capsys, tmp_path):
  (tmp_path / "empty.py").write_text("")
  assert "defines no `config`" in _fails(capsys, "train", tmp_path / "empty.py")


def test_config_file_with_a_retired_key_says_what_replaced_it(capsys, tmp_path):
  path = runs.write_config(tmp_path / "old.py", "config = Config(carry_memory=False)\n")
  err = _fails(capsys, "train", path)
  assert "old.py gives carry_memory, which is now segment_start: 'carried'" in err


def test_memory_flag_replaces_every_recurrent_entry(tiny, tmp_path, monkeypatch):
  configs_seen = []
  monkeypatch.setattr(
    "jaxmem.training.trainer.train", lambda config, *_: configs_seen.append(config) or 0
  )

  flags = ["--workdir", str(tmp_path / "run"), "--memory", "mingru"]
  flags += ["--model.pattern", "window:num_heads=2,lstm"]
  assert cli.run(["train", str(tiny), *flags]) == 0

  names = [item.name for item in configs_seen[0].model.pattern]
  assert names == ["window", "mingru"]


def test_train_writes_report_pictures_and_sample_and_resumes(tiny, tmp_path, capsys):
  run = tmp_path / "run"
  command = ["train", str(tiny), "--workdir", str(run)]
  assert cli.run(command) == 0

  out = capsys.readouterr().out
  assert re.search(r"8,\d\d\d parameters, [\d,]+ bytes of memory a row", out)
  for way in ("carried", "re-read", "reset", "gzip, whole", "xz, per file"):
    assert f"| {way} |" in out
  assert "what memory beyond one segment is worth" in out
  numbers = json.loads((run / "report.json").read_text())
  assert "No separate test split was given: this is the score" in out
  assert not numbers["test_split"] and not numbers["equal_records"]["left_out"]
  assert set(numbers["bits_per_byte"]) == {"carried", "reset", "re-read"}
  for name in ("loss.png", "gain_by_document.png", "gain_by_segment.png"):
    assert (run / name).read_bytes()[:4] == b"\x89PNG"
  assert len((run / "sample.txt").read_bytes()) <= 20
  assert any((run / "tensorboard").iterdir())
  lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
  assert [line["step"] for line in lines] == [4, 8, 12]

  longer = ["--steps", "14", "--eval-bytes", "0", "--sample-bytes", "0"]
  assert cli.run([*command, *longer]) == 0
  assert "resumed from step 12" in capsys.readouterr().out
  assert cli.run([*command, "--model.d-model", "8"]) == 2
  assert "model.d_model: 16 -> 8" in capsys.readouterr().err
  assert cli.run([*command, "--resume", "never"]) == 1
  assert "has a checkpoint of step 14" in capsys.readouterr().err


def test_memories_prints_every_memory(capsys):
  assert cli.run(["memories"]) == 0
  out = capsys.readouterr().out
  for name, paper in (
    ("lstm", "1997"),
    ("rglru", "2402.19427"),
    ("window", "2004.05150"),
  ):
    assert any(name in line and paper in line for line in out.splitlines())


def test_config_survives_json():
  pattern = (entry("window", window_size=3, rotary_base=None), entry("lstm"))
  config = runs.config("x", steps=7, model=runs.LMConfig(300, pattern=pattern))

  assert configs.from_json(configs.to_json(config)) == config
  assert hash(configs.from_json(configs.to_json(config))) == hash(config)


@pytest.mark.parametrize(
  ("old", "new", "words"),
  [
    ('"steps"', '"stps"', "did you mean 'steps'"),
    ('"steps": 12', '"steps": "12"', "steps is '12'"),
    ('"d_model": 16', '"d_model": 16, "depth": 3', "'model.depth'"),
  ],
)
def test_config_json_is_strict(old, new, words):
  text = configs.to_json(runs.config("x"))
  assert old in text
  with pytest.raises(configs.ConfigError, match=words.replace(".", r"\.")):
    configs.from_json(text.replace(old, new))


def test_laws_prints_a_row_a_form_and_finds_a_mixer_by_path(capsys, monkeypatch):
  monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "ops"))

  assert cli.run(["laws", "--quick", "short_conv", "test_broken:Sound"]) == 0
  out = capsys.readouterr().out
  assert "| short_conv (op) | recurrent, parallel |" in out
  assert "| test_broken:Sound | call |" in out
  assert cli.run(["laws", "--quick", "test_broken:LooksAhead"]) == 1
  assert "law 5 (causality) is broken by LooksAhead" in capsys.readouterr().out


def test_laws_of_an_unknown_name_exit_2(capsys):
  assert "did you mean 'window'" in _fails(capsys, "laws", "windw")
  assert "cannot make nowhere:Mixer" in _fails(capsys, "laws", "nowhere:Mixer")


def test_paths_and_streams_are_utf8_under_any_locale(tmp_path):
  """The locale may be ASCII, and a path need not be valid UTF-8."""
  name = tmp_path / "数据.txt"
  name.write_text("好\n", encoding="utf-8")
  odd = tmp_path / "x\udcff.txt"
  odd.write_bytes(b"ab")
  other = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
  encoded = runs.call("tokenizer", "encode", "byte", name, **other)
  assert encoded.stdout == "229 165 189 10\n"
  out = tmp_path / "字\udcfe.txt"
  assert not runs.call("tokenizer", "encode", "byte", odd, "--out", out).returncode
  assert out.read_bytes() == b"97 98\n"
  missing = runs.call("predict", "--workdir", tmp_path / "没有\udcff", **other)
  assert missing.returncode == 2 and "没有\\udcff" in missing.stderr


def test_an_unforeseen_error_is_reported_as_a_bug(capsys, monkeypatch):
  monkeypatch.setattr(cli, "run", lambda argv: {}["x"])
  monkeypatch.setattr(cli, "start_again", lambda: None)
  monkeypatch.setattr(cli, "use_utf8", lambda: None)
  with pytest.raises(SystemExit) as end:
    cli.main()
  err = capsys.readouterr().err
  assert end.value.code == 1 and "a bug of jaxmem: KeyError: 'x'" in err
  report = Path(re.search(r"\S+jaxmem-\S+\.txt", err)[0])
  assert "Traceback" in report.read_text(encoding="utf-8")
  report.unlink()
  monkeypatch.setenv(cli.TRACEBACK, "1")
  with pytest.raises(KeyError):
    cli.main()
