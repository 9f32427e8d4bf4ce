"""`jaxmem inspect`: its numbers against cases by hand, and its page in a browser."""

import contextlib
import functools
import io
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxmem import cli, mixers
from jaxmem.evaluation import visibility
from jaxmem.evaluation.inspection import findings, inside, span
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry, mixer
from jaxmem.ops import gated_average, gru, lstm
from jaxmem.parallel.mesh import unboxed
from jaxmem.testing import example_of
from jaxmem.training.load import load_model
from support import browser, runs

ATTENTION = [n for n in mixers.carrying() if mixers.get(n).Mixer.family == "attention"]
RECURRENT = [n for n in mixers.carrying() if n not in ATTENTION]
# These memories do not decay, or have no gates to show.
WITHOUT_DECAY = {"delta_net", "linear_attention", "rnn"}


def _model(pattern, groups=1, length=40):
  """Returns a new model, its parameters and a text."""
  model = LM(LMConfig(11, d_model=8, d_ff=16, pattern=pattern, num_groups=groups))
  tokens = np.random.default_rng(0).integers(0, 11, length).astype(np.int32)
  params = _drawn(model, jnp.asarray(tokens)[None], model.init_state(1))["params"]
  return model, params, tokens


def _apply(name, length=12, **options):
  """Returns a mixer with small options, its parameters and its input."""
  layer = mixer(entry(name, **example_of(name) | options), 8, "float32", parent=None)
  x = jax.random.normal(jax.random.key(2), (1, length, 8))
  return layer, _drawn(layer, x, layer.init_state(1)), x


def _drawn(module, *inputs):
  """Returns random parameters without the cost of compiling `init`."""
  shapes = unboxed(jax.eval_shape(module.init, jax.random.key(0), *inputs))
  draw = np.random.default_rng(1).normal
  return jax.tree.map(lambda a: jnp.asarray(draw(size=a.shape) / 2, a.dtype), shapes)


def _watched(layer):
  return jax.jit(functools.partial(layer.apply, mutable=["intermediates"]))


@pytest.mark.parametrize(
  ("name", "options"),
  [*((name, {}) for name in ATTENTION), ("window", {"learned_sink": True})],
)
def test_attention_map_times_values_is_the_output_of_the_layer(name, options):
  layer, params, x = _apply(name, **options)

  def take(call, args, kwargs, context):
    y = call(*args, **kwargs)
    if context.method_name == "_attend":
      weights = inside.attention_map(call, args, kwargs, x.shape[1])
      context.module.sow("intermediates", "attention", (y[0], args[2][2::3], weights))
    return y

  with nn.intercept_methods(take):
    _, sown = _watched(layer)(params, x, layer.init_state(1))

  ((y, values, weights),) = sown["intermediates"]["attention"]
  group = y.shape[2] // values[0].shape[2]
  read = [jnp.einsum("btas,bsav->btav", weights, v.repeat(group, 2)) for v in values]
  first = getattr(layer, "num_global", 0) if len(read) == 2 else 0
  np.testing.assert_allclose(y[:, first:], read[0][:, first:], atol=2e-6)
  np.testing.assert_allclose(y[:, :first], read[-1][:, :first], atol=2e-6)
  assert weights.min() >= 0 and weights.sum(-1).max() < 1 + 1e-5


def test_span_of_windows_is_their_size():
  model, params, tokens = _model((entry("window", window_size=6, num_heads=2),), 2)
  model = inside.plain(model)
  activity, at = inside.read(model, params, tokens, 40), span.sampled(40, 3)
  last = inside.read(model, params, tokens, 4)

  layers = span.of_layers(model, params, activity.inputs, at, 0)
  whole_model = span.of_model(model, params, tokens, at, 0)

  for layer, weights in activity.maps.items():
    np.testing.assert_allclose(last.maps[layer], weights[:, -4:, -4:], rtol=1e-5)
  assert [s.farthest() for s in layers.values()] == [6, 6]
  assert whole_model.farthest() == 11 and whole_model.tokens(1.0) == 11


