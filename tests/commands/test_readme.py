"""The README's examples and commands run, and its tree is that of the package."""

import re
from pathlib import Path

import pytest

from jaxmem.evaluation import layer_table
from support import layout, runs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh.md").read_text()


def _blocks(language):
  return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", _blocks("python"), ids=lambda c: c.splitlines()[0])
def test_readme_example_runs(code, tmp_path, monkeypatch):
  """The examples run in a directory that has a tiny run as its quickstart."""
  if "runs/quickstart" in code:
    (tmp_path / "runs").mkdir()
    run = runs.first_checkpoint(tmp_path, model=runs.SMALL)
    run.rename(tmp_path / "runs" / "quickstart")
  monkeypatch.chdir(tmp_path)
  exec(compile(code, "README.md", "exec"), {})


def test_readme_commands_are_run_by_ci():
  """Each command is in .ci/run or in a test, word for word up to its flags."""
  run = [(ROOT / ".ci" / "run").read_text()]
  run += [path.read_text() for path in (ROOT / "tests").glob("test_*.py")]
  text = "\n".join(run).replace('", "', " ")
  commands = [c for b in _blocks("console") for c in b.splitlines() if c[:2] == "$ "]
  assert len(commands) >= 3
  for command in commands:
    for part in command[2:].split(" && "):
      assert part in text or " ".join(part.split()[:2]) in text, command


def test_readme_table_of_layers_is_current():
  assert layer_table.summary().rstrip() in README


def test_layout_page_is_current():
  assert layout.PAGE.read_text() == layout.page()


def test_layout_names_every_package():
  packages = {path.parent.name for path in (ROOT / "jaxmem").glob("*/__init__.py")}
  assert packages == set(layout.ORDER)


def test_readme_is_short_and_in_the_usual_order():
  assert len(README.splitlines()) <= 140
  assert re.findall(r"^## (.*)$", README, flags=re.MULTILINE) == [
    "Why",
    "Install",
    "Fifteen lines",
    "Features",
    "Layers",
    "Train, evaluate, generate",
    "Results",
    "Layout",
    "Contributing",
    "Citation",
    "Licence",
  ]
  (results,) = re.findall(r"## Results\n(.*?)\n## ", README, flags=re.DOTALL)
  rows = [line for line in results.splitlines() if line.startswith("| ")][2:]
  assert 1 <= len(rows) <= 10
  assert all(re.match(r"\| \[[^]]+\]\(results/[\w./]+\)", row) for row in rows)


def test_readme_links_resolve():
  for text in (README, CHINESE):
    for target in re.findall(r"\]\(([^)#]+)\)", text):
      if not target.startswith("http"):
        assert (ROOT / target).is_file(), target


def skeleton(text):
  """What a translation keeps: levels of headings, code, links, columns of tables."""
  return {
    "headings": [len(h) for h in re.findall(r"^(#+) ", text, flags=re.MULTILINE)],
    "code": re.findall(r"```(?:python|console)\n.*?```", text, flags=re.DOTALL),
    "links": sorted(
      t
      for t in re.findall(r"\]\(([^)]+)\)", text)
      if t not in ("README.md", "README.zh.md")
    ),
    "items": len(re.findall(r"^- ", text, flags=re.MULTILINE)),
    "rows": [line.count(" | ") for line in text.splitlines() if line.startswith("| ")],
    "numbers": sorted(re.findall(r"\d+\.\d+", text)),
  }


def test_the_chinese_readme_has_the_same_structure():
  english, chinese = skeleton(README), skeleton(CHINESE)
  for part, value in english.items():
    assert chinese[part] == value, part
  assert len(re.findall("[\u4e00-\u9fff]", CHINESE)) > 1000  # it is in Chinese


def test_readme_pictures_exist():
  for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
    assert (ROOT / name).is_file(), name
