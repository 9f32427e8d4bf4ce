"""What a run writes for its readers: JSON Lines, TensorBoard, Weights & Biases."""

import importlib.machinery
import json
import re
import sys
import types

import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError
from jaxmem.runtime.logs import Log
from jaxmem.training import run_task
from jaxmem.training.config import LogConfig
from support import runs, terminal, written

PROJECT = ("--log.wandb-project", "demo")


class FakeWandb(types.ModuleType):
  """Stands in for the package: keeps what it gets, and knows the last step of an id."""

  Settings, Image = dict, str

  def __init__(self, fails=""):
    super().__init__("wandb")
    self.__spec__ = importlib.machinery.ModuleSpec("wandb", None, origin="a fake")
    self.runs, self.steps, self.fails = [], {}, fails

  def init(self, **options):
    self._fail("init")
    self.runs.append(FakeRun(self, options))
    return self.runs[-1]

  def _fail(self, call):
    if call == self.fails:
      raise OSError(f"no server for {call}")


class FakeRun:
  """A run of `FakeWandb`; steps that do not rise are a failure, as on the server."""

  def __init__(self, package, options):
    self._package, self.options = package, options
    self.config, self.summary, self.logged, self.code = FakeConfig(), {}, [], None
    self.step = package.steps.get(options["id"], -1) + 1

  def log(self, values, step):
    self._package._fail("log")
    assert step >= self.step, f"step {step} after {self.step}"
    self.step = step
    self._package.steps[self.options["id"]] = step
    self.logged.append((step, values))

  def finish(self, exit_code):
    self.code = exit_code


class FakeConfig(dict):
  def update(self, values, allow_val_change):
    assert allow_val_change or not self
    super().update(values)


def _metrics(run):
  return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def _install(monkeypatch, fails=""):
  fake = FakeWandb(fails)
  monkeypatch.setitem(sys.modules, "wandb", fake)
  return fake


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
  """A config file of a run of 12 steps that is scored twice."""
  place = tmp_path_factory.mktemp("tiny")
  corpus = runs.write_corpus(place / "corpus")
  text = (
    f"config = config({str(corpus)!r}, model=SMALL, eval_bytes=256, sample_bytes=0,"
    " validation=configs.ValidationConfig(every=6, num_bytes=128))\n"
  )
  return runs.write_config(place / "tiny.py", text)


def test_all_writers_get_config_rates_scores_and_pictures(tiny, tmp_path, monkeypatch):
  """A run that is stopped and resumed is one run of Weights & Biases."""
  fake, run = _install(monkeypatch), tmp_path / "run"
  command = ["train", str(tiny), "--workdir", str(run), *PROJECT]
  with monkeypatch.context() as patch:
    runs.stop_at(patch, 6)  # the log has step 4, and the checkpoint is that of step 7
    assert cli.run(command) == 75
  assert cli.run(command) == 0

  first, second = fake.runs
  assert first.options["id"] == second.options["id"]
  assert second.options["project"] == "demo" and second.options["dir"] == str(run)
  assert second.config["steps"] == 12 and second.config["optim"]["warmup_steps"] == 2
  logged = first.logged + second.logged
  lines = _metrics(run)
  assert [{"step": step} | values for step, values in logged[:-1]] == lines
  assert {line["step"] for line in lines if "learning_rate" in line} == {4, 8, 12}
  report = json.loads((run / "report.json").read_text())
  carried = report["bits_per_byte"]["carried"]
  assert second.summary["final/bits_per_byte/carried"] == carried
  pictures = {f"report/{p.stem}": str(p) for p in run.glob("*.png")}
  assert len(pictures) == 3 and logged[-1] == (13, pictures)
  assert (first.code, second.code) == (0, 0)

  board = written.tensorboard(run / "tensorboard")
  rates = [line["learning_rate"] for line in lines if "learning_rate" in line]
  assert [v.simple_value for v in board["learning_rate"]] == pytest.approx(rates)
  (score,) = board["final/bits_per_byte/carried"]
  assert score.simple_value == pytest.approx(carried)
  assert b'"warmup_steps": 2' in board["config/text_summary"][0].tensor.string_val[0]
  images = [v for tag in board for v in board[tag] if v.image.encoded_image_string]
  assert len(images) == 3


def test_validation_leaves_the_bar_of_a_run_whole(tiny, tmp_path, monkeypatch):
  """On a terminal every message has its own line, and one bar stands below them."""
  with terminal.streams(monkeypatch) as content:
    assert cli.run(["train", str(tiny), "--workdir", str(tmp_path / "run")]) == 0
  lines = terminal.screen(content[0])

  first = next(i for i, line in enumerate(lines) if "held out" in line)
  lines = lines[first:]
  assert re.fullmatch(
    r"step {6}6  held out [\d.]+ bits/byte, the best so far", lines[0]
  )
  assert re.fullmatch(r"step +12  held out [\d.]+ bits/byte, .*", lines[1])
  assert re.match(r"100%\|█+\| 12/12 \S+, loss [\d.]+, .*saves at", lines[2])
  assert lines[3].startswith("the best held-out score was at step")
  assert sum("%|" in line for line in lines) == 1


