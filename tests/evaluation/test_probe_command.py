"""`jaxmem probe` asks each sample once, keeps its answer, and reports the scores."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxmem import cli
from jaxmem.core.errors import UserError
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench import results, runner
from jaxmem.evaluation.longbench.haystack import Haystack
from jaxmem.evaluation.longbench.page import Material, sample
from jaxmem.evaluation.longbench.runner import Plan, Stopped, open_ledger
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.lm import LM
from jaxmem.models.pattern import entry
from jaxmem.runtime.signals import Stop
from jaxmem.tokenizers import ByteTokenizer
from jaxmem.training import config as configs
from jaxmem.training.load import load_model
from jaxmem.training.step import resolve
from support import runs

SMALL = dataclasses.replace(runs.MODEL, pattern=(entry("rglru", num_heads=2),))
TASKS = ("passkey", "needle", "niah_multivalue", "babilong_qa7")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A tiny run at its first step, beside its corpus."""
  return runs.first_checkpoint(tmp_path_factory.mktemp("run"), model=SMALL)


@pytest.fixture
def material(run):
  tokenizer = ByteTokenizer()
  return Material(tokenizer, Haystack(str(run.parent / "corpus"), tokenizer), depths=2)


def _perfect(plan, material):
  """Returns a model that knows all answers, and the list of prompts it received."""
  answers, prompts_read = {}, []
  for task in plan.tasks:
    for length in plan.lengths:
      for i in range(plan.samples):
        drawn = sample(task, length, plan.seed, i, material)
        answers[drawn.draft.prompt.encode()] = ", ".join(drawn.draft.answers).encode()

  def answer(prompts, max_tokens):
    prompts_read.extend(prompts)
    return [b" " + answers[p] for p in prompts]

  return answer, prompts_read


def _ask(plan, material, answer, ledger, rows=3, stop=None):
  return list(runner.run(plan, material, answer, ledger, rows, stop or Stop()))


def test_perfect_reader_scores_100_and_silence_0(material, tmp_path):
  plan = Plan(TASKS, (1024, 1500), 4, seed=3)
  for name, answer, score in (
    ("a", _perfect(plan, material)[0], 100),
    ("b", lambda prompts, max_tokens: [b""] * len(prompts), 0),
  ):
    ledger = open_ledger(tmp_path / name, {})
    batches = _ask(plan, material, answer, ledger)

    assert [len(lines) for lines in batches] == [3, 1] * 8
    scores = results.scores(plan, ledger.done)
    assert all(by_length == {1024: score, 1500: score} for by_length in scores.values())
    assert set(scores) == {*TASKS, "mean of grid (2 of 2)"}
    cells = results.grid(plan, ledger.done, 2)
    assert cells.tolist() == [[score, score]] * 2


def test_answers_are_kept_and_only_unanswered_samples_are_asked(material, tmp_path):
  plan = Plan(TASKS[:2], (512, 900), 4, seed=0)
  answer, prompts_read = _perfect(plan, material)
  first = open_ledger(tmp_path / "whole", {"seed": 0})
  _ask(plan, material, answer, first)
  count = len(prompts_read)
  path = tmp_path / "whole" / runner.ANSWERS
  lines = path.read_text().splitlines(keepends=True)
  assert count == len(lines) == 16

  path.write_text("".join(lines[:5]) + lines[5][:20])  # killed while it was written
  resumed = open_ledger(tmp_path / "whole", {"seed": 0})
  assert len(resumed.done) == 5 and path.read_text() == "".join(lines[:5])
  _ask(plan, material, answer, resumed, rows=2)

  assert len(prompts_read) - count == 11

  def without_seconds(lines):
    fields = {key: line | {"seconds": 0} for key, line in lines.items()}
    return {key: json.dumps(line) for key, line in fields.items()}

  reopened = open_ledger(tmp_path / "whole", {"seed": 0}).done
  assert without_seconds(reopened) == without_seconds(first.done)
  extended = plan._replace(samples=6)
  _ask(extended, material, _perfect(extended, material)[0], resumed)
  assert len(resumed.done) == 24
  with pytest.raises(UserError, match="was begun with seed 0, this command has 1"):
    open_ledger(tmp_path / "whole", {"seed": 1})
  for name in (runner.ANSWERS, runner.CONFIG):
    (tmp_path / "whole" / name).write_text("no JSON\n")
    with pytest.raises(UserError, match=rf"{name} is damaged"):
      open_ledger(tmp_path / "whole", {"seed": 0})


