"""Text of any length through the carried memory, at constant memory."""

import json
import subprocess
import sys

import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import RunError
from jaxmem.data import sources
from jaxmem.tasks.language_modeling import reader
from jaxmem.tasks.language_modeling.perplexity import WAYS, TextScorer
from jaxmem.tokenizers import ByteTokenizer
from jaxmem.training.config import DataConfig, ValidationConfig
from jaxmem.training.trainer import train
from support import runs

MEMORY = """
import resource, sys
from jaxmem import cli
code = cli.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A tiny run at its first step, beside its corpus."""
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"), model=runs.SMALL)


def _count(init=lambda rows: np.zeros((rows,), np.int64)):
  """Returns a model whose cost of a token, in bits, is its position."""

  def losses(tokens, targets, state, reset):
    nats = np.zeros(tokens.shape, np.float32)
    for t in range(tokens.shape[1]):
      state = np.where(reset[:, t], 0, state)
      nats[:, t] = state * np.log(2)
      state = state + 1
    return nats, state

  return losses, init


def _last(*args, **options):
  *_, last = TextScorer(*args, **options)
  return last


def _corpus(directory, sizes):
  directory.mkdir()
  for i, size in enumerate(sizes):
    (directory / f"{i:03}").write_bytes(bytes(97 + j % 7 for j in range(size)))
  return sources.find(str(directory))


@pytest.mark.parametrize(("rows", "length"), [(1, 64), (3, 50), (8, 7)])
def test_each_token_is_read_once_from_its_documents_beginning(tmp_path, rows, length):
  sizes = [1, 300, 127, 128, 50, 7, 700]
  losses, init = _count()

  result = _last(
    losses,
    init,
    _corpus(tmp_path / "text", sizes),
    ByteTokenizer(),
    rows=rows,
    length=length,
  )

  assert result.num_bytes == sum(sizes) and result.num_documents == len(sizes)
  position = np.concatenate([np.arange(size + 1) for size in sizes])
  assert result.sums.bits["carried"].sum() == pytest.approx(position.sum(), rel=1e-5)
  for bucket in result.by_position():
    inside = (position >= bucket["from"]) & (position < bucket["to"])
    assert bucket["tokens"] == inside.sum()
    mean = position[inside].mean() * len(position) / sum(sizes)
    assert bucket["bits_per_byte"]["carried"] == pytest.approx(mean, rel=1e-5)
  assert [b["to"] for b in result.by_position()] == [128, 256, 512, 1024]


def test_files_are_read_in_pieces(tmp_path, monkeypatch):
  text = b"a line\n" * 30 + b"x" * 100 + b"\nend"
  (tmp_path / "file").write_bytes(text)
  monkeypatch.setattr(reader, "READ_BYTES", 32)
  source = reader.Reader(sources.find(str(tmp_path)), ByteTokenizer())
  [row] = source.lanes

  ids = []
  while (part := row._next()) is not None:
    ids.append(part)
  _, *ids, end = ids

  parts = [bytes(part.astype(np.uint8)) for part in ids]
  assert b"".join(parts) == text and end.tolist() == [256]
  assert max(map(len, parts)) <= 64
  assert all(part.endswith(b"\n") for part in parts[:6])
  assert source.counts == {"bytes": 314, "words": 62, "tokens": 315, "documents": 1}


def test_cost_that_is_not_finite_stops_the_run(tmp_path):
  def losses(tokens, targets, state, reset):
    return np.full(tokens.shape, np.nan), state

  documents = _corpus(tmp_path / "text", [5])
  with pytest.raises(RunError, match="not finite"):
    _last(losses, lambda rows: (), documents, ByteTokenizer())


