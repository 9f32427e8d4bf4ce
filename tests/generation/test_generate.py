"""Rows of generated text are independent, and continue where they were."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.generation import programs, session, text
from jaxmem.generation.extend import extend
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import SessionError, first_session
from jaxmem.models.lm import LM
from jaxmem.training.load import load_model
from jaxmem.training.step import resolve
from support import runs

# with the EOS token 8 + 4 and 4 + 1 tokens
PROMPTS = [b"memory stat", b"lane"]
RANDOM = Sampling(0.9, top_k=20, top_p=0.95, min_p=0.01, repetition_penalty=1.1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Returns a tiny run with a checkpoint of its first step."""
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def loaded(run):
  return load_model(run)


def _writer(loaded, prompts, seed=0):
  args = loaded.model, loaded.params, loaded.tokenizer
  writer = Writer(*args, first_session(loaded.model, len(prompts)))
  writer.read(prompts, seed)
  return writer


def _texts(writer, how=RANDOM, max_tokens=24, stop=()):
  pieces = list(writer.write(how, max_tokens, stop))
  return [b"".join(row) for row in zip(*(p.text for p in pieces), strict=True)]


def _equal(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def _row(tree, row):
  return jax.tree.map(lambda a: a[row : row + 1], tree)


@pytest.fixture(scope="module")
def plain():
  """Returns an untrained model with a memory that is not empty."""
  model = LM(resolve(runs.config("x")).model)
  state = model.init_state(3)
  tokens = jax.random.randint(jax.random.key(1), (3, 21), 0, 256)
  params = jax.jit(model.init)(jax.random.key(0), tokens, state)
  f = jax.jit(lambda tokens, state: model.apply(params, tokens, state))
  return f, tokens, f(tokens[:, :8], state)[1]


def test_extend_equals_each_row_alone(plain):
  f, tokens, state = plain
  lengths = [21, 6, 0]

  last, extended = extend(f, tokens, lengths, state, sizes=(8, 1))

  for row, length in enumerate(lengths):
    alone = _row(state, row)
    if length:
      y, alone = f(tokens[row : row + 1, :length], alone)
      np.testing.assert_allclose(last[row], y[0, -1], atol=1e-5)
    else:
      _equal(alone, _row(extended, row))
      assert not np.asarray(last[row]).any()
    for a, b in zip(
      jax.tree.leaves(_row(extended, row)), jax.tree.leaves(alone), strict=True
    ):
      np.testing.assert_allclose(a, b, atol=2e-5)


def test_extend_has_few_shapes_and_little_more_work_than_the_longest_row():
  sizes = []

  def f(x, state):
    sizes.append(x.shape[1])
    return x, state + x.sum(1)

  for longest in (1, 7, 8, 39):
    sizes.clear()
    lengths = [longest, longest // 2, longest // 3]
    x = np.ones((3, longest), np.int32)
    _, state = extend(f, x, lengths, jnp.zeros((3,), jnp.int32), sizes=(16, 4, 1))
    assert state.tolist() == lengths
    assert sum(sizes) < longest + 16
    assert set(sizes) <= {1, 4, 16}


@pytest.mark.parametrize(
  ("lengths", "sizes"),
  [
    ([3, -1], (8, 1)),
    ([3, 5], (8, 1)),
    ([3], (8, 1)),
    ([3, 4], (6, 4, 1)),
    ([3, 4], (1, 0)),
    ([3, 4], (4, 2)),
  ],
)
def test_extend_refuses_what_it_cannot_do(lengths, sizes):
  x = jnp.zeros((2, 4), jnp.int32)
  with pytest.raises(ValueError, match="length|multiple"):
    extend(lambda x, s: (x, s), x, lengths, jnp.zeros((2,)), sizes=sizes)


@pytest.mark.parametrize("how", [Sampling(temperature=0.0), RANDOM])
def test_a_row_of_a_batch_gives_the_tokens_it_gives_alone(loaded, how):
  together = _writer(loaded, PROMPTS)
  texts = _texts(together, how)

  for row, prompt in enumerate(PROMPTS):
    alone = _writer(loaded, [prompt])
    assert _texts(alone, how) == [texts[row]]
    np.testing.assert_allclose(
      together.session.logits[row], alone.session.logits[0], atol=1e-5
    )


def test_rows_of_any_number_and_length_give_what_each_gives_alone(loaded):
  """Three rows are padded to four, and one of them has more than a piece of tokens."""
  prompts = [b"lane", b"memory state " * 6, b""]

  together = _writer(loaded, prompts)

  assert together.length.tolist() == [5, 79, 1]
  assert together.session.length.tolist() == [5, 79, 1]
  texts = _texts(together)
  for row, prompt in enumerate(prompts):
    assert _texts(_writer(loaded, [prompt])) == [texts[row]]


def test_seed_and_repeated_prompt_change_the_draw(loaded):
  twice = _texts(_writer(loaded, [b"lane"] * 2), max_tokens=40)

  assert twice[0] != twice[1]
  assert _texts(_writer(loaded, [b"lane"], seed=7), max_tokens=40)[0] != twice[0]


def test_a_second_turn_continues_as_if_all_were_one_text(loaded):
  writer = _writer(loaded, PROMPTS)
  first = _texts(writer, Sampling(temperature=0.0))
  second = [b" token, reset", b""]
  writer.read(second)

  parts = zip(PROMPTS, first, second, strict=True)
  at_once = _writer(loaded, [b"".join(part) for part in parts])
  for a, b in zip(writer.session.logits, at_once.session.logits, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
  _equal(writer.session.length, at_once.session.length)
  _equal(writer.session.seen, at_once.session.seen)


def test_a_saved_state_continues_identically(loaded, tmp_path):
  args = loaded.model, loaded.params, loaded.tokenizer
  writer = _writer(loaded, PROMPTS)
  _texts(writer)
  session.save(tmp_path / "state", writer.session, *args)

  restored = session.load(tmp_path / "state", *args)
  _equal(restored, writer.session)
  assert _texts(Writer(*args, restored)) == _texts(writer)


def test_pieces_do_not_change_the_text(loaded):
  expected = _texts(_writer(loaded, PROMPTS), max_tokens=16)
  writer = _writer(loaded, PROMPTS)
  parts = [_texts(writer, max_tokens=n) for n in (5, 11)]

  assert [a + b for a, b in zip(*parts, strict=True)] == expected


def test_stop_cuts_the_text_and_the_memory_stands_behind_it(loaded):
  how = Sampling(temperature=0.0)
  text = _texts(_writer(loaded, [b"lane"]), how)[0]
  stop = text[6:9]
  at = text.index(stop)
  writer = _writer(loaded, [b"lane"])

  assert _texts(writer, how, stop=[b"never", stop]) == [text[:at]]
  again = _writer(loaded, [b"lane"])
  _texts(again, how, max_tokens=at + 3)
  _equal(writer.session, again.session)


def test_eos_ends_a_row_and_is_not_read(loaded):
  eos_id = loaded.tokenizer.eos_id
  writer = _writer(loaded, PROMPTS)
  before = jax.tree.map(jnp.copy, writer.session)
  logits = before.logits.at[0, eos_id].set(1e9)
  writer.session = writer.session._replace(logits=jnp.copy(logits))

  first, *_, last = writer.write(Sampling(temperature=0.0), 20)

  assert first.text[0] == b"" and first.done[0]
  assert last.done == [True, True]
  _equal(_row(writer.session, 0), _row(before._replace(logits=logits), 0))


def test_memory_and_shapes_do_not_grow(loaded):
  writer = _writer(loaded, PROMPTS)
  _texts(writer)
  compiled = programs.steps._cache_size()
  size = sum(a.nbytes for a in jax.tree.leaves(writer.session))

  _texts(writer, Sampling(temperature=0.5, top_k=3), max_tokens=70)

  assert programs.steps._cache_size() == compiled
  assert sum(a.nbytes for a in jax.tree.leaves(writer.session)) == size


def test_draws_follow_the_temperature(loaded):
  """A temperature near 0 draws the likeliest token, a high one others."""
  greedy = _texts(_writer(loaded, PROMPTS), Sampling(temperature=0.0))

  assert _texts(_writer(loaded, PROMPTS), Sampling(temperature=1e-30)) == greedy
  assert _texts(_writer(loaded, PROMPTS), Sampling(temperature=5.0)) != greedy


def test_padding_of_the_vocabulary_is_never_drawn(loaded):
  writer = _writer(loaded, PROMPTS)
  logits = writer.session.logits.at[:, loaded.tokenizer.vocab_size :].set(1e9)
  writer.session = writer.session._replace(logits=logits)
  _texts(writer, Sampling(temperature=3.0), max_tokens=1)  # decoding would raise


def test_state_of_another_model_is_refused(loaded, tmp_path):
  model, params, tokenizer = loaded.model, loaded.params, loaded.tokenizer
  path = tmp_path / "state"
  session.save(path, first_session(model, 1), model, params, tokenizer)
  load = functools.partial(session.load, path)

  wide = LM(dataclasses.replace(model.config, d_ff=64))
  with pytest.raises(SessionError, match="model.d_ff 32, this run has 64"):
    load(wide, params, tokenizer)
  with pytest.raises(SessionError, match="weights"):
    load(model, jax.tree.map(jnp.zeros_like, params), tokenizer)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(SessionError, match="no saved state, or damaged"):
    load(model, params, tokenizer)


def _run(capfd, *argv):
  try:
    code = cli.run([str(a) for a in argv])
  except SystemExit as stop:
    code = stop.code
  out, err = capfd.readouterr()
  assert "Traceback" not in err
  return code, out, err


def test_command_writes_each_prompt_and_continues_from_a_file(
  run, tmp_path, capfdbinary
):
  flags = ["generate", "--workdir", run, "--temperature", "0.5", "--max-tokens", "20"]
  prompts = ["--prompt", "memory", "--prompt", "lane"]
  state = tmp_path / "state"

  code, out, err = _bytes(capfdbinary, *flags, *prompts, "--save-state", state)
  assert code == 0 and b"tokens/s" in err
  assert out.startswith(b"==> 1: memory <==\n") and b"\n==> 2: lane <==\n" in out
  _, alone, _ = _bytes(capfdbinary, *flags, "--prompt", "lane")
  assert out.endswith(alone)
  _, longer, _ = _bytes(capfdbinary, *flags, *prompts, "--max-tokens", "30")
  flags[-1] = "10"
  _, continuation, _ = _bytes(capfdbinary, *flags, "--load-state", state)
  assert continuation.split(b"<==\n")[2].strip() in longer.split(b"<==\n")[2]
  code, _, err = _bytes(capfdbinary, *flags, "--load-state", state, "--prompt", "x")
  assert code == 2 and b"1 prompts for the 2 texts" in err


def _bytes(capfd, *argv):
  code = cli.run([str(a) for a in argv])
  return code, *capfd.readouterr()


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--temperature", "-1"], "temperature is -1.0: it must be at least 0"),
    (["--temperature", "nan"], "temperature is nan"),
    (["--top-p", "0"], "--top-p is 0.0: it must be in (0, 1]"),
    (["--top-p", "1.1"], "--top-p is 1.1"),
    (["--top-k", "-1"], "--top-k is -1"),
    (["--min-p", "2"], "--min-p is 2.0"),
    (["--repetition-penalty", "0"], "--repetition-penalty is 0.0"),
    (["--max-tokens", "0"], "--max-tokens is 0: it must be at least 1"),
    (["--stop", ""], "stop string is empty"),
    (["--seed", "-1"], "seed is -1"),
    (["--prompt-file", "nowhere"], "--prompt-file: no file 'nowhere'"),
    (["--save-state", "no/where"], "its directory does not exist"),
    (["--temprature", "1"], "--temperature"),
    ([], "no checkpoint of a run in"),
  ],
)
def test_mistake_exits_2_with_one_message(capfd, tmp_path, flags, words):
  head = ["generate", "--workdir", tmp_path, "--prompt", "x"]
  code, _, err = _run(capfd, *head, *flags)
  assert code == 2 and words in err
  assert not list(tmp_path.iterdir())


def test_missing_prompt_workdir_and_state_exit_2(capfd, run):
  assert "no prompt" in _run(capfd, "generate", "--workdir", run)[2]
  assert "--workdir is missing" in _run(capfd, "generate", "--prompt", "x")[2]
  code, _, err = _run(capfd, "generate", "--workdir", run, "--load-state", "nowhere")
  assert code == 2 and "no state file nowhere" in err


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--prompt", "x", "--input", "-"], "--input - and a prompt: give one of them"),
    (["--input", "-", "--load-state", "s"], "--load-state are for text"),
    (["--logprobs", "--prompt", "x", "--save-state", "s"], "--save-state and"),
    (["--load-state", "s", "--num-samples", "2"], "--num-samples 2: a text of"),
    (["--prompt", "x", "--num-samples", "0"], "--num-samples is 0: it must be"),
    (["--input", "nowhere"], "cannot open nowhere"),
    (["--input", "-", "--out", "no/where"], "its directory does not exist"),
  ],
)
def test_flags_that_contradict_exit_2(capfd, run, flags, words):
  code, _, err = _run(capfd, "generate", "--workdir", run, *flags)
  assert code == 2 and words in err


def test_loading_only_reads(run):
  def listing():
    return sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*"))

  before = listing()
  load_model(run)
  assert listing() == before


def test_one_call_gives_the_text_that_a_writer_gives(loaded):
  writer = _writer(loaded, [b"def", b"memory"])
  expected = _texts(writer, max_tokens=5)
  parts = loaded.model, loaded.params, loaded.tokenizer
  assert text.generate(*parts, [b"def", b"memory"], RANDOM, 5) == expected
