"""Compiled programs are kept between processes, within bounds, and announced."""

import dataclasses
import os
import subprocess
import sys
import time

import pytest

from jaxmem.runtime import compilation
from jaxmem.training.trainer import train
from support import runs

# prints how many programs were asked for, and how many the folder had
COUNT = """
import sys
from jaxmem.runtime import compilation
{before}
compilation.enable()
import jax, jax.numpy as jnp
count = dict(compile_requests_use_cache=0, cache_hits=0)
def listen(event, **kwargs):
  name = event.split("/")[-1]
  if name in count:
    count[name] += 1
jax.monitoring.register_event_listener(listen)
{work}
print(*count.values())
"""
SMALL = "jax.jit(lambda x: jnp.sin(x) @ x)(jnp.eye(3)).block_until_ready()"


def _run(cache, work=SMALL, before="", **environment):
  """Returns how many programs a process asked for and found, and its messages."""
  env = runs.environment(XDG_CACHE_HOME=str(cache), **environment)
  for name in list(env):
    if name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT")):
      if name not in environment:
        del env[name]
  code = COUNT.format(work=work, before=before)
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, env=env, capture_output=True, check=True)
  asked, found = map(int, done.stdout.split()[-2:])
  return asked, found, done.stderr.decode()


def _entries(cache):
  return sorted((cache / "jaxmem" / "compiled").glob("*/*-cache"))


def test_a_second_process_compiles_nothing_and_damage_is_mended(tmp_path):
  asked, found, _ = _run(tmp_path)
  assert asked > 0 and found == 0 and len(_entries(tmp_path)) == asked
  assert _run(tmp_path)[:2] == (asked, asked)

  entries = _entries(tmp_path)
  for entry in entries:
    entry.write_bytes(entry.read_bytes()[:50])
  asked, found, err = _run(tmp_path)
  assert found == 0 and err == ""
  assert _entries(tmp_path) == entries
  assert all(entry.stat().st_size > 50 for entry in entries)


def test_a_folder_of_the_user_is_used_and_one_that_cannot_be_made_is_done_without(
  tmp_path,
):
  own = tmp_path / "own"
  asked, _, _ = _run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(own))
  assert len(list(own.glob("*-cache"))) == asked and not _entries(tmp_path)

  (tmp_path / "file").write_text("")
  before = "compilation.SECONDS = 0.01"
  slow = "jax.jit(lambda x: [x := jnp.sin(x) @ x for _ in range(40)])(jnp.eye(3))"
  work = f"with compilation.compiling('a slow program'):\n  {slow}"
  _, found, err = _run(tmp_path / "file", work, before)
  assert found == 0
  assert "jaxmem: compiling a slow program (not kept: " in err


def test_a_second_command_compiles_nothing_for_a_prompt_of_another_length(
  tmp_path, tmp_path_factory
):
  run = runs.first_checkpoint(tmp_path_factory.mktemp("run"))

  def generate(length):
    flags = ["--workdir", str(run), "--max-tokens", "4", "--prompt", "m" * length]
    work = f"from jaxmem import cli; assert cli.run(['generate', *{flags!r}]) == 0\n"
    return _run(tmp_path, work + "print()")

  asked, found, _ = generate(1100)
  assert found < asked
  asked, found, _ = generate(1301)
  assert found == asked


def test_prune_deletes_what_was_not_used_for_longest(tmp_path):
  for i in range(4):
    path = tmp_path / "processor" / f"program-{i}-cache"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(10))
    os.utime(path, (100 - i, 100 - i))

  compilation.prune(tmp_path, most=40, kept=20)
  assert len(list(tmp_path.rglob("*-cache"))) == 4
  compilation.prune(tmp_path, most=39, kept=20)
  names = sorted(path.name for path in tmp_path.rglob("*-cache"))
  assert names == ["program-0-cache", "program-1-cache"]


def test_config_sets_the_folder_or_none(tmp_path, monkeypatch):
  import jax

  settings = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
  before = {name: getattr(jax.config, name) for name in settings}
  try:
    compilation.use("auto")
    assert jax.config.jax_compilation_cache_dir == before[settings[0]]
    compilation.use(str(tmp_path))
    jax.jit(lambda x: x * 3.7 + 1.9)(2.0).block_until_ready()
    assert list(tmp_path.glob("*-cache"))
    compilation.use("none")
    assert jax.config.jax_compilation_cache_dir is None
  finally:
    compilation.use(before[settings[0]])
    jax.config.update(settings[1], before[settings[1]])


def test_a_run_applies_the_setting_of_its_config(tmp_path, monkeypatch):
  class Applied(Exception):
    pass

  def use(setting):
    raise Applied(setting)

  monkeypatch.setattr(compilation, "use", use)
  config = runs.config(runs.write_corpus(tmp_path / "corpus"))
  config = dataclasses.replace(config, compilation_cache="kept/programs")
  with pytest.raises(Applied, match="kept/programs"):
    train(config, tmp_path / "run")


@pytest.fixture
def announcer():
  announcer = compilation._Announcer()
  announcer.enabled = announcer._thread = True  # it does not watch: the test does
  return announcer


def test_a_long_compilation_is_announced_once_and_a_short_one_never(announcer, capfd):
  def said(seconds):
    announcer.check(time.monotonic() + seconds)
    return capfd.readouterr().err

  event = "/jax/core/compile/backend_compile_duration"
  with announcer.subject("the model"):
    announcer._begin(event, 0.0, fun_name="f")
    assert said(0) == ""
    assert said(1) == "jaxmem: compiling the model (not kept)\n"
    assert said(2) == ""
    announcer._end(event, 1.0)
    announcer._begin(event, 0.0, fun_name="f")
    announcer._end(event, 0.1)
    assert said(1) == ""
  announcer._begin(event, 0.0, fun_name="f")
  assert said(1) == "jaxmem: compiling f (not kept)\n"
