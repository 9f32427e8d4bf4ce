"""Which code computes a softmax: backends refuse by name, and none changes values."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import mixers, ops
from jaxmem.ops.attention_core import dispatch, masks
from jaxmem.ops.attention_core.dispatch import LibraryMask
from jaxmem.ops.attention_core.masks import Causal, Document, First, Window
from jaxmem.ops.attention_core.scores import ALiBi, Scores
from jaxmem.ops.attention_core.spec import AttentionSpec
from jaxmem.ops.attention_core.tokens import Tokens
from jaxmem.parallel import mesh as meshes
from jaxmem.testing import check_laws
from jaxmem.testing.suite import with_gradients

DEVICES = 8

PLAIN = Scores(rotary=None)
MASKS = [Document(), Causal(), Causal() & Window(1), Causal() & Window(5)]


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_the_mask_of_the_cudnn_call_is_ours_to_the_token(mask, key, monkeypatch):
  """The call that cuDNN would get is computed by JAX's dense implementation."""
  spec, qkv = _spec(mask=mask), _qkv(key, 12)
  implementations = []

  def spy(*args, **kwargs):
    implementations.append(kwargs.pop("implementation"))
    return plain(*args, **kwargs, implementation="xla")

  plain = jax.nn.dot_product_attention
  monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
  got = dispatch.CUDNN.run(spec, *qkv, _tokens(12))

  assert implementations == ["cudnn"]
  np.testing.assert_allclose(got, _dense(spec, *qkv, _tokens(12)), atol=1e-6)


@pytest.mark.parametrize("mask", [*MASKS, Causal() & Window(130)], ids=str)
def test_splash_is_the_dense_softmax(mask, key):
  """The interpreted kernel has the values and gradients, for documents anywhere."""
  qkv = _qkv(key, 256, size=128)
  spec = _spec(mask=mask, scores=Scores(None, cap=3.0))
  tokens = _tokens(256, 77, 128)
  splash = functools.partial(dispatch._splash, interpret=True)
  weights = jax.random.normal(key, qkv[0].shape)

  def total(run, *qkv):
    y = run(spec, *qkv, tokens)
    return (y * weights).sum(), y

  def grad(run):
    return jax.grad(functools.partial(total, run), (0, 1, 2), has_aux=True)

  got, want = (jax.jit(grad(run))(*qkv) for run in (splash, _dense))

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), got, want)


def _qkv(key, length, size=8, dtype=jnp.float32, value_size=None):
  def draw(i, heads, size):
    return jax.random.normal(
      jax.random.fold_in(key, i), (1, length, heads, size), dtype
    )

  return draw(0, 4, size), draw(1, 2, size), draw(2, 2, value_size or size)


def _spec(mask=MASKS[1], scores=PLAIN, **options):
  return AttentionSpec(mask, scores, **options)


def _tokens(length, *borders):
  position = jnp.arange(length)[None]
  start = jnp.zeros_like(position)
  for border in borders:
    start = jnp.where(position >= border, border, start)
  return Tokens(position, start)


def _dense(spec, q, k, v, tokens):
  reset = (tokens.position == tokens.start) & (tokens.position > 0)
  visible = masks.dense(spec.mask, reset, 4)
  k, v = (jnp.repeat(a, 2, axis=2) for a in (k, v))
  s = spec.scores.factor(q) * jnp.einsum("bqhk,bshk->bhqs", q, k)
  if spec.scores.cap:
    s = spec.scores.cap * jnp.tanh(s / spec.scores.cap)
  p = jax.nn.softmax(jnp.where(visible, s, -jnp.inf))
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
  ("cudnn", GPU, HALF, {"scores": Scores(cap=5.0)}, "does not cap"),
  ("cudnn", GPU, HALF, {"scores": Scores(bias=ALiBi(4))}, "knows no bias"),
  ("cudnn", GPU, HALF, {"with_lse": True}, "denominator is needed"),
  ("cudnn", GPU, HALF, {"scores": Scores(sink=True)}, "denominator is needed"),
  ("cudnn", GPU, HALF, {"mask": Causal() | First(2)}, "no word for the mask"),
  ("cudnn", GPU, HALF | {"value_size": 4}, {}, "values of 4"),
  ("splash", GPU, {}, {}, "needs a TPU"),
  ("splash", TPU, HALF, {}, "head_dim 8 is no multiple of 16"),
  ("splash", TPU, HALF | {"size": 64, "length": 130}, {}, "130 tokens are no multiple"),
  ("splash", TPU, {"size": 64}, {}, "needs bfloat16, not float32"),
  ("splash", TPU, HALF | {"size": 64}, {"with_lse": True}, "denominator is needed"),
]