@pytest.mark.parametrize("directions", [0, 2])
def test_influence_of_a_known_decay_falls_as_its_powers(directions):
  a, x = 0.9, jnp.zeros((1, 80, 3))
  g = jnp.full(x.shape, jnp.log(a))
  state = gated_average.init_state(1, 3)
  at = np.array([60, 79])

  def f(x):
    return gated_average.FORMS["parallel"]((), (x, g), state)[0]

  moved = jax.jit(lambda x: span.influence(f, x, at, directions))(x)
  measured = span.by_distance(np.asarray(moved), at)

  expected = (1 - a) * a ** np.arange(61) * 3**0.5
  np.testing.assert_allclose(measured.profile, expected, rtol=1e-4)
  assert measured.itself() == pytest.approx((1 - a) / (1 - a**61), rel=1e-4)
  # 1 - 0.9^7 = 0.522, 1 - 0.9^22 = 0.902
  assert (measured.tokens(0.5), measured.tokens(0.9), measured.farthest()) == (
    7,
    22,
    61,
  )


def test_influence_is_the_jacobian_norm_and_directions_estimate_it():
  layer, params, x = _apply("gru", 6)
  at = np.array([3, 5])

  def f(x):
    return layer.apply(params, x, layer.init_state(1))[0]

  jacobian = jax.jit(jax.jacrev(f))(x)[0, at, :, 0]  # [N, E, T, D]
  exact = np.sqrt(np.square(jacobian).sum((1, 3)))

  full = jax.jit(lambda x: span.influence(f, x, at))(x)
  sample = jax.jit(lambda x, seed: span.influence(f, x, at, 2, seed))
  samples = [sample(x, seed) for seed in range(40)]

  np.testing.assert_allclose(full, exact, rtol=1e-4, atol=1e-6)
  mean = np.sqrt(np.mean(np.square(samples), axis=0))
  np.testing.assert_allclose(mean, exact, rtol=0.25, atol=1e-6)
  assert not np.allclose(samples[0], exact, rtol=1e-3)


@pytest.mark.parametrize("name", ["window", "transformer_xl"])
def test_influence_reaches_exactly_the_tokens_of_the_mask(name):
  options = {"through_memory": True} if name == "transformer_xl" else {}
  layer, params, x = _apply(name, 14, **options)

  def f(x):
    return layer.apply(params, x, layer.init_state(1))[0]

  moved = np.asarray(jax.jit(lambda x: span.influence(f, x, np.arange(14)))(x))

  visible = visibility.seen(layer.mask, visibility.documents([14]), layer.num_heads)
  np.testing.assert_array_equal(moved > 0, visible)


def test_effective_rank_of_equal_singular_values_is_their_number():
  draw = np.random.default_rng(0).normal
  u, v = np.linalg.qr(draw(size=(6, 6)))[0], np.linalg.qr(draw(size=(4, 4)))[0]
  of_rank = np.stack([5 * u[:, :r] @ v[:, :r].T for r in range(5)])

  np.testing.assert_allclose(inside.effective_rank(of_rank), range(5), atol=1e-6)
  assert 1 < inside.effective_rank(np.diag([1.0, 0.1])) < 2
  memory = inside.memory(of_rank[None], is_matrix=True)
  np.testing.assert_allclose(memory.norm[0], 5 * np.sqrt(range(5)), atol=1e-9)
  assert memory.most == 4


def _sown(name, **options):
  layer, params, x = _apply(name, **options)
  _, sown = _watched(layer)(params, x, layer.init_state(1))
  gates = {name: value[0] for name, value in sown["intermediates"].items()}
  return layer, params["params"], x, gates


