"""Text longer than a memory's capacity is refused on the host, before it is read."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.data import sources
from jaxmem.generation.generate import Writer
from jaxmem.generation.session import first_session
from jaxmem.models import capacity
from jaxmem.models.capacity import CapacityError, Limit
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry, parse
from jaxmem.tasks.language_modeling import perplexity
from jaxmem.tasks.language_modeling.perplexity import TextScorer
from jaxmem.tokenizers import ByteTokenizer
from jaxmem.training.load import load_model
from support import runs

CAPACITY = 48


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Returns a directory with a run on cut documents, its corpus and its config."""
  root = tmp_path_factory.mktemp("capacity")
  corpus = runs.write_corpus(root / "corpus")
  model = (
    "LMConfig(vocab_size=0, d_model=16, d_ff=32, "
    f"pattern=(entry('attention', capacity={CAPACITY}, block_size=8),))"
  )
  text = f"config = config({str(corpus)!r}, steps=4, model={model})\n"
  path = runs.write_config(root / "tiny.py", text)
  flags = ["--workdir", root / "run", "--task.document-length", CAPACITY]
  flags += ["--validation.every", 2, "--validation.num-bytes", 300]
  assert cli.run([str(a) for a in ["train", path, *flags]]) == 0
  return root


def _fails(capfd, *argv):
  assert cli.run([str(a) for a in argv]) == 2
  return capfd.readouterr().err


def test_limit_is_the_smallest_of_a_pattern():
  def limit_of(text):
    return capacity.limit(parse(text))

  assert limit_of("rglru,window") is None
  assert limit_of("attention") == Limit("attention", 2048)
  assert limit_of("rglru,attention:capacity=9,attention:capacity=8") == Limit(
    "attention", 8
  )
  assert limit_of("forgetting_attention:capacity=7,attention").tokens == 7


def test_training_on_cut_documents_is_finite(trained):
  report = json.loads((trained / "run" / "report.json").read_text())
  losses = [
    json.loads(line)["loss"]
    for line in (trained / "run" / "metrics.jsonl").read_text().splitlines()
    if "loss" in line
  ]
  assert losses and np.isfinite(losses).all()
  assert np.isfinite(list(report["bits_per_byte"].values())).all()


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ([], ["a document of", "--task.document-length 48"]),
    (["--task.document-length", "49"], ["a document of", "has 49"]),
    (["--segment-start", "empty"], ["the held-out text", "--task.document-length 48"]),
    (
      ["--task.document-length", "48", "--sample-bytes", "48"],
      ["the sample at the end has 49", "--sample-bytes 47"],
    ),
    (
      ["--segment-start=empty", "--eval-bytes=0", "--task.segment-length=50"],
      ["a document of", "has 50"],
    ),
  ],
)
def test_train_refuses_what_does_not_fit(capfd, trained, tmp_path, flags, words):
  err = _fails(capfd, "train", trained / "tiny.py", "--workdir", tmp_path / "r", *flags)

  for word in ["memory 'attention' holds 48 tokens of a document, and", *words]:
    assert word in err
  assert "attention:capacity=" in err and err.count("\n") == 1
  assert not (tmp_path / "r").exists()


def test_eval_refuses_what_does_not_fit_and_reads_it_cut(capfd, trained, tmp_path):
  argv = ["eval", "--workdir", trained / "run", "--text", trained / "corpus"]

  err = _fails(capfd, *argv)

  assert "holds 48 tokens of a document, and a document of" in err
  assert "cut documents with --document-length 48" in err
  assert "has 49" in _fails(capfd, *argv, "--document-length", "49")
  flags = ["--document-length", "48", "--rows", "3", "--length", "50"]
  out = tmp_path / "out.json"
  assert cli.run([str(a) for a in [*argv, *flags, "--out", out]]) == 0
  numbers = json.loads(out.read_text())
  assert [b["to"] for b in numbers["by_position"]] == [128]
  loaded = load_model(trained / "run")
  scorer = TextScorer(
    functools.partial(perplexity.losses, loaded.model, loaded.params),
    loaded.model.init_state,
    sources.find(str(trained / "corpus")),
    loaded.tokenizer,
    length=128,
    document_length=48,
    ways=perplexity.WAYS,
    segment=16,
  )
  bits = scorer.read().bits_per_byte()
  carried = numbers["bits_per_byte"]["carried"]
  assert carried == pytest.approx(bits["carried"], rel=1e-4)
  assert np.isfinite(list(bits.values())).all()


def test_text_that_just_fits_is_read_as_it_is(trained, tmp_path):
  (tmp_path / "text").write_bytes(b"x" * (CAPACITY - 1))

  assert (
    cli.run(["eval", "--workdir", str(trained / "run"), "--text", f"{tmp_path}"]) == 0
  )


