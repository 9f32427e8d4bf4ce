"""Ways of reading a stream, and a reading that is left and continued."""

import json
import signal
import time

import jax
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.data import sources
from jaxmem.models import pattern
from jaxmem.models.lm import LMConfig
from jaxmem.tasks.language_modeling import (
  baseline,
  bits_per_byte,
  long_text,
  progress,
  reader,
)
from jaxmem.tasks.language_modeling.progress import Progress, ProgressError
from jaxmem.tasks.language_modeling.stream import Reading
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
  """A token costs the sum of all since the last reset, and of itself, in bits."""
  nats = np.zeros(tokens.shape, np.float32)
  for t in range(tokens.shape[1]):
    state = np.where(reset[:, t], 0, state) + tokens[:, t] % 7
    nats[:, t] = state * np.log(2)
  return nats, state


def _reading(documents, rows=2, length=50, **options):
  given = dict(ways=bits_per_byte.WAYS, segment=16) | options
  start = lambda rows: np.zeros(rows, np.int64)
  return Reading(_losses, start, documents, ByteTokenizer(), rows, length, **given)


def _sums(reading):
  *_, last = [*reading, reading.result()]
  return json.dumps([last.bits_per_byte(), last.gain(), last.by_position()])


@pytest.mark.parametrize(("rows", "length"), [(1, 7), (3, 64)])
@pytest.mark.parametrize("document_length", [0, 100])
def test_streamed_ways_are_those_of_held_out_scores(
  documents, rows, length, document_length
):
  reading = _reading(documents, rows, length, document_length=document_length)
  *_, last = reading
  scores = bits_per_byte.score(
    _losses,
    lambda rows: np.zeros(rows, np.int64),
    [(d.name, d.read(), True) for d in documents],
    ByteTokenizer(),
    segment=16,
    rows=2,
    length=32,
    document_length=document_length,
  )
  want, ratio = scores.bits_per_byte(), len(scores.position) / scores.num_bytes
  for way, bits in last.bits_per_byte().items():
    assert bits == pytest.approx(want[way], rel=1e-5)
  edges = np.array([0, *(128 << i for i in range(9))])
  for over in ("reset", "re-read"):
    buckets = bits_per_byte.buckets(scores.gain(over), scores.position, edges)
    for i, found in enumerate(last.by_position()):
      assert found["tokens"] == buckets.count[i]
      gain = found["gain"][over]
      assert gain["bits_per_byte"] == pytest.approx(buckets.mean[i] * ratio, rel=1e-4)
      assert gain["error"] == pytest.approx(buckets.error[i] * ratio, rel=1e-4)


def test_words_are_counted_over_the_borders_of_pieces(documents, monkeypatch):
  monkeypatch.setattr(reader, "READ_BYTES", 3)
  *_, last = _reading(documents)
  texts = [d.read() for d in documents]

  assert last.num_words == sum(len(text.split()) for text in texts)
  assert last.num_bytes == sum(SIZES)
  total = sum(last.bits["reset"]) / last.num_words
  assert last.bits_per_word()["reset"] == pytest.approx(total)


@pytest.mark.parametrize("calls", [0, 1, 3, 10, 99])
def test_reading_that_was_left_goes_on_to_the_bit(
  documents, tmp_path, monkeypatch, calls
):
  """After any call, at the end too, with pieces that are cut in other places."""
  monkeypatch.setattr(reader, "READ_BYTES", 20)
  whole = _sums(_reading(documents))
  left = _reading(documents)
  for _ in zip(range(calls), left):  # noqa: B905
    pass
  Progress(tmp_path, {"a": 1}, 60.0).save(left, 1.5, 20.0)

  again = Progress(tmp_path, {"a": 1}, 60.0)
  reading = _reading(documents)
  again.restore(reading, {})

  assert again.seconds == 1.5 and again.peak == 20.0
  assert _sums(reading) == whole


def test_progress_of_another_reading_is_refused(documents, tmp_path):
  Progress(tmp_path, {"--rows": 2, "text": "x"}, 60.0).save(
    _reading(documents), 0.0, 0.0
  )

  with pytest.raises(ProgressError, match="begun with --rows 2, this command has 3"):
    Progress(tmp_path, {"--rows": 3, "text": "x"}, 60.0)
  with pytest.raises(ProgressError, match="begun with weights None, this command has"):
    Progress(tmp_path, {"text": "x"}, 60.0).restore(
      _reading(documents), {"weights": "y"}
    )
  with pytest.raises(ProgressError, match="damaged .it holds other arrays"):
    Progress(tmp_path, {"text": "x"}, 60.0).restore(_reading(documents, rows=1), {})
  path = tmp_path / "reading.npz"
  path.write_bytes(path.read_bytes()[:-50])
  with pytest.raises(ProgressError, match="is no reading that was left, or damaged"):
    Progress(tmp_path, {"text": "x"}, 60.0)