@pytest.mark.parametrize("name", RECURRENT)
def test_each_recurrent_memory_sows_its_decay(name):
  layer = mixer(entry(name, **example_of(name)), 8, "float32", parent=None)
  x, state = jnp.zeros((1, 12, 8)), layer.init_state(1)

  def run(key):
    params = layer.init(key, x, state)
    return layer.apply(params, x, state, mutable=["intermediates"])[1]

  sown = jax.eval_shape(run, jax.random.key(0)).get("intermediates", {})

  assert ("log_decay" in sown) == (name not in WITHOUT_DECAY)
  for (gate,) in sown.values():
    assert gate.shape[:2] in ((1, 1), (1, 12))


def test_recording_gates_does_not_change_the_output():
  layer, params, x = _apply("gru")
  y, _ = jax.jit(layer.apply)(params, x, layer.init_state(1))
  (recorded, _), _ = _watched(layer)(params, x, layer.init_state(1))
  np.testing.assert_array_equal(y, recorded)


def test_sown_decays_are_those_of_the_memory():
  heads = _sown("retention")[-1]["log_decay"]
  np.testing.assert_allclose(np.exp(heads[0, 3]), [1 - 1 / 32, 1 - 1 / 64], rtol=1e-6)

  _, params, _, gates = _sown("lru")
  np.testing.assert_allclose(gates["log_decay"][0, 0], -np.exp(params["nu"]), rtol=1e-3)

  _, params, _, gates = _sown("rglru")
  slowest = jax.nn.log_sigmoid(params["decay"])
  expected = 8 * slowest * gates["recurrence_gate"]
  np.testing.assert_allclose(gates["log_decay"], expected, rtol=1e-5)


def _steps(layer, op, params, inputs):
  """Yields each token, the state before it, and the step from that state."""
  state = op.init_state(1, layer.d_model)
  for t in range(inputs[0].shape[1]):

    def step(state, t=t):
      return op.step(params, tuple(a[:, t] for a in inputs), state)[1]

    yield t, state, step
    state = step(state)


def test_sown_gates_of_cells_are_the_derivatives_of_their_states():
  layer, p, x, gates = _sown("lstm")
  params = p["input"], p["recurrent"], p["bias"]
  for t, state, step in _steps(layer, lstm, params, (x,)):
    one = lstm.State(jnp.ones_like(state.c), jnp.zeros_like(state.h))
    (_, moved) = jax.jvp(step, (state,), (one,))
    np.testing.assert_allclose(moved.c, np.exp(gates["log_decay"][:, t]), rtol=1e-5)

  layer, p, x, gates = _sown("gru")
  params = p["input"], p["recurrent"], p["bias"], p["read_bias"]
  cut = slice(layer.d_model, 2 * layer.d_model)
  for t, state, _ in _steps(layer, gru, params, (x,)):
    z = x[:, t] @ params[0][:, cut] + state.h @ params[1][:, cut] + params[2][cut]
    np.testing.assert_allclose(gates["log_decay"][:, t], -np.log1p(np.exp(-z)), 1e-4)


def test_sown_forget_gate_of_slstm_is_that_of_its_normaliser():
  layer, params, x, gates = _sown("slstm")
  state, apply = layer.init_state(1), jax.jit(layer.apply)
  for t in range(x.shape[1]):
    previous = state.slstm
    _, state = apply({"params": params}, x[:, t : t + 1], state)
    n, m = state.slstm.n, state.slstm.m
    decayed = np.exp(gates["log_decay"][:, t] + previous.m - m) * previous.n
    np.testing.assert_allclose(n - decayed, np.exp(gates["log_input"][:, t] - m), 1e-3)


def test_gates_of_a_learned_initial_state_are_those_after_that_state():
  """A learned initial state gives the gates of that state as an ordinary one."""
  plain, params, x = _apply("lstm")
  started, _, _ = _apply("lstm", learned_start=True)
  c, h = jax.random.normal(jax.random.key(5), (2, 8))
  learned = {"start_c": c, "start_h": h, "mixer": params["params"]}

  def gates(layer, params, state):
    return _watched(layer)({"params": params}, x, state)[1]["intermediates"]

  expected = gates(plain, params["params"], lstm.State(c[None], h[None]))
  sown = gates(started, learned, started.init_state(1))["mixer"]

  assert set(expected) == {"log_decay", "input_gate"}
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), expected, sown)