@pytest.mark.parametrize("cut", [5, 64])
def test_cut_documents_are_read_from_their_cut_on(tmp_path, cut):
  """A token costs as many bits as its document has tokens before it."""

  def losses(tokens, targets, state, reset):
    nats = np.zeros(tokens.shape, np.float32)
    for t in range(tokens.shape[1]):
      state = np.where(reset[:, t], 0, state)
      nats[:, t] = state * np.log(2)
      state = state + 1
    return nats, state

  sizes = [1, 300, 4, 5, 64]
  for i, size in enumerate(sizes):
    (tmp_path / f"{i}").write_bytes(b"x" * size)
  *_, last = TextScorer(
    losses,
    lambda rows: np.zeros(rows, np.int64),
    sources.find(str(tmp_path)),
    ByteTokenizer(),
    rows=2,
    length=7,
    document_length=cut,
  )

  position = np.concatenate([np.arange(size + 1) % cut for size in sizes])
  assert last.sums.bits["carried"].sum() == pytest.approx(position.sum(), rel=1e-5)
  assert last.num_tokens == len(position)


def test_generate_refuses_what_does_not_fit(capfd, trained):
  argv = ["generate", "--workdir", trained / "run", "--prompt", "memory"]

  err = _fails(capfd, *argv, "--max-tokens", "42")

  assert "a prompt with --max-tokens 42 has 49: give --max-tokens 41" in err
  assert "give a shorter prompt" in _fails(capfd, *argv[:-1], "x" * 99)
  assert cli.run([str(a) for a in [*argv, "--max-tokens", "41"]]) == 0


def test_generate_counts_what_a_saved_state_has_read(capfd, trained, tmp_path):
  argv = ["generate", "--workdir", trained / "run", "--max-tokens", "20"]
  saved = tmp_path / "state"
  prompt = ["--prompt", "memory", "--save-state", saved]
  assert cli.run([str(a) for a in [*argv, *prompt]]) == 0
  read = int(np.asarray(_length(saved, trained)))

  err = _fails(capfd, *argv[:-1], CAPACITY - read + 1, "--load-state", saved)

  assert "the text with what is to come has 49: give fewer tokens" in err


def _length(path, trained):
  from jaxmem.generation import session

  loaded = load_model(trained / "run")
  return session.load(path, loaded.model, loaded.params, loaded.tokenizer).length[0]


def test_writer_reads_nothing_of_what_does_not_fit(trained):
  loaded = load_model(trained / "run")
  writer = Writer(
    loaded.model, loaded.params, loaded.tokenizer, first_session(loaded.model, 2)
  )
  writer.read([b"x" * 40, b"y"])

  with pytest.raises(CapacityError, match="has 49: give shorter texts"):
    writer.read([b"x" * 8, b""])
  assert np.asarray(writer.session.length).tolist() == [41, 2]


@pytest.mark.parametrize("form", ["recurrent", "parallel"])
@pytest.mark.parametrize("name", ["attention", "forgetting_attention"])
def test_overflow_is_nan_from_its_token_to_the_next_reset(name, form):
  """It holds in a stack too, where upper layers read the NaN of lower ones."""
  item = entry(name, num_heads=2, capacity=8, form=form)
  model = LM(LMConfig(11, d_model=8, d_ff=16, pattern=(item,), num_groups=3))
  tokens = jax.random.randint(jax.random.key(0), (2, 30), 0, 11)
  reset = jnp.zeros((2, 30), bool).at[0, 12].set(True).at[1, 20].set(True)
  state = model.init_state(2)
  params = jax.jit(model.init)(jax.random.key(1), tokens, state)
  run = jax.jit(model.apply)

  logits, state = run(params, tokens, state, reset)
  position = np.stack([np.r_[:12, :18], np.r_[:20, :10]])
  again, _ = run(params, tokens, state, jnp.zeros_like(reset).at[:, 0].set(True))

  np.testing.assert_array_equal(np.isnan(logits).all(-1), position >= 8)
  np.testing.assert_array_equal(np.isnan(logits).any(-1), position >= 8)
  np.testing.assert_array_equal(np.isnan(again).any(-1), np.arange(30) >= [[8]] * 2)


def test_a_limit_of_another_length_reads_no_short_document():
  @dataclasses.dataclass
  class Text:
    size: int

    def read(self):
      return b"x" * self.size

  limit = Limit("attention", 10)
  assert capacity.longest([Text(9), Text(3)], ByteTokenizer(), limit) == 10
  assert capacity.longest([Text(9), Text(10)], ByteTokenizer(), limit) == 11