def test_stop_keeps_what_is_finished(material, tmp_path):
  plan, stop = Plan(TASKS[:1], (512,), 5, seed=0), Stop()
  answer, prompts_read = _perfect(plan, material)

  def until(prompts, max_tokens):
    stop.requested = "SIGINT" if prompts_read else None  # in the second batch
    return answer(prompts, max_tokens)

  ledger = open_ledger(tmp_path / "out", {})
  with pytest.raises(Stopped):
    _ask(plan, material, until, ledger, rows=2, stop=stop)
  assert len(open_ledger(tmp_path / "out", {}).done) == 4


def test_state_is_counted_per_layer():
  two = (entry("window", window_size=4, num_heads=2), entry("rglru", num_heads=2))
  config = dataclasses.replace(
    SMALL, vocab_size=257, pattern=two, num_groups=3, dtype="float32"
  )
  state = jax.eval_shape(lambda: LM(config).init_state(1))
  total = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state))

  sizes = results.state_bytes(LM(config))

  assert list(sizes) == ["window", "rglru"]
  assert sizes["window"] > 2 * 4 * 16 * 4 and 3 * sum(sizes.values()) == total
  mixed = (entry("window", window_size=4), entry("window", window_size=8))
  sizes = results.state_bytes(LM(dataclasses.replace(config, pattern=mixed)))
  assert list(sizes) == ["window:window_size=4", "window:window_size=8"]


def test_command_asks_the_model_and_reports(run, tmp_path, capsys):
  """The answers are those of the model's own writer, and the table is complete."""
  out = tmp_path / "out"
  argv = ["probe", "--workdir", run, "--haystack", run.parent / "corpus", "--out", out]
  argv += ["--tasks", "passkey,needle", "--lengths", "300,256", "--samples", "2"]
  argv += ["--depths", "2", "--rows", "2", "--max-tokens", "5"]
  assert cli.run([str(a) for a in argv]) == 0
  stdout = capsys.readouterr().out

  loaded = load_model(run)
  lines = [json.loads(n) for n in (out / runner.ANSWERS).read_text().splitlines()]
  assert len(lines) == 8 and all(line["written"] <= 5 for line in lines)
  hay = Haystack(str(run.parent / "corpus"), loaded.tokenizer)
  material = Material(loaded.tokenizer, hay, depths=2, max_tokens=5)
  needle = sample("needle", 300, 0, 1, material)
  generator = runner.Writer(
    loaded.model, loaded.params, loaded.tokenizer, first_session(loaded.model, 2)
  )
  generator.read([b"", needle.draft.prompt.encode()], seed=1)
  text = b"".join(piece.text[1] for piece in generator.write(Sampling(0.0), 5))
  [line] = [
    n for n in lines if (n["task"], n["length"], n["index"]) == needle[:2] + (1,)
  ]
  assert line["output"] == text.decode(errors="replace")
  assert line["read"] == needle.tokens and needle.tokens + 5 <= 300
  numbers = json.loads((out / "results.json").read_text())
  size = results.state_bytes(loaded.model)["rglru"]
  assert numbers["state_bytes_per_layer"] == {"rglru": size}
  for words in (
    "| task | 256 | 300 | effective length |",
    "mean of grid (2 of 2)",
    f"State per layer: rglru {size:,} B",
    "tokens/s",
    "Peak memory of the process",
  ):
    assert words in stdout and (words in (out / "probe.md").read_text())
  assert np.shape(numbers["needle"]["found"]) == (2, 2)
  assert (out / "needle.png").read_bytes()[:4] == b"\x89PNG"
  assert not (out / "lock.json").exists()

  (out / "results.json").unlink()
  assert cli.run([str(a) for a in argv]) == 0  # no sample is left
  assert (out / runner.ANSWERS).read_text().count("\n") == 8
  assert cli.run([str(a) for a in [*argv, "--seed", "1"]]) == 2
  assert "was begun with seed 0" in capsys.readouterr().err