@pytest.mark.parametrize("name, device, arrays, options, why", REFUSED)
def test_backends_say_why_they_refuse(
  name, device, arrays, options, why, key, monkeypatch
):
  monkeypatch.setattr(dispatch, "_device", lambda: device)
  qkv = _qkv(key, **{"length": 128} | arrays)
  spec = _spec(**options, implementation=name)

  assert why in dispatch.BACKENDS[name].refuses(spec, *qkv)
  with pytest.raises(ValueError, match=f"{name}: .*{why}") as error:
    dispatch.choose(spec, *qkv)
  assert all(f"{other}: " in str(error.value) for other in dispatch.BACKENDS)
  assert dispatch.choose(_spec(**options, implementation="auto"), *qkv) is None


def test_auto_takes_the_first_that_can(key, monkeypatch):
  qkv = _qkv(key, 128, size=128, dtype=jnp.bfloat16)
  auto, xla = (_spec(implementation=name) for name in ("auto", "xla"))
  for device, want in [(GPU, dispatch.CUDNN), (TPU, dispatch.SPLASH)]:
    monkeypatch.setattr(dispatch, "_device", lambda device=device: device)
    assert dispatch.choose(auto, *qkv) is want
    assert dispatch.choose(xla, *qkv) is None
  mesh = meshes.make(meshes.MeshConfig(data=-1))
  with jax.set_mesh(mesh):
    assert "devices of a mesh" in dispatch.SPLASH.refuses(auto, *qkv)


def test_no_other_backend_shares_the_time_of_a_call_among_devices(key, monkeypatch):
  monkeypatch.setattr(dispatch, "_device", lambda: GPU)
  qkv = _qkv(key, 128, dtype=jnp.bfloat16)

  assert dispatch.choose(_spec(implementation="auto"), *qkv, sharded=True) is None
  with pytest.raises(ValueError, match="cudnn: devices share the time of the call"):
    dispatch.choose(_spec(implementation="cudnn"), *qkv, sharded=True)


def test_masks_become_arguments_of_other_backends():
  assert dispatch.library_mask(Window(4) & Causal(), 9) == LibraryMask(True, 4)
  assert dispatch.library_mask(Causal() & Window(9), 9) == LibraryMask(True, None)
  assert dispatch.library_mask(Document(), 9) == LibraryMask(False, None)
  assert dispatch.library_mask(Window(4), 9) is None
  assert dispatch.library_mask(Causal() & Window(4) & First(2), 9) is None


def _dense_by_jax(spec, q, k, v, tokens):
  with jax.numpy_dtype_promotion("standard"):  # it mixes bfloat16 and float32
    return dispatch.by_jax(spec, q, k, v, "xla")


STAND_IN = dispatch.CUDNN._replace(refuses=dispatch._common, run=_dense_by_jax)


@pytest.mark.full
@pytest.mark.parametrize("name", ["window", "attention"])
def test_laws_hold_where_another_backend_takes_what_it_can(name, monkeypatch):
  """Memory, documents and gradients are right with JAX's dense code for cuDNN."""
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", STAND_IN)
  check_laws(ops.get(name))


def test_another_backend_changes_neither_values_nor_gradients(key, monkeypatch):
  """The stand-in for cuDNN takes calls from the empty memory only."""
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
  """A backend is used only from the empty memory and within one document."""
  marked = dispatch.CUDNN._replace(
    refuses=dispatch._common, run=lambda spec, q, *_: jnp.full(q.shape, 7.0)
  )
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", marked)
  op = ops.get("window")
  params, inputs, state = op.example(key, 2, 12)
  empty = jax.tree.map(jnp.zeros_like, state)
  first = jnp.zeros((2, 12), bool).at[:, 0].set(True)
  run = jax.jit(lambda *args: op.parallel(*args))  # traced with what is patched here

  def is_taken(*args):
    return bool((run(params, inputs, *args)[0] == 7).all())

  assert is_taken(empty) and is_taken(empty, first) and is_taken(state, first)
  assert not is_taken(state) and not is_taken(empty, first.at[1, 4].set(True))


def test_an_encoder_of_one_document_is_taken(key, monkeypatch):
  monkeypatch.setitem(dispatch.BACKENDS, "cudnn", STAND_IN)
  op = ops.get("encoder_attention")
  params, inputs, state = op.example(key, 2, 12)
  border = jnp.zeros((2, 12), bool).at[0, 5].set(True)
  for reset in (None, border):

    def both(*args):
      return [form(*args)[0] for form in op.FORMS.values()]

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
