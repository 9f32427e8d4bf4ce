"""The report of a run as a page: complete, offline, on a phone, in the dark."""

import base64
import html
import re
from html.parser import HTMLParser

import pytest

from docs.tools import offline
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.runtime import markdown, page
from jaxmem.tasks.synthetic.task import SyntheticConfig
from jaxmem.training import report_page
from jaxmem.training.config import Config
from jaxmem.training.trainer import train
from support import browser, runs

VOID = {"meta", "img", "br", "link"}


class _Balanced(HTMLParser):
  """Fails where a tag is closed that is not open."""

  def __init__(self):
    super().__init__()
    self.open, self.pictures, self.words = [], [], []

  def handle_starttag(self, tag, attrs):
    if tag not in VOID:
      self.open.append(tag)
    self.pictures += [dict(attrs)["src"]] if tag == "img" else []

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)


def _parsed(text):
  parser = _Balanced()
  parser.feed(text)
  parser.close()
  assert parser.open == []
  return parser


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("report")
  corpus = runs.write_corpus(folder / "corpus")
  workdir = folder / "a <b> & run"
  assert train(runs.config(corpus, model=runs.SMALL), workdir) == 0
  return workdir


def test_a_page_has_scores_pictures_sample_config_and_commands(run):
  text = (run / report_page.NAME).read_text()
  parsed = _parsed(text)
  words = "".join(parsed.words)
  report = (run / "report.md").read_text()
  names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", report)
  assert {"loss.png", "gain_by_document.png", "gain_by_segment.png"} == set(names)
  pictures = [base64.b64decode(src.split(",")[1]) for src in parsed.pictures]
  assert pictures == [(run / name).read_bytes() for name in names]
  # every number of the report's tables is in a cell of the page
  cells = re.findall(r"^\| (\S+) \| ([\d.]+) \|", report, re.M)
  assert len(cells) >= 3
  for way, bits in cells:
    assert re.search(rf">{re.escape(way)}</td><td>{bits}</td>", text)
  for section in ("Scores", "How to go on", "Config", "Environment"):
    assert f"<h2>{section}</h2>" in text
  assert text.count("<details>") == 1 and '"segment_length": 16' in words
  assert f"jaxmem generate --workdir '{run}'" in words and "jax" in words
  assert "8,384 parameters" in words or re.search(r"[\d,]+ parameters", words)
  assert "after step 12 of 12" in words and "<b>" not in text


def test_a_page_fetches_nothing(run):
  assert offline.fetched(run) == []
  text = (run / report_page.NAME).read_text()
  assert all(src.startswith("data:image/png;base64,") for src in _parsed(text).pictures)
  assert not re.search(r"<(script|link|iframe)|@import|url\(", text)


def test_a_synthetic_run_has_the_same_page(tmp_path):
  task = SyntheticConfig("task:copy:vocab_size=8", segment_length=16, batch_size=8)
  model = LMConfig(0, 16, 32, (entry("gru"),))
  assert train(Config(model, task, steps=2, eval_bytes=64), tmp_path / "run") == 0
  parsed = _parsed((tmp_path / "run" / report_page.NAME).read_text())
  words = "".join(parsed.words)
  assert len(parsed.pictures) == 1 and "answers right" in words
  assert "jaxmem generate" not in words and "jaxmem.load" in words


def test_markdown_of_reports():
  text = "\n".join(
    [
      "Words of two", "lines, 2 * 3 < 7 * 1.", "", "| a | b |", "|---|--:|",
      "| x<y \\| z | 1 |", "", "- one", "- `two | <i>`", "", "    code <kept>",
      "    |  as it is", "", "![a \"picture\"](p.png)", "# Head",
      "[words](to.md) and **bold**",
    ]
  )  # fmt: skip
  out = markdown.to_html(text, lambda alt, name: f"<img alt={alt!r} src={name!r}>")
  _parsed(out)
  assert "<p>Words of two lines, 2 * 3 &lt; 7 * 1.</p>" in out
  assert '<tr><th class="left">a</th><th>b</th></tr>' in out
  assert "x&lt;y | z</td><td>1</td>" in out
  assert "<li>one</li>" in out and "<code>two | &lt;i&gt;</code>" in out
  assert "<pre>code &lt;kept&gt;\n|  as it is</pre>" in out
  assert "src='p.png'" in out and "<h3>Head</h3>" in out
  assert '<a href="to.md">' in out and "<strong>bold</strong>" in out


def test_a_picture_that_is_not_there_is_named(tmp_path):
  assert page.image(tmp_path / "no_such.png") == "<p>no such</p>"


@pytest.mark.needs("browser")
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_in_a_browser(run, dark, tmp_path):
  flags = ["--force-dark-mode"] if dark else []
  seen = browser.measured(run / report_page.NAME, tmp_path, 400, *flags)
  assert len(seen["pixels"]) == 3 and min(seen["pixels"]) > 100_000
  assert seen["window"] == 400 and seen["width"] <= 400
  light = [sum(map(int, re.findall(r"\d+", seen[k])[:3])) for k in ("text", "page")]
  assert light[0] > light[1] + 300 if dark else light[1] > light[0] + 300
  assert html.escape(run.name) in seen["dom"]