def test_ctrl_c_exits_75(run, tmp_path, capsys, monkeypatch):
  def writer(loaded, rows, stop):
    def answer(prompts, max_tokens):
      stop.requested = "SIGINT"
      raise Stopped

    return answer

  monkeypatch.setattr(runner, "writer", writer)
  argv = ["probe", "--workdir", run, "--haystack", run.parent / "corpus"]
  argv += ["--tasks", "passkey", "--lengths", "300", "--out", tmp_path / "out"]

  assert cli.run([str(a) for a in argv]) == 75
  assert "stopped by SIGINT; the same command continues" in capsys.readouterr().out


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
  """Returns a run that has a config and no weights, since nothing may load them."""
  directory = tmp_path_factory.mktemp("bare")
  model = dataclasses.replace(runs.MODEL, pattern=(entry("attention", capacity=700),))
  config = resolve(runs.config(runs.write_corpus(directory / "corpus"), model=model))
  meta = directory / "run" / "checkpoints" / "1" / "meta"
  meta.mkdir(parents=True)
  (meta / "metadata").write_text(json.dumps({"config": configs.to_json(config)}))
  return directory / "run"


@pytest.mark.parametrize(
  "flags, words",
  [
    (["--tasks", "neddle"], ["no task 'neddle'", "'needle'"]),
    (["--lengths", "512,many"], ["--lengths is '512,many'"]),
    (["--lengths", "0"], ["--lengths is 0: it must be at least 1"]),
    (["--lengths", "900"], ["'attention' holds 700", "900", "at most 700"]),
    (["--lengths", "90"], ["'passkey' does not fit 90", "at least"]),
    (["--samples", "0"], ["samples is 0"]),
    (["--tasks", "needle", "--samples", "3"], ["3 samples", "5 depths"]),
    (["--threshold", "101"], ["--threshold is 101.0", "at most 100"]),
    (["--haystack", "nowhere"], ["'nowhere' does not exist"]),
    (["--tasks", "needle", "--haystack", "SHORT"], ["has 28 tokens", "room for 475"]),
    (["--tasks", "qa_1", "--lengths", "700"], ["give --qa FILE", "SQuAD"]),
    (["--tasks", "qa_2", "--qa", "gone.json"], ["cannot read", "gone.json", "xquad"]),
    (["--qa", "a,b,c"], ["one file, or two"]),
    (["--memory", "window"], ["is for a pretrained model"]),
    (["--gguf", "smollm2"], ["--workdir", "--model smollm2", "one of them"]),
    (["--workdir", ""], ["--workdir", "--model"]),
    (["--workdir", "nowhere"], ["no checkpoint of a run"]),
    (["--out", ""], ["--out is missing"]),
    (["--sampels", "3"], ["--samples"]),
  ],
)
def test_mistake_exits_2_before_any_device_work(
  bare, tmp_path, capsys, monkeypatch, flags, words
):
  monkeypatch.setattr("jaxmem.training.load.load_model", None)
  (tmp_path / "short").write_text("too short a text to hide in.")
  flags = [str(tmp_path / "short") if f == "SHORT" else f for f in flags]
  argv = ["probe", "--workdir", bare, "--haystack", bare.parent / "corpus"]
  argv += ["--tasks", "passkey", "--lengths", "500", "--out", tmp_path / "out", *flags]
  try:
    code = cli.run([str(a) for a in argv])
  except SystemExit as stop:
    code = stop.code
  err = capsys.readouterr().err

  assert code == 2 and "Traceback" not in err
  for word in words:
    assert word in err
  assert not (tmp_path / "out").exists()


def test_gguf_is_read_with_attention_or_window(tmp_path, capsys):
  pytest.importorskip("gguf", reason="needs the package gguf")
  pytest.importorskip("tokenizers", reason="needs the package tokenizers")
  argv = ["probe", "--gguf", tmp_path / "no.gguf", "--out", tmp_path / "out"]
  for memory, words in {
    "rglru": "with attention or with window",
    "window:window_size=64": "cannot read",
    "window:window_sise=64": "'window_size'",
  }.items():
    assert cli.run([str(a) for a in [*argv, "--memory", memory]]) == 2
    assert words in capsys.readouterr().err


def test_each_task_writes_the_tokens_of_its_paper():
  max_tokens = {name: task.max_tokens for name, task in longbench.tasks().items()}
  assert {max_tokens[n] for n in max_tokens if n.startswith("niah")} == {128}
  assert (
    max_tokens["vt"],
    max_tokens["cwe"],
    max_tokens["fwe"],
    max_tokens["qa_1"],
  ) == (30, 120, 50, 32)
