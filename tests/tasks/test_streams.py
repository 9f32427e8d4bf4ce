"""Ways of reading a stream, and readings that are stopped and continued."""

import json
import signal
import time

import jax
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.data import file_slice, sources
from jaxmem.evaluation.long_text import full_attention, score
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.runtime.resumable import ResumeError, Snapshot
from jaxmem.tasks.language_modeling import reader
from jaxmem.tasks.language_modeling.perplexity import WAYS, TextScorer
from jaxmem.tokenizers import ByteTokenizer
from support import runs

SIZES = [1, 300, 127, 128, 50, 16, 700]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
  directory = tmp_path_factory.mktemp("text")
  draw = np.random.default_rng(0)
  for i, size in enumerate(SIZES):
    (directory / f"{i}").write_bytes(bytes(draw.choice(list(b"abc \n"), size).tolist()))
  return sources.find(str(directory))


def _losses(tokens, targets, state, reset):
  """A token costs the sum of the ids since the last reset, up to its own, in bits."""
  nats = np.zeros(tokens.shape, np.float32)
  for t in range(tokens.shape[1]):
    state = np.where(reset[:, t], 0, state) + tokens[:, t] % 7
    nats[:, t] = state * np.log(2)
  return nats, state


def _scorer(documents, rows=2, length=50, **options):
  options = dict(ways=WAYS, segment=16) | options
  return TextScorer(
    _losses,
    lambda rows: np.zeros(rows, np.int64),
    documents,
    ByteTokenizer(),
    rows=rows,
    length=length,
    **options,
  )


def _snapshot(directory, identity):
  path = directory / "reading.npz"
  return Snapshot(path, identity, every=60.0, flag="--progress")


def _sums(scorer):
  *_, last = [*scorer, scorer.result()]
  return json.dumps([last.bits_per_byte(), last.gain(), last.by_position()])


def _costs(document, way, cut):
  """Returns positions and bits of a document's tokens by the definition of a way."""
  ids = np.array([256, *document.read()])
  at = np.arange(len(ids))
  position = at % cut if cut else at
  costs = []
  for i, p in zip(at, position, strict=True):
    num_read = {"carried": p, "reset": p % 16}.get(way, p % 16 + 16)
    costs.append((ids[i - min(num_read, p) : i + 1] % 7).sum())
  return position, np.array(costs)


@pytest.mark.parametrize(("rows", "length"), [(1, 7), (3, 64)])
@pytest.mark.parametrize("document_length", [0, 100])
def test_streamed_ways_are_their_definitions(documents, rows, length, document_length):
  scorer = _scorer(documents, rows, length, document_length=document_length)
  *_, last = scorer
  costs, position = {}, None
  for way in WAYS:
    pairs = [_costs(document, way, document_length) for document in documents]
    position, costs[way] = map(np.concatenate, zip(*pairs, strict=True))
  ratio = len(position) / sum(SIZES)
  for way, bits in last.bits_per_byte().items():
    assert bits == pytest.approx(costs[way].sum() / sum(SIZES), rel=1e-5)
  for bucket in last.by_position():
    inside = (position >= bucket["from"]) & (position < bucket["to"])
    assert bucket["tokens"] == inside.sum()
    for way in WAYS[1:]:
      extra, gain = (costs[way] - costs["carried"])[inside], bucket["gain"][way]
      error = extra.std() / inside.sum() ** 0.5
      assert gain["bits_per_byte"] == pytest.approx(extra.mean() * ratio, rel=1e-4)
      assert gain["error"] == pytest.approx(error * ratio, rel=1e-4)


def test_words_are_counted_across_the_borders_of_pieces(documents, monkeypatch):
  monkeypatch.setattr(reader, "READ_BYTES", 3)
  *_, last = _scorer(documents)
  texts = [d.read() for d in documents]

  assert last.num_words == sum(len(text.split()) for text in texts)
  assert last.num_bytes == sum(SIZES)
  total = sum(last.sums.bits["reset"]) / last.num_words
  assert last.bits_per_word()["reset"] == pytest.approx(total)


@pytest.mark.parametrize("calls", [0, 1, 3, 10, 99])
def test_reading_that_was_stopped_continues_to_the_bit(
  documents, tmp_path, monkeypatch, calls
):
  """A reading may stop after any call, the last included, and inside lines."""
  monkeypatch.setattr(reader, "READ_BYTES", 20)
  uninterrupted = _sums(_scorer(documents))
  stopped = _scorer(documents)
  for _ in zip(range(calls), stopped):  # noqa: B905
    pass
  score.save(stopped, _snapshot(tmp_path, {"a": 1}), 1.5, 20.0)

  snapshot = _snapshot(tmp_path, {"a": 1})
  scorer = _scorer(documents)
  score.restore(scorer, snapshot)

  assert snapshot.numbers["seconds"] == 1.5 and snapshot.numbers["peak"] == 20.0
  assert _sums(scorer) == uninterrupted


def test_reading_that_an_older_version_left_continues(documents, tmp_path):
  """Before 0.2 the cursors had another name for the bytes that were encoded."""
  uninterrupted = _sums(_scorer(documents, rows=1))
  stopped = _scorer(documents, rows=1)
  for _ in zip(range(3), stopped):  # noqa: B905
    pass
  numbers, arrays = stopped.state()
  [cursor] = numbers["rows"]
  numbers["rows"] = [{("given" if k == "encoded" else k): v for k, v in cursor.items()}]
  saved = {"numbers": numbers, "seconds": 1.0, "peak": 2.0}
  _snapshot(tmp_path, {}).save(saved, arrays)

  scorer = _scorer(documents, rows=1)
  score.restore(scorer, _snapshot(tmp_path, {}))

  assert _sums(scorer) == uninterrupted


