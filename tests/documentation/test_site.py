"""The documentation site: its snippets run, its tables are made, its links resolve."""

import json
import os
import re
from pathlib import Path

import jax
import pytest

from docs.tools import decay, figures, offline, pages, tables
from guard import observed
from jaxmem import configs, load, mixers, ops, tasks
from jaxmem.core import kinds
from jaxmem.evaluation import layer_table
from support import pretrained_folders, runs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Pages that stand in docs/, by their path in the site.
WRITTEN = {str(p.relative_to(DOCS)): p.read_text() for p in sorted(DOCS.rglob("*.md"))}
GENERATED = {k: v for k, v in pages.generated().items() if isinstance(v, str)}
PAGES = WRITTEN | {k: v for k, v in GENERATED.items() if not k.startswith("results/")}
# Older pages, with tables that were written by hand.
BY_HAND = ("design-notes.md",)


def blocks(text: str, language: str) -> list[str]:
  """The fenced blocks of a language, in order."""
  return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


WITH_CODE = [page for page, text in PAGES.items() if blocks(text, "python")]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Path:
  """A run in the place of the quickstart's; it has not trained."""
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"), model=runs.SMALL)


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_snippets_of_a_page_run_one_after_the_other(
  page, quickstart, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(kinds, "_PLUGINS", {})
  monkeypatch.setattr(kinds, "_LOADED", [])
  code = blocks(PAGES[page], "python")
  Path("runs").mkdir()
  if any("runs/quickstart" in block for block in code):
    os.symlink(quickstart, "runs/quickstart")
  if any("runs/dialogue" in block for block in code):
    observed.unpacked("dialogue", tmp_path).rename(tmp_path / "runs" / "dialogue")
  if any("models/llama" in block for block in code):
    pretrained_folders.write(Path("models/llama"))
  names: dict = {}
  # the snippets are the user's: JAX's own rules of promotion
  with jax.numpy_dtype_promotion("standard"):
    for number, block in enumerate(code, 1):
      exec(compile(block, f"{page}, snippet {number}", "exec"), names)


def test_every_fenced_block_has_a_language_that_is_checked():
  """`python` runs, `console` is a command; `py` is source text that is quoted."""
  known = {"python", "console", "text", "json", "csv", "py"}
  for page, text in PAGES.items():
    opened = re.findall(r"^```(\w*)", text, flags=re.M)[::2]
    assert set(opened) <= known, page
    if page in WRITTEN:
      assert "py" not in opened, page


# A page of a task -> the run of `tests.guard` that is of this task.
ANSWERING = {
  "autoencoding": "compression",
  "classification": "labels",
  "dialogue": "dialogue",
  "forecasting": "series",
  "masked_lm": "masked",
  "question_answering": "spans",
  "retrieval": "passages",
  "seq2seq": "pairs",
}


@pytest.mark.parametrize("page, run", ANSWERING.items())
def test_a_run_answers_the_records_of_its_page_in_their_form(page, run, tmp_path):
  model = load(observed.unpacked(run, tmp_path))
  examples = [json.loads(b) for b in blocks(WRITTEN[f"tasks/{page}.md"], "json")]
  records, answers = examples[::2], examples[1::2]
  assert len(records) == len(answers) > 0
  for answer, shown in zip(model.predict(records), answers, strict=True):
    assert answer.keys() == shown.keys()


def test_every_task_that_answers_has_records_on_its_page():
  answering = {n for n in tasks.names() if hasattr(tasks.get(n), "Predictor")}
  assert answering == set(ANSWERING)


def test_every_command_of_the_pages_exists():
  commands = {p.stem for p in (ROOT / "jaxmem" / "commands").glob("*.py")}
  found = 0
  for page, text in WRITTEN.items():
    for line in "\n".join(blocks(text, "console")).splitlines():
      for command in re.findall(r"(?:^\$|\|) jaxmem (\w+)", line):
        found += 1
        assert command in commands, f"{page}: {line}"
      for config in re.findall(r"jaxmem train (\S+)", line):
        assert "/" in config or config in configs.names(), f"{page}: {line}"
  assert found > 10


def test_every_table_of_a_written_page_is_generated():
  for page, text in WRITTEN.items():
    if page not in BY_HAND:
      assert not re.search(r"^\|.*\|$", text, flags=re.M), page
    assert "<!-- table:" not in tables.filled(text), page


def test_every_relative_link_resolves():
  places = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*") if p.is_file()}
  places |= set(pages.generated())
  for page, text in (WRITTEN | GENERATED).items():
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", tables.filled(text), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
      path = target.partition("#")[0]
      if path and not re.match(r"\w+:", target):
        place = os.path.normpath(os.path.join(os.path.dirname(page), path))
        assert place in places, f"{page} links to {target}"


def test_every_layer_op_and_task_has_its_page():
  for name in mixers.names():
    assert f"layers/{name}.md" in GENERATED
  for name in ops.names():
    assert f"api/ops/{name}.md" in GENERATED
  for name in tasks.names():
    assert f"tasks/{name}.md" in WRITTEN


def test_a_layer_page_has_the_numbers_of_the_table_of_memories():
  for row in layer_table.rows():
    page = GENERATED[f"layers/{row['memory']}.md"]
    for key in ("parity", "laws", "forms", "cost a token", "state at d_model 1024"):
      assert f"| {row[key]} |" in page.replace("\\|", "|"), (row["memory"], key)


def test_a_part_of_the_navigation_that_is_completed_begins_with_its_index():
  """The folder of the generated pages is that of the first entry."""
  lines = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].splitlines()
  marks = [i for i, line in enumerate(lines) if line.strip() == f"- {pages.MARK}"]
  assert marks
  for mark in marks:
    depth = lines[mark].index("-")
    heading = max(i for i in range(mark) if lines[i].index("-") < depth)
    assert lines[heading + 1].strip().endswith("index.md"), lines[heading]


def test_the_navigation_names_every_page_once():
  lines = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2].splitlines()
  named = re.findall(r"[\w/-]+\.md", "\n".join(lines))
  folders = {"layers", "tasks", "results", "api"}  # completed by pages.completed
  for page in PAGES:
    if page.partition("/")[0] not in folders or page.endswith("/index.md"):
      assert page in named or page == "api/ops/index.md", page
  places = [{"Here": "index.md"}, {"To come": "concepts/no-such-page.md"}]
  assert pages.completed(places) == places[:1]


def test_every_layer_that_fades_has_its_curve():
  assert set(decay.read()) == set(decay.names())
  assert decay.read()["gru"] == pytest.approx(decay.curve("gru"), abs=1e-3)


def test_every_figure_of_the_script_is_kept_and_shown(tmp_path):
  for name in figures.FIGURES:
    assert (figures.FOLDER / f"{name}.png").is_file()
    assert f"](from-rnn/{name}.png)" in WRITTEN["from-rnn.md"]
  figures.draw("masks", tmp_path / "masks.png")
  assert (tmp_path / "masks.png").stat().st_size > 5000


def test_what_a_page_fetches_from_elsewhere_is_found(tmp_path):
  (tmp_path / "index.html").write_text(
    '<a href="https://arxiv.org">read</a><script src="https://x.org/a.js"></script>'
    '<link rel="stylesheet" href="//x.org/b.css"><img src="c.png">'
  )
  (tmp_path / "own.css").write_text("@import url(https://x.org/font.css);")
  assert [line.split()[-1] for line in offline.fetched(tmp_path)] == [
    "https://x.org/a.js",
    "//x.org/b.css",
    "https://x.org/font.css",
  ]
