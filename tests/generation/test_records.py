"""Many prompts: samples, log-probabilities, and the JSON Lines of the command."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.commands.generate import Options
from jaxmem.generation.sampling import DEFAULT, Sampling, SamplingError
from jaxmem.generation.text import Continuer, generate
from jaxmem.training.load import load_model
from support import runs

WARM = Sampling(temperature=0.7, top_k=30, repetition_penalty=1.2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Returns a tiny run with a checkpoint of its first step."""
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def parts(run):
  loaded = load_model(run)
  return loaded.model, loaded.params, loaded.tokenizer


def _samples(parts, prompts, count, **settings):
  continuer = Continuer(
    *parts, sampling=WARM, max_tokens=8, num_samples=count, **settings
  )
  return continuer(prompts)


def test_samples_differ_and_are_those_of_a_prompt_that_is_repeated(parts):
  first, second = _samples(parts, [b"lane", b"memory"], 2)

  assert first[0].text != first[1].text
  repeated = [b"lane", b"memory", b"lane", b"memory"]
  texts = generate(*parts, repeated, WARM, 8)
  assert texts == [s.text for pair in zip(first, second, strict=True) for s in pair]


def test_neither_rows_nor_calls_change_a_text(parts):
  expected = _samples(parts, [b"lane", b"memory", b"lane"], 2)

  assert _texts(_samples(parts, [b"lane", b"memory", b"lane"], 2, rows=4)) == _texts(
    expected
  )
  continuer = Continuer(*parts, sampling=WARM, max_tokens=8, num_samples=2)
  calls = [continuer([prompt])[0] for prompt in (b"lane", b"memory", b"lane")]
  assert _texts(calls) == _texts(expected)


def _texts(found):
  return [[sample.text for sample in samples] for samples in found]


def test_logprobs_are_those_by_which_the_model_scores_the_text(parts):
  model, params, tokenizer = parts
  (found,) = _samples(parts, [b"lane"], 1)[0]

  assert tokenizer.decode(np.array(found.tokens)) == found.text
  ids = np.r_[tokenizer.eos_id, tokenizer.encode(b"lane"), found.tokens]
  ids = jnp.asarray(ids, jnp.int32)
  state = model.init_state(1)
  nats, _ = model.apply(
    {"params": params}, ids[None, :-1], ids[None, 1:], state, method="losses"
  )
  np.testing.assert_allclose(found.logprobs, -nats[0, 4:], atol=1e-4)


def test_a_number_of_samples_or_rows_below_one_is_refused(parts):
  for settings in ({"num_samples": 0}, {"rows": 0}):
    with pytest.raises(SamplingError, match="is 0: it must be at least 1"):
      Continuer(*parts, **settings)


def test_the_command_draws_like_the_library_by_default():
  options = {field.name: field.default for field in dataclasses.fields(Options)}
  for name, value in dataclasses.asdict(DEFAULT).items():
    assert options[name] == value


def _command(capfdbinary, run, *flags):
  flags = [str(flag) for flag in flags]
  code = cli.run(["generate", "--workdir", str(run), "--max-tokens", "8", *flags])
  return code, *capfdbinary.readouterr()


def test_lines_are_answered_in_order_and_a_bad_one_stops_no_other(
  run, tmp_path, capfdbinary
):
  lines = ['{"id": 7, "prompt": "lane"}', "nonsense", "", '{"prompt": 3}']
  lines += ['{"id": "b", "prompt": "memory", "note": 1}']
  (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
  flags = ["--input", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl"]

  code, out, err = _command(capfdbinary, run, *flags, "--rows", 3)

  answers = [*map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())]
  assert code == 2 and out == b"" and b"line 2: " in err
  assert [answer.get("line") for answer in answers] == [None, 2, 4, None]
  assert answers[2]["error"] == 'it has no text "prompt"'
  assert (answers[0]["id"], answers[3]["id"]) == (7, "b")
  assert set(answers[3]) == {"id", "prompt", "text"}
  for answer in (answers[0], answers[3]):
    _, alone, _ = _command(capfdbinary, run, "--prompt", answer["prompt"])
    assert answer["text"] == alone[:-1].decode(errors="replace")


def test_prompts_have_samples_and_logprobs_as_json_lines(run, capfdbinary):
  flags = ["--prompt", "lane", "--num-samples", 2]
  code, out, _ = _command(capfdbinary, run, *flags, "--logprobs")
  assert code == 0

  (answer,) = map(json.loads, out.splitlines())
  assert answer["prompt"] == "lane" and len(answer["samples"]) == 2
  for sample in answer["samples"]:
    assert len(sample["tokens"]) == len(sample["logprobs"]) <= 8
    assert sample["logprob"] == pytest.approx(sum(sample["logprobs"]), abs=1e-4)
    assert sample["logprob"] < 0

  _, text, _ = _command(capfdbinary, run, *flags)
  parts = text.split(b"<==\n")[1:]
  for sample, part in zip(answer["samples"], parts, strict=True):
    assert part.decode(errors="replace").startswith(sample["text"])