def test_snapshot_of_another_reading_is_refused(documents, tmp_path):
  score.save(
    _scorer(documents), _snapshot(tmp_path, {"--rows": 2, "text": "x"}), 0.0, 0.0
  )

  with pytest.raises(ResumeError, match="begun with --rows 2, this command has 3"):
    _snapshot(tmp_path, {"--rows": 3, "text": "x"})
  with pytest.raises(ResumeError, match="begun with weights None, this command has"):
    _snapshot(tmp_path, {"text": "x"}).agree({"weights": "y"})
  with pytest.raises(ResumeError, match="damaged .it holds other arrays"):
    score.restore(_scorer(documents, rows=1), _snapshot(tmp_path, {"text": "x"}))
  path = tmp_path / "reading.npz"
  path.write_bytes(path.read_bytes()[:-50])
  with pytest.raises(ResumeError, match="is no work that was stopped, or damaged"):
    _snapshot(tmp_path, {"text": "x"})


def test_digest_knows_a_changed_byte(documents, tmp_path):
  digest = file_slice.digest(documents)
  assert digest == file_slice.digest(documents) != file_slice.digest(documents[1:])
  text = tmp_path / "text"
  text.write_bytes(b"a" * 2000)
  first = file_slice.digest(sources.find(str(text)))
  text.write_bytes(b"a" * 1999 + b"b")
  assert file_slice.digest(sources.find(str(text))) != first


def test_signal_keeps_the_reading_and_the_same_command_continues(tmp_path, capsys):
  """A real SIGINT exits 75; continued, the numbers are those without a stop."""
  run = runs.first_checkpoint(tmp_path, model=runs.SMALL)
  text, directory = tmp_path / "text", tmp_path / "progress"
  text.write_bytes(b"memory state reset lane token forget\n" * 400)
  out = tmp_path / "numbers.json"
  flags = ["--carry", "all", "--length", "32", "--segment", "24"]
  command = ["eval", "--workdir", run, "--text", text, *flags, "--out", out]
  command = [str(a) for a in command]
  progress = ["--progress", str(directory)]

  child = runs.start(*command, *progress, "--save-every", "0.05")
  while not (directory / "reading.npz").exists():
    assert child.poll() is None, child.communicate()
    time.sleep(0.01)
  child.send_signal(signal.SIGINT)
  stdout, err = child.communicate(timeout=120)
  assert child.returncode == 75 and "stopped by SIGINT after" in stdout, err
  assert "Traceback" not in err and not (directory / "lock.json").exists()
  assert [p.name for p in directory.iterdir()] == ["reading.npz"]

  for changed in (["--rows", "2"], ["--carry", "on", "--segment", "0"]):
    assert cli.run([*command, *progress, *changed]) == 2
    assert f"was begun with {changed[0]}" in capsys.readouterr().err
  same, text_bytes = text.stat().st_size, text.read_bytes()
  text.write_bytes(text_bytes[:-2] + b"!\n")
  assert cli.run([*command, *progress]) == 2 and text.stat().st_size == same
  assert "was begun with text" in capsys.readouterr().err
  text.write_bytes(text_bytes)

  assert cli.run([*command, *progress]) == 0
  assert "continues after" in capsys.readouterr().out
  continued = json.loads(out.read_text())
  with jax.default_device(jax.devices()[0]):
    assert cli.run(command) == 0
  uninterrupted = json.loads(out.read_text())
  for key in ("bits_per_byte", "bits_per_word", "gain", "by_position", "bytes"):
    assert continued[key] == uninterrupted[key], key
  assert continued["peak_mib"] > 50 and continued["tokens_per_second"] > 0


def test_baseline_has_attention_everywhere_and_its_line_is_the_sum_of_its_tokens():
  memories = pattern.parse("rglru:num_heads=4,window:num_heads=2:window_size=8,lstm")
  baseline = full_attention.of_pattern(memories, 16, 64)
  assert pattern.show(baseline) == ",".join(["attention:capacity=64:num_heads=2"] * 3)
  alone = full_attention.of_pattern(pattern.parse("rglru"), 6, 64)
  assert pattern.show(alone) == "attention:capacity=64:num_heads=1"

  measured = full_attention.FullAttention(
    baseline, (0,), (1.0,), base=2.0, slope=0.5, cache_bytes=3
  )
  tokens = np.arange(1000)
  assert measured.project(1000) == pytest.approx((2 + 0.5 * tokens).sum(), rel=1e-3)


def test_baseline_is_timed_and_its_cache_counted(monkeypatch):
  monkeypatch.setattr(full_attention, "CONTEXTS", (0, 2))
  monkeypatch.setattr(full_attention, "REPEATS", 1)
  config = LMConfig(64, d_model=8, d_ff=16, pattern=pattern.parse("rglru"))

  measured = full_attention.measure(config, 32)

  assert measured.contexts == (16, 80) and min(measured.seconds) > 0
  line = [measured.base + measured.slope * n for n in measured.contexts]
  np.testing.assert_allclose(line, measured.seconds, rtol=1e-6)
  assert measured.cache_bytes == 2 * 8 * 4  # a key and a value of d_model float32
  numbers = full_attention.numbers(measured._replace(base=1e-3, slope=1e-6), 1000, 0.5)
  assert numbers["seconds"] == pytest.approx(1.5)
  first, second = full_attention.lines(numbers)
  assert "fitted 1,000.0 + 1.00000 n" in first and " after 80" in first
  assert "3.0 times as long as this reading" in second
