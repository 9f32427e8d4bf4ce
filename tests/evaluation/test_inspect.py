"""Looking inside: numbers against cases that are known, and the page in a browser."""

import contextlib
import functools
import io
import json
import re
import shutil
import subprocess

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
from support import runs

ATTENTION = [n for n in mixers.carrying() if mixers.get(n).Mixer.family == "attention"]
RECURRENT = [n for n in mixers.carrying() if n not in ATTENTION]
# They keep all that they hold, or have no gates to show.
WITHOUT_DECAY = {"delta_net", "linear_attention", "rnn"}


def _model(pattern, groups=1, length=40):
  """A new model, its parameters and a text."""
  model = LM(LMConfig(11, d_model=8, d_ff=16, pattern=pattern, num_groups=groups))
  tokens = np.random.default_rng(0).integers(0, 11, length).astype(np.int32)
  given = jnp.asarray(tokens)[None], model.init_state(1)
  return model, _drawn(model, *given)["params"], tokens


def _apply(name, length=12, **options):
  """A mixer with examples' options, its parameters and its input."""
  layer = mixer(entry(name, **example_of(name) | options), 8, "float32", parent=None)
  x = jax.random.normal(jax.random.key(2), (1, length, 8))
  return layer, _drawn(layer, x, layer.init_state(1)), x


def _drawn(module, *given):
  """Random parameters, without the price of compiling `init`."""
  shapes = unboxed(jax.eval_shape(module.init, jax.random.key(0), *given))
  draw = np.random.default_rng(1).normal
  return jax.tree.map(lambda a: jnp.asarray(draw(size=a.shape) / 2, a.dtype), shapes)


def _watched(layer):
  return jax.jit(functools.partial(layer.apply, mutable=["intermediates"]))


@pytest.mark.parametrize(
  ("name", "options"),
  [*((name, {}) for name in ATTENTION), ("window", {"learned_sink": True})],
)
def test_map_of_attention_times_values_is_what_the_layer_reads(name, options):
  layer, params, x = _apply(name, **options)

  def take(call, args, kwargs, context):
    y = call(*args, **kwargs)
    if context.method_name == "_attend":
      whole = inside.attention_map(call, args, kwargs, x.shape[1])
      context.module.sow("intermediates", "seen", (y[0], args[2][2::3], whole))
    return y

  with nn.intercept_methods(take):
    _, sown = _watched(layer)(params, x, layer.init_state(1))

  ((y, values, weights),) = sown["intermediates"]["seen"]
  group = y.shape[2] // values[0].shape[2]
  read = [jnp.einsum("btas,bsav->btav", weights, v.repeat(group, 2)) for v in values]
  first = getattr(layer, "num_global", 0) if len(read) == 2 else 0
  np.testing.assert_allclose(y[:, first:], read[0][:, first:], atol=2e-6)
  np.testing.assert_allclose(y[:, :first], read[-1][:, :first], atol=2e-6)
  assert weights.min() >= 0 and weights.sum(-1).max() < 1 + 1e-5


def test_span_of_windows_is_their_size():
  model, params, tokens = _model((entry("window", window_size=6, num_heads=2),), 2)
  model = inside.plain(model)
  seen, at = inside.read(model, params, tokens, 40), span.sampled(40, 3)
  last = inside.read(model, params, tokens, 4)

  layers = span.of_layers(model, params, seen.inputs, at, 0)
  whole = span.of_model(model, params, tokens, at, 0)

  for layer, weights in seen.maps.items():
    np.testing.assert_allclose(last.maps[layer], weights[:, -4:, -4:], rtol=1e-5)
  assert [s.farthest() for s in layers.values()] == [6, 6]
  assert whole.farthest() == 11 and whole.tokens(1.0) == 11


@pytest.mark.parametrize("directions", [0, 2])
def test_influence_of_a_known_decay_falls_as_its_powers(directions):
  a, x = 0.9, jnp.zeros((1, 80, 3))
  g = jnp.full(x.shape, jnp.log(a))
  state = gated_average.init_state(1, 3)
  f = lambda x: gated_average.FORMS["parallel"]((), (x, g), state)[0]
  at = np.array([60, 79])

  moved = jax.jit(lambda x: span.influence(f, x, at, directions))(x)
  found = span.by_distance(np.asarray(moved), at)

  expected = (1 - a) * a ** np.arange(61) * 3**0.5
  np.testing.assert_allclose(found.profile, expected, rtol=1e-4)
  assert found.itself() == pytest.approx((1 - a) / (1 - a**61), rel=1e-4)
  # 1 - 0.9^7 = 0.522, 1 - 0.9^22 = 0.902
  assert (found.tokens(0.5), found.tokens(0.9), found.farthest()) == (7, 22, 61)


