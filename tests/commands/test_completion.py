"""The scripts of `jaxmem completion` complete commands, flags, values and files."""

import shutil
import subprocess

import pytest

from jaxmem import cli

# Calls the function as the shell does on a key press, and prints what it offers.
CALLS = {
  "bash": """
COMP_WORDS=({words} "{last}"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
complete -p jaxmem >/dev/null && _jaxmem && echo "${{COMPREPLY[@]}}"
""",
  "zsh": """
words=({words} "{last}"); CURRENT=${{#words}}
_jaxmem
""",
  "fish": 'complete -C "{words} {last}" | string split -f1 \\t | string join " "\n',
}
# What zsh defines within its completion alone.
ZSH = """
compdef() { defined="$*"; }
_files() { :; }
compadd() { shift; print -- ${(M)@:#${words[CURRENT]}*}; }
"""


@pytest.fixture(scope="module", params=list(CALLS))
def complete(request, tmp_path_factory):
  """Returns a function from words, the last of them begun, to what is offered."""
  shell = request.param
  if not shutil.which(shell):
    pytest.skip(f"no {shell}")
  path = tmp_path_factory.mktemp(shell) / "script"
  with pytest.MonkeyPatch.context() as patch, open(path, "w") as file:
    patch.setattr("sys.stdout", file)
    assert cli.run(["completion", shell]) == 0

  def call(*words):
    text = CALLS[shell].format(words=" ".join(words[:-1]), last=words[-1])
    script = (ZSH if shell == "zsh" else "") + f"source {path}\n" + text
    run = subprocess.run(
      [shell, "-c", script], capture_output=True, text=True, cwd=path.parent
    )
    assert not run.stderr
    return run.stdout.split()

  return call


def test_commands_flags_and_values_are_completed(complete):
  assert complete("jaxmem", "tr") == ["train"]
  assert complete("jaxmem", "help", "gen") == ["generate"]
  assert {"build", "query"} <= set(complete("jaxmem", "index", ""))
  assert complete("jaxmem", "index", "build", "--ki") == ["--kind"]
  assert complete("jaxmem", "index", "query", "--ki") == []
  assert set(complete("jaxmem", "eval", "--carry", "o")) == {"on", "off"}
  assert complete("jaxmem", "train", "x", "--optim.l") == ["--optim.learning-rate"]
  assert complete("jaxmem", "eval", "--plug") == ["--plugins"]
  for command in ("train", "configs"):
    offered = complete("jaxmem", command, "quick")
    assert set(offered) == {"quickstart", "quickstart_accelerator"}


def test_other_words_are_left_to_the_names_of_files(complete):
  assert "train" not in complete("jaxmem", "eval", "--text", "t")