@pytest.mark.needs("wandb")
def test_an_offline_run_of_wandb_lies_in_the_work_directory(
  tiny, tmp_path, monkeypatch
):
  monkeypatch.setenv("WANDB_MODE", "offline")
  run = tmp_path / "run"
  assert cli.run(["train", str(tiny), "--workdir", str(run), *PROJECT]) == 0

  (folder,) = (run / "wandb").glob("offline-run-*")
  (file,) = folder.glob("*.wandb")
  records = written.wandb(file)
  (started,) = (r.run for r in records if r.HasField("run"))
  assert started.project == "demo" and started.display_name == "run"
  config = {item.key: item.value_json for r in records for item in r.config.update}
  assert config["steps"] == "12"
  history = [
    {item.key or "/".join(item.nested_key): item.value_json for item in r.history.item}
    for r in records
    if r.HasField("history")
  ]
  assert [int(row["_step"]) for row in history] == [4, 6, 8, 12, 13]
  lines = _metrics(run)
  rates = [
    json.loads(row["learning_rate"]) for row in history if "learning_rate" in row
  ]
  assert rates == [line["learning_rate"] for line in lines if "learning_rate" in line]
  summary = {
    "/".join(item.nested_key) or item.key: item.value_json
    for r in records
    for item in r.summary.update
  }
  report = json.loads((run / "report.json").read_text())
  key = "final/bits_per_byte/carried"
  assert json.loads(summary[key]) == report["bits_per_byte"]["carried"]
  assert len(list(folder.glob("files/media/images/report/*.png"))) == 3


def test_a_missing_package_is_named_before_any_work(
  tiny, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "wandb", None)
  run = tmp_path / "run"

  assert cli.run(["train", str(tiny), "--workdir", str(run), *PROJECT]) == 2
  assert "needs wandb, not installed here: pip install 'jaxmem[wandb]'" in (
    capsys.readouterr().err
  )
  assert not run.exists()


def test_the_folder_of_wandb_is_not_taken_for_the_package(tmp_path, monkeypatch):
  (tmp_path / "wandb").mkdir()
  monkeypatch.delitem(sys.modules, "wandb", raising=False)
  monkeypatch.setattr(sys, "path", [str(tmp_path)])
  config = runs.config(tmp_path, log=LogConfig(wandb_project="demo"))

  with pytest.raises(ConfigError, match="wandb, not installed here"):
    run_task.check_packages(config)


def test_wandb_that_does_not_start_is_refused(tmp_path, monkeypatch):
  _install(monkeypatch, fails="init")

  with pytest.raises(
    ConfigError, match="OSError: no server for init; run `wandb login`"
  ):
    Log(tmp_path, wandb_project="demo")


def test_wandb_that_fails_later_is_dropped_with_one_warning(tmp_path, monkeypatch):
  _install(monkeypatch, fails="log")

  with (
    pytest.warns(UserWarning) as warnings,
    Log(tmp_path, wandb_project="demo") as log,
  ):
    for step in (1, 2, 3):
      log.scalars(step, {"loss": 1.0})
  messages = [str(warning.message) for warning in warnings]
  assert messages == ["the Weights & Biases log ends here: OSError: no server for log"]
  assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3


def test_a_run_that_fails_is_shown_as_failed(tmp_path, monkeypatch):
  fake = _install(monkeypatch)

  with pytest.raises(ZeroDivisionError), Log(tmp_path, wandb_project="demo"):
    raise ZeroDivisionError
  assert fake.runs[0].code == 1


def test_steps_that_the_server_has_are_not_sent_again(tmp_path, monkeypatch):
  """A killed run repeats the steps since its checkpoint."""
  fake = _install(monkeypatch)
  for steps in ((1, 2, 3), (2, 3, 4)):
    with Log(tmp_path, wandb_project="demo") as log:
      for step in steps:
        log.scalars(step, {"loss": 1.0})

  assert [[step for step, _ in run.logged] for run in fake.runs] == [[1, 2, 3], [4]]
  Log(tmp_path, wandb_project="another").close()
  assert fake.runs[2].options["id"] != fake.runs[0].options["id"]


def test_other_processes_write_nothing(tmp_path, monkeypatch):
  fake = _install(monkeypatch)
  with Log(tmp_path, primary=False, wandb_project="demo") as log:
    log.config({"steps": 1})
    log.rows(1, [0, 1])
    log.scalars(1, {"loss": 1.0})

  assert not fake.runs and not list(tmp_path.iterdir())