def test_influence_is_the_norm_of_the_jacobian_and_its_sample_in_the_mean():
  layer, params, x = _apply("gru", 6)
  f = lambda x: layer.apply(params, x, layer.init_state(1))[0]
  at = np.array([3, 5])
  jacobian = jax.jit(jax.jacrev(f))(x)[0, at, :, 0]  # [N, E, T, D]
  exact = np.sqrt(np.square(jacobian).sum((1, 3)))

  all_ = jax.jit(lambda x: span.influence(f, x, at))(x)
  sample = jax.jit(lambda x, seed: span.influence(f, x, at, 2, seed))
  some = [sample(x, seed) for seed in range(40)]

  np.testing.assert_allclose(all_, exact, rtol=1e-4, atol=1e-6)
  mean = np.sqrt(np.mean(np.square(some), axis=0))
  np.testing.assert_allclose(mean, exact, rtol=0.25, atol=1e-6)
  assert not np.allclose(some[0], exact, rtol=1e-3)


@pytest.mark.parametrize("name", ["window", "transformer_xl"])
def test_influence_reaches_exactly_what_the_mask_shows(name):
  options = {"through_memory": True} if name == "transformer_xl" else {}
  layer, params, x = _apply(name, 14, **options)
  f = lambda x: layer.apply(params, x, layer.init_state(1))[0]

  moved = np.asarray(jax.jit(lambda x: span.influence(f, x, np.arange(14)))(x))

  seen = visibility.seen(layer.mask, visibility.documents([14]), layer.num_heads)
  np.testing.assert_array_equal(moved > 0, seen)


def test_effective_rank_of_equal_singular_values_is_their_number():
  draw = np.random.default_rng(0).normal
  u, v = np.linalg.qr(draw(size=(6, 6)))[0], np.linalg.qr(draw(size=(4, 4)))[0]
  of_rank = np.stack([5 * u[:, :r] @ v[:, :r].T for r in range(5)])

  np.testing.assert_allclose(inside.effective_rank(of_rank), range(5), atol=1e-6)
  assert 1 < inside.effective_rank(np.diag([1.0, 0.1])) < 2
  found = inside.memory(of_rank[None], is_matrix=True)
  np.testing.assert_allclose(found.norm[0], 5 * np.sqrt(range(5)), atol=1e-9)
  assert found.most == 4


def _sown(name, **options):
  layer, params, x = _apply(name, **options)
  _, sown = _watched(layer)(params, x, layer.init_state(1))
  gates = {name: value[0] for name, value in sown["intermediates"].items()}
  return layer, params["params"], x, gates


@pytest.mark.parametrize("name", RECURRENT)
def test_every_recurrent_memory_shows_how_it_decays(name):
  layer = mixer(entry(name, **example_of(name)), 8, "float32", parent=None)
  x, state = jnp.zeros((1, 12, 8)), layer.init_state(1)

  def run(key):
    params = layer.init(key, x, state)
    return layer.apply(params, x, state, mutable=["intermediates"])[1]

  sown = jax.eval_shape(run, jax.random.key(0)).get("intermediates", {})

  assert ("log_decay" in sown) == (name not in WITHOUT_DECAY)
  for (gate,) in sown.values():
    assert gate.shape[:2] in ((1, 1), (1, 12))


def test_looking_changes_nothing():
  layer, params, x = _apply("gru")
  y, _ = jax.jit(layer.apply)(params, x, layer.init_state(1))
  (seen, _), _ = _watched(layer)(params, x, layer.init_state(1))
  np.testing.assert_array_equal(y, seen)


def test_fixed_decays_shown_are_those_of_the_memory():
  heads = _sown("retention")[-1]["log_decay"]
  np.testing.assert_allclose(np.exp(heads[0, 3]), [1 - 1 / 32, 1 - 1 / 64], rtol=1e-6)

  _, params, _, gates = _sown("lru")
  np.testing.assert_allclose(gates["log_decay"][0, 0], -np.exp(params["nu"]), rtol=1e-3)

  _, params, _, gates = _sown("rglru")
  slowest = jax.nn.log_sigmoid(params["decay"])
  expected = 8 * slowest * gates["recurrence_gate"]
  np.testing.assert_allclose(gates["log_decay"], expected, rtol=1e-5)


