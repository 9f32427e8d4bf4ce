"""Text of any length through the carried memory, at constant memory."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import RunError
from jaxmem.data import sources
from jaxmem.tasks.language_modeling import bits_per_byte, reader, stream
from jaxmem.tokenizers import ByteTokenizer
from jaxmem.training.load import load_model
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
  """A model whose cost of a token is how many its document had before it, in bits."""

  def losses(tokens, targets, state, reset):
    nats = np.zeros(tokens.shape, np.float32)
    for t in range(tokens.shape[1]):
      state = np.where(reset[:, t], 0, state)
      nats[:, t] = state * np.log(2)
      state = state + 1
    return nats, state

  return losses, init


def _last(*args, **options):
  *_, last = stream.Reading(*args, **options)
  return last


def _corpus(directory, sizes):
  directory.mkdir()
  for i, size in enumerate(sizes):
    (directory / f"{i:03}").write_bytes(bytes(97 + j % 7 for j in range(size)))
  return sources.find(str(directory))


@pytest.mark.parametrize(("rows", "length"), [(1, 64), (3, 50), (8, 7)])
def test_every_token_is_read_once_from_its_documents_beginning(tmp_path, rows, length):
  sizes = [1, 300, 127, 128, 50, 7, 700]
  losses, init = _count()

  result = _last(
    losses, init, _corpus(tmp_path / "text", sizes), ByteTokenizer(), rows, length
  )

  assert result.num_bytes == sum(sizes) and result.num_documents == len(sizes)
  position = np.concatenate([np.arange(size + 1) for size in sizes])
  assert result.bits["carried"].sum() == pytest.approx(position.sum(), rel=1e-5)
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
  row = reader.Row(source, 0)

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
  losses = lambda tokens, targets, state, reset: (np.full(tokens.shape, np.nan), state)
  documents = _corpus(tmp_path / "text", [5])
  with pytest.raises(RunError, match="not finite"):
    _last(losses, lambda rows: (), documents, ByteTokenizer())


def test_equals_the_report_of_training(run, tmp_path, capsys):
  """Bits per byte of every way of `bits_per_byte`, from any rows."""
  corpus, out = run.parent / "corpus", tmp_path / "out.json"
  flags = ["--rows", "4", "--length", "128", "--out", str(out), "--carry", "all"]
  assert cli.run(["eval", "--workdir", str(run), "--text", str(corpus), *flags]) == 0
  table = capsys.readouterr().out
  numbers = json.loads(out.read_text())

  loaded = load_model(run)
  apply = jax.jit(
    lambda *args: loaded.model.apply({"params": loaded.params}, *args, method="losses")
  )
  documents = [(piece.name, piece.read(), True) for piece in sources.find(str(corpus))]
  scores = bits_per_byte.score(
    apply,
    loaded.model.init_state,
    documents,
    loaded.tokenizer,
    16,  # the run's segment length
    rows=4,
    length=128,
  )
  words = sum(len(text.split()) for text in scores.texts)
  assert numbers["bytes"] == scores.num_bytes and numbers["step"] == 1
  assert numbers["words"] == words and numbers["segment"] == 16
  tokens = sum(b["tokens"] for b in numbers["by_position"])
  for way, bits in scores.bits_per_byte().items():
    assert numbers["bits_per_byte"][way] == pytest.approx(bits, rel=1e-4)
    per_word = bits * scores.num_bytes / words
    assert numbers["bits_per_word"][way] == pytest.approx(per_word, rel=1e-4)
    for key in ("bits_per_byte", "bits_per_word"):
      total = sum(b["tokens"] * b[key][way] for b in numbers["by_position"])
      assert total / tokens == pytest.approx(numbers[key][way], rel=1e-6)
  for over, gain in numbers["gain"].items():
    paired = scores.gain(over)
    error = paired.std() / len(paired) ** 0.5 * len(paired) / scores.num_bytes
    assert gain["error"] == pytest.approx(error, rel=1e-3)
  three = [f"{numbers['bits_per_byte'][way]:.3f}" for way in bits_per_byte.WAYS]
  assert f"| all | {tokens:,} | {' | '.join(three)} |" in table
  assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_ways_alone_and_together_have_the_same_bits(run, tmp_path):
  """Carried costs the same, to the bit, whatever else is read beside it."""
  text = tmp_path / "text"
  text.write_bytes(b"memory state reset lane token forget\n" * 9)
  found = {}
  for carry in ("on", "off", "reread", "all"):
    out = tmp_path / f"{carry}.json"
    flags = ["--length", "128", "--out", str(out), "--carry", carry]
    assert cli.run(["eval", "--workdir", str(run), "--text", str(text), *flags]) == 0
    found[carry] = json.loads(out.read_text())["bits_per_byte"]

  alone = found["on"] | found["off"] | found["reread"]
  assert found["all"] == alone and len(set(alone.values())) == 3


@pytest.mark.full
def test_peak_memory_does_not_grow_with_the_text(run, tmp_path):
  """Ten times the text, 2 MB, in the memory of 200 kB."""
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
    assert f"{size:,} bytes of 1 documents" in out
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
