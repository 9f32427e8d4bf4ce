"""Files are written whole or not at all, in UTF-8 under any locale."""

import os
import subprocess
import sys

import pytest

from jaxmem.core import files


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
  path = tmp_path / "a.txt"
  files.write_text(path, "old")
  with pytest.raises(RuntimeError), files.replacing(path) as temporary:
    temporary.write_text("half", encoding="utf-8")
    raise RuntimeError
  assert files.read_text(path) == "old"
  assert os.listdir(tmp_path) == ["a.txt"]


def test_a_link_stays_a_link_and_a_device_is_written_directly(tmp_path):
  target, link = tmp_path / "target", tmp_path / "link"
  link.symlink_to(target)
  files.write_text(link, "x")
  assert link.is_symlink() and files.read_text(target) == "x"
  files.write_text("/dev/null", "x")
  assert not os.path.isfile("/dev/null")


def test_line_ends_and_characters_are_kept_under_any_locale(tmp_path):
  code = (
    "import sys; from jaxmem import files\n"
    "files.write_text(sys.argv[1], 'e\\u0301\\r\\n\\u4f60'); "
    "print(ascii(files.read_text(sys.argv[1])))"
  )
  environment = os.environ | {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
  }
  command = [sys.executable, "-c", code, str(tmp_path / "a")]
  subprocess.run(command, env=environment, check=True, capture_output=True)
  assert (tmp_path / "a").read_bytes() == "e\u0301\r\n\u4f60".encode()


def test_json_nested_too_deeply_is_a_value_error(tmp_path):
  path = tmp_path / "a.json"
  path.write_text("[" * 100_000, encoding="utf-8")
  with pytest.raises(ValueError):
    files.read_json(path)