def test_memory_read_in_pieces_ends_as_read_at_once():
  pattern = (entry("mamba2", num_heads=2, state_dim=4), entry("gru"))
  model, params, tokens = _model(pattern, 2)

  ends, memories = inside.states(model, params, tokens, 6)

  apply = jax.jit(lambda tokens, state: model.apply({"params": params}, tokens, state))
  _, state = apply(tokens[None], model.init_state(1))
  assert list(ends) == [7, 14, 21, 28, 35, 40]
  assert [str(k) for k in memories] == ["1 mamba2", "2 gru", "3 mamba2", "4 gru"]
  for layer, memory in memories.items():
    layer_state = state[layer.block]
    layer_state = layer_state.ssm.s if layer.entry.name == "mamba2" else layer_state.h
    last = np.asarray(layer_state[0, layer.group], np.float64)
    expected = inside.memory(last[None], last.ndim == 3)
    np.testing.assert_allclose(memory.norm[-1], expected.norm[0], rtol=1e-4)
    if last.ndim == 3:
      np.testing.assert_allclose(memory.rank[-1], expected.rank[0], rtol=1e-3)


def test_looks_measures_distance_and_spread():
  weights = np.zeros((8, 8))
  weights[np.arange(4, 8), np.arange(4, 8) - 1] = 0.25
  weights[np.arange(4, 8), np.arange(4, 8) - 3] = 0.25
  assert findings.looks(weights) == pytest.approx((50, 2, 2))


def test_infinite_and_zero_half_lives_are_clipped():
  lives = inside.half_lives(np.array([0.0, -np.inf, -np.log(2), -1e-3]))
  assert list(lives[:3]) == [inside.LONGEST, inside.SHORTEST, 1]
  assert lives[3] == pytest.approx(693.147)


PATTERN = (
  entry("gated_delta", num_heads=2, chunk_size=8),
  entry("window", window_size=6, num_heads=2, block_size=8),
)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
  """Inspects a tiny run; returns the directory, the printed text and the run."""
  root = tmp_path_factory.mktemp("looked")
  model = LMConfig(
    vocab_size=0, d_model=16, d_ff=32, pattern=PATTERN, num_groups=2, dtype="auto"
  )
  run = runs.first_checkpoint(root, model=model)
  (root / "text").write_text("memory <b>forgets</b> & remembers. " * 9)
  flags = dict(workdir=run, text=root / "text", out=root / "out", tokens=64, recent=24)
  flags |= dict(samples=8, positions=4, directions=2)
  stdout = io.StringIO()
  with contextlib.redirect_stdout(stdout):
    assert cli.run(["inspect", *(f"--{k}={v}" for k, v in flags.items())]) == 0
  return root / "out", stdout.getvalue(), run


def test_inspect_prints_one_line_that_names_its_files(looked):
  out, stdout, _ = looked
  names = {path.name for path in out.iterdir()}
  pictures = {"span", "decays", "write_strength", "memory"}
  pictures |= {"attention_2", "attention_4"}

  assert names == {f"{p}.png" for p in pictures} | {"index.html", "numbers.json"}
  (line,) = stdout.splitlines()
  assert line.startswith("64 tokens") and str(out / "index.html") in line
  assert all(f"{p}.png" in line for p in pictures)
  for path in out.glob("*.png"):
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 3000


