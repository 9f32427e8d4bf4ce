"""The commands of the pages in docs/ run, and their pictures exist."""

import re
import shlex
from pathlib import Path

import pytest

from jaxmem import cli, mixers

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "attention.md").read_text()
COMMANDS = re.findall(r"^\$ jaxmem (draw .*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: shlex.split(c)[1])
def test_picture_is_drawn_by_its_command(tmp_path, command):
  *words, picture = shlex.split(command)
  drawn = tmp_path / "drawn.png"

  assert cli.run([*words, str(drawn)]) == 0

  assert (DOCS.parent / picture).is_file() and drawn.stat().st_size > 5000


def test_every_mixer_of_attention_has_its_paragraph():
  for name in mixers.names():
    if mixers.get(name).Mixer.family == "attention":
      assert f"## {name}\n" in PAGE
