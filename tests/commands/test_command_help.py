"""Every command explains itself on one screen, and each of its words is understood."""

import dataclasses
import shlex
import subprocess
import sys
from typing import ClassVar, Literal

import pytest

import jaxmem
from jaxmem import cli, commands
from jaxmem.configs import quickstart
from jaxmem.core import command_line, help_page
from jaxmem.core.command_line import parse
from jaxmem.core.errors import UserError
from jaxmem.core.options import Page
from jaxmem.core.ranges import number, required

NAMES = list(commands.command_help())
FORMS = [form for name in NAMES for form in commands.load(name).forms()]


def _printed(capsys, *argv):
  try:
    code = cli.run(list(argv))
  except SystemExit as end:
    code = end.code
  assert code == 0
  return capsys.readouterr().out


def _fits(text):
  lines = text.splitlines()
  longest = max(lines, key=len)
  return len(lines) <= help_page.LINES and len(longest) <= help_page.COLUMNS


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_fits_one_screen(capsys, name):
  text = _printed(capsys, name, "--help")
  assert _fits(text), text
  assert text.startswith(f"usage: jaxmem {name}")
  assert _printed(capsys, "help", name) == text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.prog)
def test_page_names_real_options_and_every_option_is_described(form):
  keys = [key for group in form.page.groups.values() for key in group]
  options = {option.key: option for option in form.options}
  assert not {*keys, *form.page.places, *form.page.words} - set(options)
  assert len(set(keys)) == len(keys)
  assert all(option.text for option in form.options)
  assert _fits(help_page.short(form))
  required_ones = {option.key for option in form.options if option.required}
  assert required_ones <= set(keys)
  text = help_page.full(form)
  assert not [f for o in form.options for f in o.flags if f" {f}" not in text]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.prog)
def test_example_of_a_page_is_understood(form):
  words = shlex.split(form.page.example.partition(" > ")[0])
  prog = form.prog.split()
  assert words[: len(prog)] == prog
  command_line.read(form, words[len(prog) :])


def test_overview_groups_every_command(capsys):
  text = _printed(capsys, "--help")
  assert text == _printed(capsys, "help")
  assert "Others:" not in text and "jaxmem train quickstart" in text
  places = [text.index(f"\n  {name} ") for name in NAMES]
  assert places == sorted(places) and NAMES[0] == "train"


def test_version_names_what_is_installed(capsys):
  lines = _printed(capsys, "--version").splitlines()
  assert lines[0] == f"jaxmem {jaxmem.__version__}"
  assert [line.split()[0] for line in lines] == ["jaxmem", "jax", "flax", "python"]
  assert all(line.split()[1][0].isdigit() for line in lines)


def test_module_is_the_command_and_its_help_imports_little():
  code = (
    "import runpy, sys; sys.argv = ['jaxmem', 'help']\n"
    "try: runpy.run_module('jaxmem', run_name='__main__')\n"
    "except SystemExit as end: assert not end.code\n"
    "print({'numpy', 'jax', 'flax'} & set(sys.modules))"
  )
  call = [sys.executable, "-c", code]
  out = subprocess.run(call, check=True, capture_output=True, text=True).stdout
  assert out.startswith("usage: jaxmem") and out.endswith("set()\n")


def test_help_of_train_has_the_defaults_of_its_config(capsys):
  text = _printed(capsys, "train", "quickstart", "--help")
  assert _fits(text), text
  assert "(runs/quickstart)" in text and f"({quickstart.config.steps})" in text
  assert "rglru:num_heads=4" in text and "Trains a hybrid byte-level" in text
  with pytest.raises(UserError, match="jaxmem train needs a config: a name"):
    cli.commands.load("train").main(["--steps", "3"])


@dataclasses.dataclass(frozen=True)
class Inner:
  """Where data are.

  Attributes:
    batch_size: rows.
    shuffle: whether rows are shuffled.
  """

  batch_size: int = 4
  shuffle: bool = True


@dataclasses.dataclass(frozen=True)
class Options:
  """Shows how words are read.

  Attributes:
    source: a file.
    rate: a number.
    seed: a number, or None.
    mode: one of two.
    stop: several texts.
    twin: a truth value.
    task: the data.
  """

  PAGE: ClassVar[Page] = Page("prog x", {"All": ("source",)}, places=("source",))

  source: str = required("give a file")
  rate: float = number(1.0, above=0)
  seed: int | None = number(None, at_least=0)
  mode: Literal["", "slow", "fast"] = ""
  stop: tuple[str, ...] = ()
  twin: bool = False
  task: Inner = Inner()


@pytest.mark.parametrize(
  ("words", "fields"),
  [
    ("--rate 2", {"rate": 2.0}),
    ("--rate=-1e-3", {"rate": -1e-3}),
    ("--rate -1e-3", {"rate": -1e-3}),
    ("--rate 1 --rate 3", {"rate": 3.0}),
    ("--seed 3", {"seed": 3}),
    ("--seed None", {}),
    ("--mode fast", {"mode": "fast"}),
    ("--stop a b --stop c", {"stop": ("a", "b", "c")}),
    ("--stop=--x", {"stop": ("--x",)}),
    ("--stop -x", {"stop": ("-x",)}),
    ("--twin", {"twin": True}),
    ("--twin --no-twin", {}),
    ("--twin=True", {"twin": True}),
    ("--no-twin=false", {"twin": True}),
    ("--task.batch_size 2", {"task": Inner(batch_size=2)}),
    ("--task.batch-size=2 --task.no-shuffle", {"task": Inner(2, False)}),
  ],
)
def test_words_set_fields(words, fields):
  expected = dataclasses.replace(Options("file"), **fields)
  assert parse(Options, ["file", *words.split()], "prog") == expected
  if "--stop a" not in words and words[-2:] != "-x":  # these take the words after them
    assert parse(Options, [*words.split(), "file"], "prog") == expected


def test_words_after_two_dashes_are_no_flags():
  assert parse(Options, ["--twin", "--", "--rate"], "prog").source == "--rate"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ("", "SOURCE is missing: give a file"),
    ("a b", "prog takes no word 'b' here"),
    ("a --rat 1", "prog has no option --rat: did you mean '--rate'?"),
    ("a --batch-size 1", "did you mean '--task.batch-size'?"),
    ("a --zzzzzzzzz", "prog has no option --zzzzzzzzz: see prog --help-all"),
    ("a -q", "prog has no option -q"),
    ("a --rate", "--rate needs a value: --rate X"),
    ("a --rate --twin", "--rate needs a value: --rate X"),
    ("a --rate fast", "--rate is 'fast': a number expected"),
    ("a --seed 1.5", "--seed is '1.5': a whole number expected"),
    ("a --mode fat", "--mode is 'fat': one of slow, fast; did you mean 'fast'?"),
    ("a --twin=3", "--twin is '3': true or false"),
  ],
)
def test_mistake_is_one_message(words, message):
  with pytest.raises(UserError) as error:
    parse(Options, words.split(), "prog")
  assert message in str(error.value) and "\n" not in str(error.value)


def test_action_that_is_none_names_the_nearest(capsys):
  for argv, message in {
    ("index",): "jaxmem index needs an action: build, query",
    ("index", "bild"): "jaxmem index has no action 'bild': did you mean 'build'?",
  }.items():
    assert cli.run(list(argv)) == 2
    assert message in capsys.readouterr().err