def test_written_numbers_are_those_of_the_model(looked):
  out, _, run = looked
  numbers = json.loads((out / "numbers.json").read_text())
  loaded = load_model(run)
  text = (run.parent / "text").read_bytes()
  tokens = np.r_[256, list(text)][:64].astype(np.int32)

  activity = inside.read(inside.plain(loaded.model), loaded.params, tokens, 24)

  rows = numbers["How fast it forgets"]["rows"]
  for row, (layer, g) in zip(rows, activity.gates["log_decay"].items(), strict=True):
    assert row[0] == str(layer)
    assert row[2] == pytest.approx(np.median(np.log(2) / -g), rel=1e-4)
  spans = {row[0]: row[-1] for row in numbers["How far back it reaches"]["rows"]}
  assert spans["2 window"] == spans["4 window"] == 6
  assert spans["the whole model"] > 40
  assert len(numbers["Where it looks"]["rows"]) == 4
  assert [row[4] for row in numbers["What it holds"]["rows"]] == [8, 8]


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ({"workdir": ""}, ["--workdir is missing"]),
    ({"workdir": "nowhere"}, ["no checkpoint", "nowhere", "jaxmem train"]),
    ({"text": ""}, ["--text is missing"]),
    ({"text": "no-such.txt"}, ["no-such.txt"]),
    ({"text": "empty"}, ["empty"]),
    ({"text": "short"}, ["short has 3 tokens", "at least 15"]),
    ({"text": "corpus"}, ["24 documents", "one file"]),
    ({"tokens": 3}, ["--tokens is 3", "at least 16"]),
    ({"directions": -1}, ["--directions is -1"]),
    ({"out": "empty"}, ["--out", "empty"]),
  ],
)
def test_mistakes_are_reported_before_device_work(
  looked, flags, words, capsys, monkeypatch, tmp_path
):
  monkeypatch.chdir(looked[2].parent)
  (looked[2].parent / "empty").write_bytes(b"")
  (looked[2].parent / "short").write_bytes(b"abc")
  monkeypatch.setattr(
    "jaxmem.training.load.load_model", lambda *_: pytest.fail("device work")
  )
  values = {"workdir": "run", "text": "text", "out": str(tmp_path / "out")} | flags

  assert cli.run(["inspect", *(f"--{k}={v}" for k, v in values.items())]) == 2

  err = capsys.readouterr().err
  assert all(word in err for word in words), err


def test_text_beyond_a_capacity_is_refused(tmp_path, capsys):
  pattern = (entry("attention", num_heads=2, capacity=32, block_size=8),)
  model = LMConfig(vocab_size=0, d_model=16, d_ff=32, pattern=pattern, dtype="auto")
  run = runs.first_checkpoint(tmp_path, model=model)
  (tmp_path / "text").write_text("a" * 100)

  code = cli.run(["inspect", "--workdir", str(run), "--text", str(tmp_path / "text")])

  assert code == 2
  err = capsys.readouterr().err
  assert "holds 32 tokens" in err and "101" in err and "--tokens 32" in err


@pytest.mark.needs("browser")
def test_page_shows_its_words_tables_and_pictures_in_a_browser(looked, tmp_path):
  import matplotlib.image

  out, _, _ = looked
  page = out / "index.html"
  seen = browser.measured(page, tmp_path, 400)
  dom = seen["dom"]
  shot = tmp_path / "shot.png"
  size = "--window-size=1100,1400"
  browser.browse(page, tmp_path / "profile", f"--screenshot={shot}", size)

  headings = re.findall(r"<h2>(.*?)</h2>", dom)
  assert headings == [
    "The text", "How far back it reaches", "How fast it forgets", "Write strength",
    "What it holds", "Where it looks",
  ]  # fmt: skip
  assert len(seen["pixels"]) == 6 and min(seen["pixels"]) > 100_000
  assert seen["width"] <= seen["window"] == 400
  assert dom.count("<table>") == 6 and "<td>4 window, head 2</td>" in dom
  assert "memory &lt;b&gt;forgets&lt;/b&gt; &amp; remembers." in dom
  pixels = matplotlib.image.imread(shot)[..., :3]
  assert pixels.shape[:2] == (1400, 1100)
  # words, tables and the first picture: neither blank nor torn
  dark = (pixels.mean(-1) < 0.5).mean(axis=1)
  assert (dark[:700] > 0).mean() > 0.2 and (dark[700:] > 0).mean() > 0.2
  assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