def test_held_out_score_report_split_and_text_are_one_number(tmp_path, capsys):
  """They are equal, not close, since all four are one scorer with the same lanes."""
  corpus, heldout = tmp_path / "corpus", tmp_path / "heldout"
  heldout.mkdir()
  words = ["memory", "state", "reset", "lane", "token", "forget"]
  for i in range(20):
    text = "\n".join(words[(i * j) % 6] for j in range(3 + 5 * i))
    (heldout / f"{i}.txt").write_text(text)
  config = runs.config(
    corpus,
    model=runs.SMALL,
    task=DataConfig(
      str(runs.write_corpus(corpus)), str(heldout), segment_length=16, batch_size=8
    ),
    steps=3,
    eval_bytes=2**20,
    sample_bytes=0,
    validation=ValidationConfig(every=3, num_bytes=2**20),
  )
  run = tmp_path / "run"
  assert train(config, run) == 0
  capsys.readouterr()

  report = json.loads((run / "report.json").read_text())
  bits = report["bits_per_byte"]
  assert len({*bits.values()}) == 3
  assert runs.scores(run) == {3: bits["carried"]}

  out = tmp_path / "split.json"
  split = ["eval", "--workdir", str(run), "--split", "heldout", "--out", str(out)]
  assert cli.run(split) == 0
  assert json.loads(out.read_text()) == report
  for name in ("split.md", "gain_by_document.png", "gain_by_segment.png"):
    assert (tmp_path / name).stat().st_size
  assert "| carried |" in capsys.readouterr().out

  assert cli.run([*split, "--split", "train"]) == 0
  numbers = json.loads(out.read_text())
  assert numbers["train_bytes"] == sum(p.stat().st_size for p in corpus.iterdir())
  capsys.readouterr()

  text = ["eval", "--workdir", str(run), "--text", str(heldout)]
  flags = ["--carry", "all", "--out", str(out)]
  assert cli.run([*text, *flags, "--rows", "16", "--length", "512"]) == 0
  table, numbers = capsys.readouterr().out, json.loads(out.read_text())
  assert numbers["bits_per_byte"] == bits
  assert numbers["bytes"] == report["heldout_bytes"] and numbers["segment"] == 16
  assert numbers["words"] == sum(len(p.read_text().split()) for p in heldout.iterdir())
  three = [f"{bits[way]:.3f}" for way in WAYS]
  assert f"| all | {numbers['tokens']:,} | {' | '.join(three)} |" in table
  for key in ("bits_per_byte", "bits_per_word"):
    for way in WAYS:
      total = sum(b["tokens"] * b[key][way] for b in numbers["by_position"])
      assert total / numbers["tokens"] == pytest.approx(numbers[key][way], rel=1e-6)
  assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"

  assert cli.run([*text, *flags]) == 0  # other lanes round otherwise, and no more
  numbers = json.loads(out.read_text())
  assert numbers["bits_per_byte"] == pytest.approx(bits, rel=1e-5)


def test_ways_alone_and_together_have_the_same_bits(run, tmp_path):
  """Each way has the same bits alone and beside other ways."""
  text = tmp_path / "text"
  text.write_bytes(b"memory state reset lane token forget\n" * 9)
  bits = {}
  for carry in ("on", "off", "reread", "all"):
    out = tmp_path / f"{carry}.json"
    flags = ["--length", "128", "--out", str(out), "--carry", carry]
    assert cli.run(["eval", "--workdir", str(run), "--text", str(text), *flags]) == 0
    bits[carry] = json.loads(out.read_text())["bits_per_byte"]

  alone = bits["on"] | bits["off"] | bits["reread"]
  assert bits["all"] == alone and len(set(alone.values())) == 3


@pytest.mark.full
def test_peak_memory_does_not_grow_with_the_text(run, tmp_path):
  """2 MB of text need about the memory of 200 kB."""
  peak, children = {}, {}
  for size in (200_000, 2_000_000):
    text = tmp_path / f"{size}.txt"
    text.write_bytes((b"memory state reset lane token forget\n" * 60_000)[:size])
    flags = ["--text", text, "--rows", "1", "--length", "4096"]
    command = [sys.executable, "-c", MEMORY, "eval", "--workdir", run, *flags]
    children[size] = subprocess.Popen(
      [str(a) for a in command],
      env=runs.environment(),
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
  for size, child in children.items():
    out, err = child.communicate(timeout=280)
    assert child.returncode == 0, err
    assert f"{size:,} bytes of 1 document," in out
    peak[size] = int(out.split()[-1]) * 1024
  assert peak[2_000_000] < 1.1 * peak[200_000] + 20e6


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--workdir", ""], "--workdir is missing"),
    (["--text", ""], "--text is missing"),
    (["--text", "nowhere"], "source 'nowhere' does not exist"),
    (["--rows", "0"], "rows is 0: it must be at least 1"),
    (["--length", "0"], "length is 0"),
    (["--segment", "-1", "--carry", "off"], "segment is -1"),
    (["--segment", "8"], "--segment 8 is for ways that forget"),
    (["--carry", "of"], "of"),
    (
      ["--save-every", "0"],
      "--save-every is 0.0: it must be above 0",
    ),
    (["--out", "numbers.png"], "a name for JSON"),
    (["--out", "no/where.json"], "its directory does not exist"),
    (["--lenght", "3"], "--length"),
    ([], "no checkpoint of a run in"),
  ],
)
def test_mistake_exits_2_with_one_message(capsys, tmp_path, flags, words):
  (tmp_path / "text").write_bytes(b"x")
  argv = ["eval", "--workdir", tmp_path, "--text", tmp_path / "text", *flags]
  try:
    code = cli.run([str(a) for a in argv])
  except SystemExit as stop:
    code = stop.code
  err = capsys.readouterr().err
  assert code == 2 and words in err and "Traceback" not in err
