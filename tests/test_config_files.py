"""A mistake in a config file is one sentence with the file, and exit code 2."""

import dataclasses

import numpy as np
import pytest

from jaxmem import cli
from jaxmem.commands.train import load_config
from jaxmem.config import Config, ConfigError, DataConfig, typed
from jaxmem.jobs.labels import LabelsConfig
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LMConfig
from jaxmem.modules.pattern import entry
from jaxmem.program import resolve

HEAD = """from pathlib import Path
from jaxmem.config import Config, DataConfig, OptimConfig
from jaxmem.models.lm import LMConfig
"""


@pytest.mark.parametrize(
  "line, says",
  [
    ("config = Config(step=10)", "Config has no 'step': did you mean 'steps'?"),
    (
      "config = Config(optim=OptimConfig(learning_rte=1.0))",
      "OptimConfig has no 'learning_rte': did you mean 'learning_rate'?",
    ),
    ("config = Config(carry_memory=True)", "which is now segment_start"),
    ("config = Config(steps='10')", "steps is '10': a value of type int expected"),
    ("config = Config(data=DataConfig(segment_length=16.0))", "segment_length is 16.0"),
    ("config = Config(data=5)", "data is 5: DataConfig or another job's config"),
    ("config = Config(model=LMConfig)", "model is <class"),
    ("config = Config(seed=2**64)", "seed is 18446744073709551616: it must be at most"),
    ("config = Config(model=LMConfig(0, pattern='windw'))", "did you mean 'window'?"),
    ("config = Config(", "line 4 is not Python"),
    ("\0", "is not Python"),
    ("import nowhere", "line 4 raises ModuleNotFoundError"),
    ("1 / 0", "line 4 raises ZeroDivisionError"),
    ("raise SystemExit(3)", "line 4 raises SystemExit: 3"),
    ("other = Config()", "defines no `config`"),
    ("config = Config", "defines no `config`"),
  ],
)
def test_a_config_file_that_is_wrong_is_one_sentence(line, says, tmp_path, capsys):
  path = tmp_path / "c.py"
  path.write_text(HEAD + line + "\n", encoding="utf-8")
  assert cli.run(["train", str(path), "--workdir", str(tmp_path / "run")]) == 2
  said = capsys.readouterr().err
  assert says in said and said.count("\n") == 1 and "Traceback" not in said
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "none.py", "a.txt"])
def test_what_is_no_config_file_is_named(name, tmp_path, capsys):
  (tmp_path / "a.txt").touch()
  assert cli.run(["train", str(tmp_path / name)]) == 2
  assert str(tmp_path) in capsys.readouterr().err


def test_what_means_the_same_is_converted(tmp_path):
  path = tmp_path / "c.py"
  text = "config = Config(LMConfig(0, pattern='gru,window:window_size=4'), "
  text += "data=DataConfig(source=Path('corpus')))\n"
  path.write_text(HEAD + text, encoding="utf-8")
  config = load_config(path)
  assert config.model.pattern == (entry("gru"), entry("window", window_size=4))
  assert config.data.source == "corpus"

  given = Config(LMConfig(0, np.int64(16), pattern=["gru", entry("lstm")]))
  model = typed(given).model
  assert model.pattern == (entry("gru"), entry("lstm"))
  assert type(model.d_model) is int and typed(typed(given)) == typed(given)
  one = dataclasses.replace(given, model=LMConfig(0, pattern=entry("gru")))
  assert typed(one).model.pattern == (entry("gru"),)


@pytest.mark.parametrize(
  "config",
  [Config(EncoderConfig(), DataConfig()), Config(LMConfig(0), LabelsConfig("none"))],
)
def test_data_with_the_model_of_another_job_are_refused_by_name(config):
  with pytest.raises(ConfigError, match="needs model="):
    resolve(config)
