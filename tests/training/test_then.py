"""An experiment that names another: the same command trains one after the other."""

import dataclasses
import json

import pytest

from jaxmem import cli, configs
from jaxmem.commands.train import load_config
from jaxmem.core.errors import UserError
from support import runs

DIALOGUE = """
from jaxmem.tasks.dialogue.task import DialogueConfig
task = DialogueConfig("recall:facts=2:count=64:talk=6", segment_length=16, batch_size=8)
config = config("", model=SMALL, task=task, steps={steps}, eval_bytes=32, then={then!r})
"""


@pytest.fixture
def trained(monkeypatch):
  """The (config, workdir, resume) of every call of a trainer that does nothing."""
  calls = []
  monkeypatch.setattr(
    "jaxmem.training.trainer.train",
    lambda *arguments: calls.append(arguments) or 0,
  )
  return calls


def _write(directory, name, steps, then=""):
  text = DIALOGUE.format(steps=steps, then=str(then))
  return runs.write_config(directory / f"{name}.py", text)


def test_each_has_a_folder_in_the_one_before_and_no_more_steps(trained, tmp_path):
  last = _write(tmp_path, "last", steps=9)
  middle = _write(tmp_path, "middle", steps=30, then=last)
  first = _write(tmp_path, "first", steps=40, then=middle)
  workdir = tmp_path / "run"
  flags = ["--workdir", str(workdir), "--memory", "mingru", "--resume", "must"]

  assert cli.run(["train", str(first), *flags, "--steps", "20"]) == 0

  directories = [workdir, workdir / "middle", workdir / "middle" / "last"]
  assert [directory for _, directory, _ in trained] == directories
  assert [config.steps for config, *_ in trained] == [20, 20, 9]
  assert [resume for *_, resume in trained] == ["must", "auto", "auto"]
  for config, *_ in trained:
    assert [item.name for item in config.model.pattern] == ["mingru"]


def test_an_empty_flag_leaves_out_what_follows(trained, tmp_path):
  first = _write(tmp_path, "first", 4, then=_write(tmp_path, "last", 4))
  assert cli.run(["train", str(first), "--then", ""]) == 0
  assert len(trained) == 1


@pytest.mark.parametrize(
  "then, says", [("qickstart", "'quickstart'"), ("{file}", "follows itself")]
)
def test_what_cannot_follow_is_refused_before_the_first_is_trained(
  trained, tmp_path, then, says
):
  then = then.format(file=tmp_path / "first.py")
  first = _write(tmp_path, "first", steps=4, then=then)
  with pytest.raises(UserError, match=says):
    from jaxmem.commands import train

    train.main([str(first)])
  assert not trained


def test_the_next_is_not_trained_after_one_that_was_stopped(tmp_path, monkeypatch):
  calls = []
  monkeypatch.setattr("jaxmem.training.trainer.train", lambda *a: calls.append(a) or 75)
  first = _write(tmp_path, "first", 4, then=_write(tmp_path, "last", 4))
  assert cli.run(["train", str(first)]) == 75
  assert len(calls) == 1


def test_both_runs_are_reported_and_the_same_command_resumes_both(tmp_path, capsys):
  corpus = runs.write_corpus(tmp_path / "corpus")
  second = _write(tmp_path, "second", steps=9)
  text = f"config = config({str(corpus)!r}, model=SMALL, then={str(second)!r})\n"
  path = runs.write_config(tmp_path / "both.py", text)
  workdir = tmp_path / "run"
  command = ["train", str(path), "--workdir", str(workdir), "--steps", "3"]

  assert cli.run(command) == 0
  out = capsys.readouterr().out
  assert "Carrying saves" in out
  assert "turns of other talk" in out and "memory emptied:" in out
  report = (workdir / "second" / "report.md").read_text()
  assert "memory carried:" in report and "name said, turns ago" in report
  numbers = json.loads((workdir / "second" / "report.json").read_text())
  assert (
    sum(group["answers"] for group in numbers["carried"]["by_delay"].values())
    == numbers["carried"]["answers"]
  )
  first = (workdir / "report.md").read_text()

  assert cli.run(command) == 0
  assert capsys.readouterr().out.count("resumed from step 3") == 2
  assert (workdir / "report.md").read_text() == first
  assert (workdir / "second" / "report.md").read_text() == report


def test_the_quickstart_is_followed_by_dialogues_that_need_the_memory():
  config = load_config("quickstart")
  following = load_config(config.then)
  assert configs.find(config.then) == configs.path_of("recall")
  assert following.task.source.startswith("recall:")
  # needs no extra beside `train`
  assert not dataclasses.asdict(following.task)["tokenizer"].startswith("sp:")
