"""Which code computes a softmax: who refuses what, and that none changes the answer."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers, ops
from jaxmem.ops.attention_core import dispatch, masks
from jaxmem.ops.attention_core.dispatch import Ask, Sight
from jaxmem.ops.attention_core.masks import Causal, Document, First, Window
from jaxmem.ops.attention_core.scores import ALiBi, Scores
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.parallel import mesh as meshes
from jaxmem.testing import check_laws
from jaxmem.testing.suite import with_gradients

DEVICES = 8

PLAIN = Scores(rotary=None)
MASKS = [Document(), Causal(), Causal() & Window(1), Causal() & Window(5)]


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_edges_of_what_cudnn_is_asked_are_ours_to_the_token(mask, key, monkeypatch):
  """The call that cuDNN would get, on JAX's own dense implementation of it."""
  ask = _ask(key, 12, mask=mask)
  asked = []

  def spy(*args, **kwargs):
    asked.append(kwargs.pop("implementation"))
    return plain(*args, **kwargs, implementation="xla")

  plain = jax.nn.dot_product_attention
  monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
  got = dispatch.CUDNN.run(ask, _tokens(12))

  assert asked == ["cudnn"]
  np.testing.assert_allclose(got, _dense(ask, _tokens(12)), atol=1e-6)


@pytest.mark.parametrize("mask", [*MASKS, Causal() & Window(130)], ids=str)
def test_splash_is_the_dense_softmax(mask, key):
  """Its kernel, interpreted: values and gradients, documents anywhere."""
  ask = _ask(key, 256, mask=mask, size=128)._replace(score=Scores(None, cap=3.0))
  tokens = _tokens(256, 77, 128)
  splash = functools.partial(dispatch._splash, interpret=True)
  weights = jax.random.normal(key, ask.v.shape[:2] + ask.q.shape[2:])

  def total(run, *qkv):
    y = run(ask._replace(**dict(zip("qkv", qkv, strict=True))), tokens)
    return (y * weights).sum(), y

  grad = lambda run: jax.grad(functools.partial(total, run), (0, 1, 2), has_aux=True)
  got, want = (jax.jit(grad(run))(*ask[:3]) for run in (splash, _dense))

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, want)


def _ask(key, length, mask=MASKS[1], size=8, dtype=jnp.float32):
  draw = lambda i, heads: jax.random.normal(
    jax.random.fold_in(key, i), (1, length, heads, size), dtype
  )
  return Ask(draw(0, 4), draw(1, 2), draw(2, 2), mask, PLAIN, False, False)


def _tokens(length, *borders):
  place = jnp.arange(length)[None]
  start = jnp.zeros_like(place)
  for border in borders:
    start = jnp.where(place >= border, border, start)
  return Tokens(place, start)


def _dense(ask, tokens):
  reset = (tokens.place == tokens.start) & (tokens.place > 0)
  seen = masks.dense(ask.mask, reset, 4)
  k, v = (jnp.repeat(a, 2, axis=2) for a in (ask.k, ask.v))
  s = ask.score.factor(ask.q) * jnp.einsum("bqhk,bshk->bhqs", ask.q, k)
  if ask.score.cap:
    s = ask.score.cap * jnp.tanh(s / ask.score.cap)
  p = jax.nn.softmax(jnp.where(seen, s, -jnp.inf))
  return jnp.einsum("bhqs,bshv->bqhv", p, v)


class _Client:
  platform_version = "PJRT C API cuda 13"


@dataclasses.dataclass
class _Device:
  platform: str
  compute_capability: str = "9.0"
  device_kind: str = "some device"
  client = _Client()


GPU, TPU = _Device("gpu"), _Device("tpu")
OLD, HALF = _Device("gpu", "7.5"), {"dtype": jnp.bfloat16}
REFUSED = [
  ("cudnn", _Device("cpu"), HALF, {}, "needs an NVIDIA GPU, this is some device"),
  ("cudnn", OLD, HALF, {}, "needs compute capability 8.0, this has 7.5"),
  ("cudnn", GPU, {}, {}, "needs bfloat16 or float16, not float32"),
  ("cudnn", GPU, HALF | {"size": 12}, {}, "head_dim 12 is no multiple of 8"),
  ("cudnn", GPU, HALF, {"score": Scores(cap=5.0)}, "does not cap"),
  ("cudnn", GPU, HALF, {"score": Scores(bias=ALiBi(4))}, "knows no bias"),
  ("cudnn", GPU, HALF, {"merged": True}, "denominator is needed"),
  ("cudnn", GPU, HALF, {"cut": True}, "share the time"),
  ("cudnn", GPU, HALF | {"mask": Causal() | First(2)}, {}, "no word for the mask"),
  ("cudnn", GPU, HALF, {"v": jnp.zeros((1, 128, 2, 4), jnp.bfloat16)}, "values of 4"),
  ("splash", GPU, {}, {}, "needs a TPU"),
  ("splash", TPU, HALF, {}, "head_dim 8 is no multiple of 16"),
  ("splash", TPU, HALF | {"size": 64, "length": 130}, {}, "130 tokens are no multiple"),
  ("splash", TPU, {"size": 64}, {}, "needs bfloat16, not float32"),
  ("splash", TPU, HALF | {"size": 64}, {"merged": True}, "denominator is needed"),
]