def _steps(layer, op, params, inputs):
  """State before and after each token, and how far the first fields follow."""
  state = op.init_state(1, layer.d_model)
  for t in range(inputs[0].shape[1]):
    step = lambda s, t=t: op.step(params, tuple(a[:, t] for a in inputs), s)[1]
    yield t, state, step
    state = step(state)


def test_gates_shown_of_cells_are_what_their_states_follow():
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


def test_forget_gate_shown_of_slstm_is_what_its_normaliser_follows():
  layer, params, x, gates = _sown("slstm")
  state, apply = layer.init_state(1), jax.jit(layer.apply)
  for t in range(x.shape[1]):
    before = state.slstm
    _, state = apply({"params": params}, x[:, t : t + 1], state)
    n, m = state.slstm.n, state.slstm.m
    kept = np.exp(gates["log_decay"][:, t] + before.m - m) * before.n
    np.testing.assert_allclose(n - kept, np.exp(gates["log_input"][:, t] - m), 1e-3)


def test_gates_of_a_learned_start_are_those_after_its_state():
  """Beginning from a memory that is learned is beginning from that memory."""
  plain, params, x = _apply("lstm")
  started, _, _ = _apply("lstm", learned_start=True)
  start = lstm.State(*jax.random.normal(jax.random.key(5), (2, 8)))
  given = {"start_c": start.c, "start_h": start.h, "mixer": params["params"]}
  look = lambda layer, params, state: _watched(layer)({"params": params}, x, state)[1][
    "intermediates"
  ]

  here = look(plain, params["params"], jax.tree.map(lambda a: a[None], start))
  there = look(started, given, started.init_state(1))["mixer"]

  assert set(here) == {"log_decay", "input_gate"}
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), here, there)


def test_memory_read_in_pieces_ends_as_read_at_once():
  pattern = (entry("mamba2", num_heads=2, state_dim=4), entry("gru"))
  model, params, tokens = _model(pattern, 2)

  ends, found = inside.states(model, params, tokens, 6)

  whole = jax.jit(lambda tokens, state: model.apply({"params": params}, tokens, state))
  _, state = whole(tokens[None], model.init_state(1))
  assert list(ends) == [7, 14, 21, 28, 35, 40]
  assert [str(k) for k in found] == ["1 mamba2", "2 gru", "3 mamba2", "4 gru"]
  for layer, memory in found.items():
    own = state[layer.block]
    own = own.ssm.s if layer.entry.name == "mamba2" else own.h
    last = np.asarray(own[0, layer.group], np.float64)
    expected = inside.memory(last[None], last.ndim == 3)
    np.testing.assert_allclose(memory.norm[-1], expected.norm[0], rtol=1e-4)
    if last.ndim == 3:
      np.testing.assert_allclose(memory.rank[-1], expected.rank[0], rtol=1e-3)


def test_looks_tells_distance_and_spread():
  weights = np.zeros((8, 8))
  weights[np.arange(4, 8), np.arange(4, 8) - 1] = 0.25
  weights[np.arange(4, 8), np.arange(4, 8) - 3] = 0.25
  assert findings.looks(weights) == pytest.approx((50, 2, 2))


def test_never_and_at_once_have_half_lives_that_can_be_drawn():
  lives = inside.half_lives(np.array([0.0, -np.inf, -np.log(2), -1e-3]))
  assert list(lives[:3]) == [inside.LONGEST, inside.SHORTEST, 1]
  assert lives[3] == pytest.approx(693.147)


PATTERN = (
  entry("gated_delta", num_heads=2, chunk_size=8),
  entry("window", window_size=6, num_heads=2, block_size=8),
)


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
  """A tiny run that was looked into: the directory, what was said, the run."""
  root = tmp_path_factory.mktemp("looked")
  model = LMConfig(
    vocab_size=0, d_model=16, d_ff=32, pattern=PATTERN, num_groups=2, dtype="auto"
  )
  run = runs.first_checkpoint(root, model=model)
  (root / "text").write_text("memory <b>forgets</b> & remembers. " * 9)
  flags = dict(workdir=run, text=root / "text", out=root / "out", tokens=64, recent=24)
  flags |= dict(samples=8, positions=4, directions=2)
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    assert cli.run(["inspect", *(f"--{k}={v}" for k, v in flags.items())]) == 0
  return root / "out", said.getvalue(), run


