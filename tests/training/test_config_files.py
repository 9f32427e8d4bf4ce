"""A mistake in a config file gives one sentence with the file, and exit code 2."""

import json
import subprocess
import sys

import pytest

from jaxmem import cli
from jaxmem.core.errors import ConfigError
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LMConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.training.config import Config, DataConfig
from jaxmem.training.step import resolve
from support import runs

HEAD = """from pathlib import Path
import numpy as np
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
"""

# Maps a line of a config file to the message about it.
WRONG = {
  "config = Config(step=10)": "Config has no 'step': did you mean 'steps'?",
  "config = Config(optim=OptimConfig(learning_rte=1.0))": (
    "OptimConfig has no 'learning_rte': did you mean 'learning_rate'?"
  ),
  "config = Config(carry_memory=True)": "which is now segment_start",
  "config = Config(steps='10')": "steps is '10': a value of type int expected",
  "config = Config(task=DataConfig(segment_length=16.0))": "segment_length is 16.0",
  "config = Config(task=5)": "task is 5: DataConfig or another task's config expected",
  "config = Config(model=LMConfig)": "model is <class",
  "config = Config(segment_start=[])": "segment_start is []",
  "config = Config(seed=2**64)": "seed is 18446744073709551616: it must be",
  "config = Config(LMConfig(0, pattern='windw'))": "did you mean 'window'?",
  "config = Config(LMConfig(0, pattern=5))": "model.pattern is 5",
  "config = Config(": "line 6 is not Python",
  "\0": "is not Python",
  "import nowhere": "line 6 raises ModuleNotFoundError",
  "1 / 0": "line 6 raises ZeroDivisionError",
  "raise SystemExit(3)": "line 6 raises SystemExit: 3",
  "other = Config()": "defines no `config`",
  "config = Config": "defines no `config`",
}
# Line of a config file -> an expression that is true of its config.
RIGHT = {
  "config = Config(LMConfig(0, pattern='gru,window:window_size=4'))": (
    "config.model.pattern == (entry('gru'), entry('window', window_size=4))"
  ),
  "config = Config(LMConfig(0, pattern=['gru', entry('lstm')]))": (
    "config.model.pattern == (entry('gru'), entry('lstm'))"
  ),
  "config = Config(LMConfig(0, pattern=entry('gru')))": (
    "config.model.pattern == (entry('gru'),)"
  ),
  "config = Config(task=DataConfig(source=Path('a')))": "config.task.source == 'a'",
  "config = Config(LMConfig(0, np.int64(16)))": "type(config.model.d_model) is int",
}
# A child process, since the tests' type checks would refuse the values first.
_PROGRAM = """
import contextlib, io, json, sys
from pathlib import Path
from jaxmem import cli
from jaxmem.commands.train import load_config
from jaxmem.models.pattern import entry
wrong, right = json.loads(sys.argv[1])
said = []
for path in wrong:
  with contextlib.redirect_stderr(io.StringIO()) as stream:
    code = cli.run(["train", path, "--workdir", path + ".run"])
  said.append([code, stream.getvalue()])
true = [eval(text, globals() | {"config": load_config(Path(p))}) for p, text in right]
print(json.dumps([said, true]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
  directory = tmp_path_factory.mktemp("configs")

  def write(name: str, line: str) -> str:
    path = directory / name
    path.write_text(f"{HEAD}{line}\n", encoding="utf-8")
    return str(path)

  wrong = [write(f"wrong{i}.py", line) for i, line in enumerate(WRONG)]
  right = [
    (write(f"right{i}.py", line), text) for i, (line, text) in enumerate(RIGHT.items())
  ]
  out = subprocess.run(
    [sys.executable, "-c", _PROGRAM, json.dumps([wrong, right])],
    env=runs.environment(),
    capture_output=True,
    check=True,
  )
  messages, values = json.loads(out.stdout)
  return dict(zip(WRONG, messages, strict=True)), dict(zip(RIGHT, values, strict=True))


@pytest.mark.parametrize("line", WRONG)
def test_a_faulty_config_file_gives_one_sentence(line, answers):
  code, message = answers[0][line]
  assert code == 2 and WRONG[line] in message
  assert message.count("\n") == 1 and message.startswith("jaxmem: ")


@pytest.mark.parametrize("line", RIGHT)
def test_what_means_the_same_is_converted(line, answers):
  assert answers[1][line] is True


@pytest.mark.parametrize("name", ["", "none.py", "a.txt"])
def test_a_file_that_is_no_config_is_named(name, tmp_path, capsys):
  (tmp_path / "a.txt").touch()
  assert cli.run(["train", str(tmp_path / name)]) == 2
  assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
  "config",
  [Config(EncoderConfig(), DataConfig()), Config(LMConfig(0), LabelsConfig("none"))],
)
def test_data_with_the_model_of_another_job_are_refused_by_name(config):
  with pytest.raises(ConfigError, match="needs model="):
    resolve(config)
