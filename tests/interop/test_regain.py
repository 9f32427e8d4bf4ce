"""A memory grafted on a frozen model: what it starts as, what moves, what it learns."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxmem import tokenizers
from jaxmem.core.errors import RunError
from jaxmem.finetune import graft, lessons, regain, rows
from jaxmem.interop import smollm
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded
from jaxmem.models.pattern import entry
from jaxmem.training.callbacks import Callback
from jaxmem.training.trainable import Trainable

pytest.importorskip("qwix", reason="needs the package qwix")

LAYERS, WORDS, LENGTH = 2, 257, 12
DELTA = entry("gated_delta")


def _llama(memory="window", **options):
  """Config and parameters of a Llama that knows nothing."""
  heads = {"num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "rotary_base": 500.0}
  config = LMConfig(
    vocab_size=WORDS,
    d_model=16,
    d_ff=24,
    pattern=(entry(memory, **heads, **options),),
    num_groups=LAYERS,
    norm_epsilon=1e-5,
    embedding_scale=1.0,
  )
  model, tokens = LM(config), jnp.zeros((1, 2), jnp.int32)
  init = jax.eval_shape(model.init, jax.random.key(0), tokens, model.init_state(1))
  draw = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: jnp.asarray(0.3 * draw.normal(size=a.shape), jnp.float32),
    nn.meta.unbox(init["params"]),
  )
  # a head that can be sure of a token
  params["norm"]["scale"] = jnp.full(config.d_model, 4.0)
  params["embedding"] = params["embedding"] / 0.3
  return config, params


CONFIG, PARAMS = _llama(window_size=3)


def _answers(step):
  """The first token is asked for by the last but one, far behind any window."""
  draw = np.random.default_rng(step)
  ids = np.full((8, LENGTH + 1), ord("."), np.int32)
  ids[:, 0] = ids[:, -1] = draw.choice([ord(c) for c in "ab"], 8)
  ids[:, -2] = ord("?")
  return ids


class _Rows:
  """What is asked, as the trainer reads it."""

  fingerprint = tokenizer = "answers"

  def __len__(self):
    return 1000

  def __getitem__(self, step):
    return lessons.batch_of(_answers(step), np.arange(8))


class _Steps(Callback):
  """The steps of a run and their nats; may interrupt it."""

  def __init__(self, interrupt=0):
    self.steps, self.nats, self.interrupt = [], [], interrupt

  def on_step(self, step, metrics):
    if step == self.interrupt:
      raise KeyboardInterrupt
    self.steps.append(step)
    self.nats.append(metrics["loss"])


def _learn(grafted, steps, path, heard, save_every=1000):
  model, frozen, (fresh, _) = grafted
  return lessons.learn(
    model,
    graft.join(frozen, fresh),
    _Rows(),
    1e-2,
    path,
    steps=steps,
    batch=8,
    length=LENGTH,
    save_every=save_every,
    callbacks=(heard,),
  )


def _grafted(memory, **options):
  model, frozen = graft.graft(CONFIG, PARAMS, memory, rank=2)
  return model, frozen, graft.first(model, frozen, jax.random.key(0), **options)


def test_grafted_model_begins_as_it_was():
  model, frozen = graft.graft(CONFIG, PARAMS, DELTA, every=2, rank=2)
  fresh, _ = graft.first(model, frozen, jax.random.key(0))
  ids = jnp.asarray(_answers(0))

  def run(model, params):
    state = model.init_state(len(ids))
    return jax.jit(lambda p: model.apply({"params": p}, ids, state)[0])(params)

  logits = run(model, graft.join(frozen, fresh))
  np.testing.assert_array_equal(logits, run(LM(CONFIG), PARAMS))
  assert graft.difference(frozen, graft.join(frozen, fresh)) == {}
  sizes = [sum(a.size for a in jax.tree.leaves(tree)) for tree in (frozen, PARAMS)]
  assert sizes[0] == sizes[1]
  paths = [p for p in traverse_util.flatten_dict(fresh) if "memory" in p]
  assert {p[2] for p in paths} == {"block_1"}


def test_updates_differ_by_layer_and_touch_no_memory():
  _, _, (fresh, names) = _grafted(DELTA)

  flat = traverse_util.flatten_dict(fresh, sep="/")
  lora = {path: a for path, a in flat.items() if "lora" in path}
  assert len(lora) == 2 * 7 and not any("memory" in path for path in lora)
  for path, a in lora.items():
    if path.endswith("_a"):
      assert jnp.abs(a[0] - a[1]).max() > 0, path
    else:
      assert jnp.abs(a).max() == 0, path
  assert jax.tree.structure(fresh) == jax.tree.structure(
    names, is_leaf=lambda a: type(a) is tuple
  )


@pytest.mark.parametrize("name", ["retention", "delta_net"])
def test_memory_begins_with_the_matrices_of_the_attention(name):
  _, _, (fresh, _) = _grafted(entry(name))
  _, _, (drawn, _) = _grafted(entry(name), start="random")

  def memory(tree):
    return tree["stack"]["groups"]["block_0"]["mixer"]["memory"]

  base = PARAMS["stack"]["groups"]["block_0"]["mixer"]
  np.testing.assert_array_equal(memory(fresh)["out"]["kernel"], base["out"]["kernel"])
  k = jnp.repeat(base["k"]["kernel"], 2, axis=2)
  k_memory = memory(fresh)["k"]["kernel"] if name == "retention" else None
  if k_memory is None:
    k_memory = memory(fresh)["qkv"]["kernel"][..., 16:32].reshape(k.shape)
  np.testing.assert_array_equal(k_memory, k)
  assert jnp.abs(memory(drawn)["out"]["kernel"] - base["out"]["kernel"]).min() > 0


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
  """What was frozen and what was fresh, before and after, and the losses."""
  grafted = _grafted(entry("retention"))
  frozen, fresh = jax.device_get((grafted[1], grafted[2][0]))
  heard = _Steps()
  after = _learn(grafted, 150, tmp_path_factory.mktemp("learned"), heard)
  after = jax.device_get(after)
  moved = graft.difference(after, fresh)
  return (frozen, fresh), (moved, graft.difference(after, frozen)), heard.nats


def test_frozen_parameters_do_not_move_and_the_others_do(learned):
  (frozen, first), (frozen_after, after), _ = learned
  jax.tree.map(np.testing.assert_array_equal, frozen, frozen_after)
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 0, first, after)
  still = [k for k, v in traverse_util.flatten_dict(moved, sep="/").items() if not v]
  assert not still


def test_memory_learns_what_lies_beyond_the_window(learned):
  """Two windows of 3 reach 4 tokens back, and the answer is one of two, 12 back."""
  *_, nats = learned
  assert np.mean(nats[-20:]) < 0.3 * np.log(2) / LENGTH


@pytest.mark.parametrize("memory", [None, DELTA, entry("retention")])
def test_pattern_selects_what_is_grafted(memory):
  _, frozen, (fresh, _) = _grafted(memory)
  params = graft.join(frozen, fresh)
  moving = Trainable(graft.GRAFTED, params).part(params)
  assert jax.tree.structure(moving) == jax.tree.structure(fresh)


def test_training_continues_where_it_was_cut_off(tmp_path):
  grafted = _grafted(None)
  single = _learn(grafted, 4, tmp_path / "a", _Steps(), save_every=2)
  with pytest.raises(KeyboardInterrupt):
    _learn(grafted, 4, tmp_path / "b", _Steps(interrupt=3), save_every=2)
  heard = _Steps()
  again = _learn(grafted, 4, tmp_path / "b", heard, save_every=2)

  assert heard.steps == [3, 4]
  jax.tree.map(np.testing.assert_array_equal, again, single)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
  model, frozen, first = _grafted(None)
  broken = jax.tree.map(lambda a: a * jnp.nan, frozen)
  with pytest.raises(RunError, match="step 0; .* and take a lower --rate"):
    _learn((model, broken, first), 2, tmp_path, _Steps())


@pytest.fixture
def arguments(tmp_path, monkeypatch):
  """Of a small run on a small Llama, in a list that can be added to."""
  config, params = _llama("attention")
  loaded = Loaded(None, LM(config), params, tokenizers.get("byte"), 0)
  monkeypatch.setattr(smollm, "load", lambda path, **options: loaded)
  draw = np.random.default_rng(1)
  for name, size in {"text": 80, "train": 400}.items():
    (tmp_path / name).write_bytes(bytes(draw.integers(97, 122, size, dtype=np.uint8)))
  flags = {
    **{name: tmp_path / name for name in ("text", "train", "out")},
    **{"memories": "mingru", "window": 4, "sinks": 0, "layers": 2, "rank": 2},
    **{"steps": 2, "train-length": 16, "length": 16, "tokens": 64, "rows": 4},
  }
  return [f"--{key}={value}" for key, value in flags.items()]


def test_command_prints_a_row_for_each_and_keeps_them(arguments, capsys, monkeypatch):
  regain.main(arguments)
  first = capsys.readouterr().out
  monkeypatch.setattr(rows, "learn", None)
  monkeypatch.setattr(rows.Rows, "_score", None)
  regain.main(arguments)
  assert capsys.readouterr().out == first
  ledger = Path(_out(arguments)) / "rows.jsonl"
  for line in map(json.loads, ledger.read_text().splitlines()):
    # before 0.2 each row had a file of its own
    ledger.with_name(f"{line['name']}.json").write_text(json.dumps(line))
  ledger.unlink()
  regain.main(arguments)

  assert capsys.readouterr().out == first
  lines = [line.split("|")[1:-1] for line in first.splitlines() if "|" in line][2:]
  table = {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in lines}
  assert list(table) == ["whole", "window", "mingru"]
  assert table["window"][-3:-1] == ["0%", "0%"]
  assert table["whole"][-3:-1] == ["100%", "100%"]
  assert table["mingru"][4] == table["window"][5] != table["mingru"][5]
  # keys and values of 4 tokens, one head of 8, and the place; an h of 16
  assert table["mingru"][:2] == [str(4 * 4 * 2 * 8 + 4), "64"]


def test_rows_of_other_settings_are_not_mixed(arguments, capsys):
  options = regain.Options(out=_out(arguments))
  rows.open_ledger(Path(options.out), regain.settings(options, b"a", b"b"))
  message = _fails(capsys, arguments)
  assert f"{options.out} was begun with " in message
  assert "window 64, this command has 4" in message and "another --out" in message


@pytest.mark.parametrize(
  "change, message",
  [
    ("--text=", "--text is missing"),
    ("--text=/nowhere", "--text: no file '/nowhere'"),
    ("--memories=lora,grru", "no memory 'grru': did you mean 'gru'"),
    ("--memories=encoder_attention", "reads both ways"),
    ("--memories=lora --rank=0", "--memories has 'lora' and --rank is 0"),
    ("--sinks=4", "--sinks is 4: it must be at least 0 and below window (4)"),
    ("--rate=0", "--rate is 0.0: it must be above 0"),
    ("--start=warm", "--start is 'warm': one of attention, random"),
    ("--layers=3", "a memory every 3 layers: it must be a divisor of the 2 layers"),
    ("--memories=mamba2:num_groups=3", "'mamba2:num_groups=3' cannot be built: 32 ch"),
    ("--memories=attention:capacity=9", "holds 9 tokens of a document, and a window"),
    ("--steps=0", "--steps is 0: it must be at least 1"),
    ("--tokens=65", "--tokens 65 must be a multiple of --length 16"),
    ("--tokens=640", "--text has 80 tokens, fewer than --tokens 640"),
    ("--train-length=400", "--train has 400 tokens, no window of --train-length 400"),
  ],
)
def test_mistakes_are_named_with_their_remedy(arguments, capsys, change, message):
  assert message in _fails(capsys, [*arguments, *change.split()])


def test_text_that_scores_is_no_text_to_train_on(arguments, capsys):
  paths = dict(argument[2:].split("=") for argument in arguments)
  with open(paths["train"], "ab") as train, open(paths["text"], "rb") as text:
    train.write(text.read())
  assert "--train has text that --text scores" in _fails(capsys, arguments)


def test_missing_package_names_the_extra(arguments, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, "qwix", None)
  assert "pip install 'jaxmem[lora]'" in _fails(capsys, arguments)


def _out(arguments):
  return dict(argument[2:].split("=") for argument in arguments)["out"]


def _fails(capsys, arguments):
  with pytest.raises(SystemExit) as caught:
    regain.main(arguments)
  assert caught.value.code == 2
  return capsys.readouterr().err