def test_inspect_says_in_one_line_what_it_wrote(looked):
  out, said, _ = looked
  names = {path.name for path in out.iterdir()}
  pictures = {"span", "decays", "write_strength", "memory"}
  pictures |= {"attention_2", "attention_4"}

  assert names == {f"{p}.png" for p in pictures} | {"index.html", "numbers.json"}
  (line,) = said.splitlines()
  assert line.startswith("64 tokens") and str(out / "index.html") in line
  assert all(f"{p}.png" in line for p in pictures)
  for path in out.glob("*.png"):
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 3000


def test_numbers_written_are_those_of_the_model(looked):
  out, _, run = looked
  numbers = json.loads((out / "numbers.json").read_text())
  loaded = load_model(run)
  text = (run.parent / "text").read_bytes()
  tokens = np.r_[256, list(text)][:64].astype(np.int32)

  seen = inside.read(inside.plain(loaded.model), loaded.params, tokens, 24)

  rows = numbers["How fast it forgets"]["rows"]
  for row, (layer, g) in zip(rows, seen.gates["log_decay"].items(), strict=True):
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
def test_mistakes_are_said_before_device_work(
  looked, flags, words, capsys, monkeypatch, tmp_path
):
  monkeypatch.chdir(looked[2].parent)
  (looked[2].parent / "empty").write_bytes(b"")
  (looked[2].parent / "short").write_bytes(b"abc")
  monkeypatch.setattr(
    "jaxmem.training.load.load_model", lambda *_: pytest.fail("device work")
  )
  given = {"workdir": "run", "text": "text", "out": str(tmp_path / "out")} | flags

  assert cli.run(["inspect", *(f"--{k}={v}" for k, v in given.items())]) == 2

  said = capsys.readouterr().err
  assert all(word in said for word in words), said


def test_text_beyond_a_capacity_is_refused(tmp_path, capsys):
  pattern = (entry("attention", num_heads=2, capacity=32, block_size=8),)
  model = LMConfig(vocab_size=0, d_model=16, d_ff=32, pattern=pattern, dtype="auto")
  run = runs.first_checkpoint(tmp_path, model=model)
  (tmp_path / "text").write_text("a" * 100)

  code = cli.run(["inspect", "--workdir", str(run), "--text", str(tmp_path / "text")])

  assert code == 2
  said = capsys.readouterr().err
  assert "holds 32 tokens" in said and "101" in said and "--tokens 32" in said


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--hide-scrollbars",
]  # fmt: skip
# What the browser made of every image, written where `--dump-dom` shows it.
MEASURE = """<script>addEventListener("load", () => { document.body.dataset.sizes =
[...document.images].map(i => i.complete ? i.naturalWidth * i.naturalHeight : 0)
.join(" ") })</script>"""


def _browse(page, profile, *flags):
  flags = [*QUIET, f"--user-data-dir={profile}", *flags, page.as_uri()]
  done = subprocess.run([CHROMIUM, *flags], capture_output=True, text=True, timeout=120)
  assert done.returncode == 0, done.stderr
  return done.stdout


@pytest.mark.needs("browser")
def test_page_shows_its_words_tables_and_pictures_in_a_browser(looked, tmp_path):
  import matplotlib.image

  out, _, _ = looked
  page = tmp_path / "page.html"  # away from the pictures: it stands alone
  page.write_text((out / "index.html").read_text().replace("</body>", MEASURE))

  dom = _browse(page, tmp_path / "profile", "--dump-dom")
  shot = tmp_path / "shot.png"
  size = "--window-size=1100,1400"
  _browse(page, tmp_path / "profile", f"--screenshot={shot}", size)

  headings = re.findall(r"<h2>(.*?)</h2>", dom)
  assert headings == [
    "The text", "How far back it reaches", "How fast it forgets", "Write strength",
    "What it holds", "Where it looks",
  ]  # fmt: skip
  sizes = list(map(int, re.search(r'data-sizes="([\d ]*)"', dom)[1].split()))
  assert len(sizes) == 6 and min(sizes) > 100_000
  assert dom.count("<table>") == 6 and "<td>4 window, head 2</td>" in dom
  assert "memory &lt;b&gt;forgets&lt;/b&gt; &amp; remembers." in dom
  pixels = matplotlib.image.imread(shot)[..., :3]
  assert pixels.shape[:2] == (1400, 1100)
  # words, tables and the first picture: neither blank nor torn
  dark = (pixels.mean(-1) < 0.5).mean(axis=1)
  assert (dark[:700] > 0).mean() > 0.2 and (dark[700:] > 0).mean() > 0.2
  assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