@pytest.mark.parametrize("name, device, made, changed, why", REFUSED)
def test_backends_say_why_they_refuse(
  name, device, made, changed, why, key, monkeypatch
):
  monkeypatch.setattr(dispatch, "_device", lambda: device)
  ask = _ask(key, **{"length": 128} | made)._replace(**changed)

  assert why in dispatch.BACKENDS[name].refuses(ask)
  with pytest.raises(ValueError, match=f"{name}: .*{why}") as error:
    dispatch.choose(name, ask)
  assert all(f"{other}: " in str(error.value) for other in dispatch.BACKENDS)
  assert dispatch.choose("auto", ask) is None


def test_auto_takes_the_first_that_can(key, monkeypatch):
  ask = _ask(key, 128, size=128, dtype=jnp.bfloat16)
  for device, want in [(GPU, dispatch.CUDNN), (TPU, dispatch.SPLASH)]:
    monkeypatch.setattr(dispatch, "_device", lambda device=device: device)
    assert dispatch.choose("auto", ask) is want
    assert dispatch.choose("xla", ask) is None
  mesh = meshes.make(meshes.MeshConfig(data=-1))
  with jax.set_mesh(mesh):
    assert "devices of a mesh" in dispatch.SPLASH.refuses(ask)


def test_masks_in_the_words_of_others():
  assert dispatch.sight(Window(4) & Causal(), 9) == Sight(True, 4)
  assert dispatch.sight(Causal() & Window(9), 9) == Sight(True, None)
  assert dispatch.sight(Document(), 9) == Sight(False, None)
  assert dispatch.sight(Window(4), 9) is None
  assert dispatch.sight(Causal() & Window(4) & First(2), 9) is None


def _dense_by_jax(ask, tokens):
  with jax.numpy_dtype_promotion("standard"):  # it mixes bfloat16 and float32
    return dispatch.by_jax(ask, "xla")


STAND_IN = dispatch.CUDNN._replace(refuses=dispatch._common, run=_dense_by_jax)


@pytest.mark.full
@pytest.mark.parametrize("name", ["window", "attention"])
def test_laws_hold_where_another_backend_takes_what_it_can(name, monkeypatch):
  """Memory, documents and gradients, with JAX's dense code in the place of cuDNN."""
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", STAND_IN)
  check_laws(ops.get(name))


def test_another_backend_changes_neither_values_nor_gradients(key, monkeypatch):
  """From the empty memory, where it is taken, and from a full one, where it is not."""
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", STAND_IN)
  window = ops.get("window")
  params, inputs, state = jax.jit(lambda: window.example(key, 2, 12))()
  forms = [
    functools.partial(window.parallel, implementation=i) for i in ("auto", "xla")
  ]
  run, plain = (jax.jit(with_gradients(form)) for form in forms)
  y, after = jax.jit(lambda *args: window.parallel(*args))(params, inputs, state)
  for memory in (state, jax.tree.map(jnp.zeros_like, state)):
    args = params, inputs, memory, None, y, [after.k, after.v]
    same = functools.partial(np.testing.assert_allclose, atol=1e-5)
    jax.tree.map(same, run(*args), plain(*args))


def test_what_a_backend_takes_is_decided_by_the_running_call(key, monkeypatch):
  """Only from the empty memory, and within one document."""
  marked = dispatch.CUDNN._replace(
    refuses=dispatch._common, run=lambda ask, tokens: jnp.full(ask.q.shape, 7.0)
  )
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", marked)
  op = ops.get("window")
  params, inputs, state = op.example(key, 2, 12)
  empty = jax.tree.map(jnp.zeros_like, state)
  first = jnp.zeros((2, 12), bool).at[:, 0].set(True)
  run = jax.jit(lambda *args: op.parallel(*args))  # traced with what is patched here
  taken = lambda *args: bool((run(params, inputs, *args)[0] == 7).all())

  assert taken(empty) and taken(empty, first) and taken(state, first)
  assert not taken(state) and not taken(empty, first.at[1, 4].set(True))


def test_an_encoder_of_one_document_is_taken(key, monkeypatch):
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", STAND_IN)
  op = ops.get("encoder_attention")
  params, inputs, state = op.example(key, 2, 12)
  border = jnp.zeros((2, 12), bool).at[0, 5].set(True)
  for reset in (None, border):
    both = lambda *args: [form(*args)[0] for form in op.FORMS.values()]
    got, want = jax.jit(both)(params, inputs, state, reset)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_mixer_refuses_by_name_where_it_cannot(key):
  mixer = mixers.get("window").Mixer(8, implementation="cudnn")
  x = jnp.zeros((1, 4, 8))
  with pytest.raises(ValueError, match="'cudnn' refuses. cudnn: it needs an NVIDIA"):
    jax.eval_shape(mixer.init, key, x, mixer.init_state(1))
  with pytest.raises(ValueError, match="it is one of auto, cudnn, splash, xla"):
    mixer = mixer.clone(implementation="flash")
    jax.eval_shape(mixer.init, key, x, mixer.init_state(1))
