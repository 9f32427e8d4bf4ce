"""No command overwrites what it reads, and files are written whole or not at all."""

import os

import pytest

from jaxmem import cli
from jaxmem.core import outputs, paths
from jaxmem.core.errors import UserError
from support import runs


@pytest.fixture
def file(tmp_path):
  path = tmp_path / "in.jsonl"
  path.write_text('{"text": "a"}\n', encoding="utf-8")
  return path


def _symlink(path):
  link = path.with_name("link.jsonl")
  link.symlink_to(path)
  return link


def _hard(path):
  link = path.with_name("hard.jsonl")
  os.link(path, link)
  return link


_NAMES = {
  "itself": lambda path: path,
  "a detour": lambda path: path.parent / ".." / path.parent.name / path.name,
  "a symbolic link": _symlink,
  "a hard link": _hard,
}


@pytest.mark.parametrize("name", _NAMES)
def test_an_output_that_is_the_input_is_refused(file, name):
  out = _NAMES[name](file)
  with pytest.raises(UserError, match="would overwrite --input"):
    outputs.refuse_overwrite(out, {"--input": str(file)})


@pytest.mark.parametrize(
  "source",
  ["{}#text", "mix:0.7*{},0.3*stdlib", "a={},b=other.jsonl", "other.jsonl,{}", "DIR",
   "DIR/*.jsonl"],
)  # fmt: skip
def test_files_are_found_in_every_form_of_a_source(file, source):
  source = source.format(file).replace("DIR", str(file.parent))
  with pytest.raises(UserError, match="would overwrite --text"):
    outputs.refuse_overwrite(_hard(file), {"--text": source})


def test_other_outputs_are_accepted_and_directories_checked(file, tmp_path):
  outputs.refuse_overwrite(tmp_path / "new.json", {"--input": file})
  outputs.refuse_overwrite("-", {"--input": file})
  outputs.refuse_overwrite(os.devnull, {"--input": file})
  with pytest.raises(UserError, match="is a directory"):
    outputs.refuse_overwrite(tmp_path, {})
  with pytest.raises(UserError, match="its directory does not exist"):
    outputs.refuse_overwrite(tmp_path / "none" / "x", {})


@pytest.mark.parametrize("name", ["config.json", "checkpoints/3/state", "labels.json"])
def test_the_files_of_a_run_are_refused_as_outputs(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.touch()
  with pytest.raises(UserError, match="would overwrite --workdir"):
    outputs.refuse_overwrite(path, {"--workdir": tmp_path})
  (tmp_path / "test.json").touch()
  outputs.refuse_overwrite(tmp_path / "test.json", {"--workdir": tmp_path})


def test_a_directory_is_new_or_empty_or_of_the_same_command(file, tmp_path):
  (tmp_path / "empty").mkdir()
  for name in ("new", "empty"):
    outputs.refuse_other_content(tmp_path / name, "index.json")
  with pytest.raises(UserError, match="holds 'empty' and no index.json"):
    outputs.refuse_other_content(tmp_path, "index.json")
  (tmp_path / "index.json").touch()
  outputs.refuse_other_content(tmp_path, "index.json")
  with pytest.raises(UserError, match="is a file"):
    outputs.refuse_other_content(file, "index.json")


def test_a_directory_that_cannot_be_made_is_named(file, tmp_path):
  for directory in (file, file / "below"):
    with pytest.raises(UserError, match="cannot make --out"):
      outputs.make_directory(directory)
  assert outputs.make_directory(tmp_path / "a" / "b").is_dir()


def test_a_file_is_written_whole_or_not_at_all(file):
  before = file.read_bytes()
  with pytest.raises(ZeroDivisionError), outputs.writing(file) as out:
    out.write(b"half")
    raise ZeroDivisionError
  assert file.read_bytes() == before and len(list(file.parent.iterdir())) == 1
  link = _symlink(file)
  with outputs.writing(link) as out:
    out.write(b"whole")
  assert file.read_bytes() == b"whole" and link.is_symlink()


def test_a_run_does_not_write_into_its_source(file, tmp_path):
  with pytest.raises(UserError, match="would be read as data"):
    outputs.refuse_workdir(tmp_path / "run", {"--task.source": str(tmp_path)})
  with pytest.raises(UserError, match="would be read as data"):
    outputs.refuse_workdir(tmp_path, {"--task.source": f"mix:1*{tmp_path}"})
  (tmp_path / "config.json").touch()
  with pytest.raises(UserError, match="would overwrite --task.source"):
    outputs.refuse_workdir(tmp_path, {"--task.source": str(tmp_path / "config.json")})
  outputs.refuse_workdir(tmp_path, {"--task.source": str(file)})
  with pytest.raises(UserError, match="is not UTF-8"):
    outputs.refuse_workdir(tmp_path / os.fsdecode(b"\xff"), {})


def test_paths_in_sources_become_absolute(file, monkeypatch):
  monkeypatch.chdir(file.parent)
  (file.parent / "byte").touch()
  for source, expected in {
    "in.jsonl": "{}/in.jsonl",
    "in.jsonl#body": "{}/in.jsonl#body",
    "a=in.jsonl,b=tfds:x": "a={}/in.jsonl,b=tfds:x",
    "mix:0.7*stdlib,0.3*in.jsonl": "mix:0.7*stdlib,0.3*{}/in.jsonl",
    "*.jsonl": "{}/*.jsonl",
    "task:mqar": "task:mqar",
    "words:300": "words:300",
    "byte": "byte",
    "none.jsonl": "none.jsonl",
    "": "",
  }.items():
    assert paths.absolute(source) == expected.format(file.parent)


def test_commands_refuse_before_they_open_anything(file, tmp_path, capsys):
  run, same = str(tmp_path / "run"), str(_hard(file))
  text = ["--text", str(file), "--out"]
  (tmp_path / "pieces.model").write_bytes(b"pieces")
  pieces = str(tmp_path / "pieces.model")
  (tmp_path / "index.json").hardlink_to(file)
  (tmp_path / "numbers.json").hardlink_to(file)
  (tmp_path / "results.json").hardlink_to(file)
  for command in (
    ["predict", "--workdir", run, "--input", str(file), "--out", same],
    ["eval", "--workdir", run, *text, same],
    ["generate", "--workdir", run, "--prompt-file", str(file), "--save-state", same],
    ["tokenizer", "encode", "byte", str(file), "--out", same],
    ["tokenizer", "encode", pieces, str(file), "--out", pieces],
    ["tokenizer", "train", pieces, "--out", pieces],
    ["index", "build", "--input", str(file), "--encoder", "minilm", "--out",
     str(tmp_path)],
    ["inspect", "--workdir", run, *text, str(tmp_path)],
    ["probe", "--workdir", run, "--qa", str(file), "--out", str(tmp_path)],
    ["draw", "window", "--out", str(tmp_path)],
    ["draw", "window", "--out", str(tmp_path / "none" / "x.png")],
  ):  # fmt: skip
    before = file.read_bytes()
    assert cli.run(command) == 2, command
    err = capsys.readouterr().err
    assert "overwrite" in err or "director" in err, command
    assert file.read_bytes() == before


def test_a_run_in_its_source_folder_is_refused(tmp_path, capsys):
  corpus = runs.write_corpus(tmp_path / "corpus")
  path = runs.write_config(
    tmp_path / "c.py", f"config = config({str(corpus)!r}, model=SMALL)\n"
  )
  assert cli.run(["train", str(path), "--workdir", str(corpus / "run")]) == 2
  assert "would be read as data" in capsys.readouterr().err
  assert not (corpus / "run").exists()