def test_digest_knows_a_changed_byte(documents, tmp_path):
  before = progress.digest(documents)
  assert before == progress.digest(documents) != progress.digest(documents[1:])
  text = tmp_path / "text"
  text.write_bytes(b"a" * 2000)
  first = progress.digest(sources.find(str(text)))
  text.write_bytes(b"a" * 1999 + b"b")
  assert progress.digest(sources.find(str(text))) != first


def test_signal_keeps_the_reading_and_the_same_command_goes_on(tmp_path, capsys):
  """A real SIGINT: 75, then the numbers of a reading that was never stopped."""
  run = runs.first_checkpoint(tmp_path, model=runs.SMALL)
  text, directory = tmp_path / "text", tmp_path / "progress"
  text.write_bytes(b"memory state reset lane token forget\n" * 400)
  out = tmp_path / "numbers.json"
  flags = ["--carry", "all", "--length", "32", "--segment", "24"]
  command = ["eval", "--workdir", run, "--text", text, *flags, "--out", out]
  command = [str(a) for a in command]
  kept = ["--progress", str(directory)]

  child = runs.start(*command, *kept, "--save-every", "0.05")
  while not (directory / "reading.npz").exists():
    assert child.poll() is None, child.communicate()
    time.sleep(0.01)
  child.send_signal(signal.SIGINT)
  stdout, err = child.communicate(timeout=120)
  assert child.returncode == 75 and "stopped by SIGINT after" in stdout, err
  assert "Traceback" not in err and not (directory / "lock.json").exists()
  assert [p.name for p in directory.iterdir()] == ["reading.npz"]

  for other in (["--rows", "2"], ["--carry", "on", "--segment", "0"]):
    assert cli.run([*command, *kept, *other]) == 2
    assert f"was begun with {other[0]}" in capsys.readouterr().err
  same, text_bytes = text.stat().st_size, text.read_bytes()
  text.write_bytes(text_bytes[:-2] + b"!\n")
  assert cli.run([*command, *kept]) == 2 and text.stat().st_size == same
  assert "was begun with text" in capsys.readouterr().err
  text.write_bytes(text_bytes)

  assert cli.run([*command, *kept]) == 0
  assert "continues after" in capsys.readouterr().out
  gone_on = json.loads(out.read_text())
  with jax.default_device(jax.devices()[0]):
    assert cli.run(command) == 0
  whole = json.loads(out.read_text())
  for key in ("bits_per_byte", "bits_per_word", "gain", "by_position", "bytes"):
    assert gone_on[key] == whole[key], key
  assert gone_on["peak_mib"] > 50 and gone_on["tokens_per_second"] > 0


def test_twin_has_attention_everywhere_and_its_line_is_the_sum_of_its_tokens():
  given = pattern.parse("rglru:num_heads=4,window:num_heads=2:window_size=8,lstm")
  found = baseline.of_pattern(given, 16, 64)
  assert pattern.show(found) == ",".join(["attention:capacity=64:num_heads=2"] * 3)
  alone = baseline.of_pattern(pattern.parse("rglru"), 6, 64)
  assert pattern.show(alone) == "attention:capacity=64:num_heads=1"

  made = baseline.Twin(found, (0,), (1.0,), base=2.0, slope=0.5, cache_bytes=3)
  tokens = np.arange(1000)
  assert made.project(1000) == pytest.approx((2 + 0.5 * tokens).sum(), rel=1e-3)


def test_twin_is_timed_and_its_cache_counted(monkeypatch):
  monkeypatch.setattr(baseline, "CONTEXTS", (0, 2))
  monkeypatch.setattr(baseline, "REPEATS", 1)
  config = LMConfig(64, d_model=8, d_ff=16, pattern=pattern.parse("rglru"))

  made = baseline.measure(config, 32)

  assert made.contexts == (16, 80) and min(made.seconds) > 0
  line = [made.base + made.slope * n for n in made.contexts]
  np.testing.assert_allclose(line, made.seconds, rtol=1e-6)
  assert made.cache_bytes == 2 * 8 * 4  # a key and a value of d_model float32
  numbers = long_text.of_twin(made._replace(base=1e-3, slope=1e-6), 1000, 0.5)
  assert numbers["seconds"] == pytest.approx(1.5)
  first, second = long_text.twin_lines(numbers)
  assert "fitted 1,000.0 + 1.00000 n" in first and " behind 80" in first
  assert "3.0 times as long as this reading" in second
