"""Heads on an encoder: what each task's model learns, and that it shares parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmem import tasks
from jaxmem.core.errors import ConfigError
from jaxmem.models import TrainableModel
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.masked_lm.task import MaskedConfig
from jaxmem.tasks.question_answering.model import SpanReader
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tasks.retrieval.task import PassagesConfig

SMALL = EncoderConfig(vocab_size=30, d_model=16, num_groups=2)
# The config of a task -> the model that it makes.
MODELS = {
  LabelsConfig(classes=3, label_smoothing=0.3): Classifier(SMALL, 3, 0.3),
  LabelsConfig(classes=3, hidden="tanh"): Classifier(SMALL, 3, hidden="tanh"),
  SpansConfig(): SpanReader(SMALL),
  PassagesConfig(temperature=0.5): TextEmbedder(SMALL, 0.5),
  MaskedConfig(): MaskedLM(SMALL),
  MaskedConfig(transform=True): MaskedLM(SMALL, True),
}


def compiled(model, method):
  """A method of the model as one program of (params, batch, ...)."""
  return jax.jit(functools.partial(model.apply, method=method))


def fresh(model):
  init = jax.jit(functools.partial(model.init, method="objective"))
  return init(jax.random.key(0), model.example(4, 16), ())


def build(model):
  """The model, and parameters of which none is 0; heads and biases begin at 0."""
  noise = jax.random.normal(jax.random.key(1), (997,))

  def moved(a):
    return a + 0.1 * jnp.resize(noise, a.shape).astype(a.dtype)

  return model, jax.tree.map(moved, fresh(model))


def texts(seed=0):
  draw = np.random.default_rng(seed)
  batch = {
    "tokens": draw.integers(0, 30, (4, 16)).astype(np.int32),
    "types": np.zeros((4, 16), np.int32),
    "length": np.array([16, 9, 1, 12], np.int32),
    "label": np.array([0, 1, 2, 1], np.int32),
    "choices": np.ones((4, 3), bool),
    "weights": np.ones(4, np.float32),
  }
  return jax.tree.map(jnp.asarray, batch)


@pytest.mark.parametrize("config", MODELS, ids=tasks.kind)
def test_a_task_makes_its_model_by_its_own_config(config):
  model = tasks.make_model(SMALL, config)
  assert model == MODELS[config] and isinstance(model, TrainableModel)


def test_models_of_all_tasks_share_the_encoder_s_parameters_bit_for_bit():
  """So a run of one task can begin from another, and old checkpoints load."""
  trees = [meshes.unboxed(fresh(model)["params"]) for model in MODELS.values()]
  shared = {"embedding", "norm", "stack"}
  encoders = [{k: tree[k] for k in shared} for tree in trees]
  for other in encoders[1:]:
    jax.tree.map(np.testing.assert_array_equal, encoders[0], other)
  heads = [set(tree) - shared for tree in trees]
  transform = {"transform", "transform_norm", "head_bias"}
  assert heads == [{"head"}, {"head", "hidden"}, {"head"}, set(), set(), transform]


def test_a_task_that_reads_tokens_takes_no_windows():
  for model in (
    EncoderConfig(window=16),
    EncoderConfig(window=16, between=(entry("gru"),)),
    EncoderConfig(between=(entry("gru"),)),
  ):
    for config in (SpansConfig(), MaskedConfig()):
      with pytest.raises(ConfigError, match="a row is read whole, leave both out"):
        tasks.resolve_model(model, config)
    assert not model.window or tasks.resolve_model(model, LabelsConfig()).vocab_size


def test_classes_that_a_row_may_not_have_get_no_probability_and_no_gradient():
  model, params = build(Classifier(SMALL, classes=3))
  batch = texts()
  batch["choices"] = batch["choices"].at[:, 2].set(False)
  share = jax.nn.softmax(compiled(model, "logits")(params, batch))
  np.testing.assert_array_equal(share[:, 2], 0)
  batch["label"] = jnp.minimum(batch["label"], 1)
  loss = lambda p: model.apply(p, batch, (), method="objective")[0].sum()
  grads = jax.jit(jax.grad(loss))(params)["params"]["head"]["kernel"].unbox()
  assert np.isfinite(grads).all() and not grads[:, 2].any() and grads[:, 0].any()


def test_smoothing_equals_that_of_optax_and_is_for_training_alone():
  model, params = build(Classifier(SMALL, classes=3, smoothing=0.3))
  batch = texts()
  objective = jax.jit(
    lambda params, quiet: model.apply(params, batch, (), quiet, method="objective"),
    static_argnums=1,
  )
  logits = compiled(model, "logits")(params, batch)
  hot = jax.nn.one_hot(batch["label"], 3)
  soft = optax.softmax_cross_entropy(logits, optax.smooth_labels(hot, 0.3))
  np.testing.assert_allclose(objective(params, False)[0], soft, rtol=1e-5)
  np.testing.assert_allclose(
    objective(params, True)[0], optax.softmax_cross_entropy(logits, hot), rtol=1e-5
  )


def test_a_span_begins_and_ends_in_its_context():
  model, params = build(SpanReader(SMALL))
  context = (jnp.arange(16) > 3) & (jnp.arange(16) < jnp.array([[16], [9], [8], [12]]))
  ends = {"first": jnp.array([4, 5, 6, 7]), "last": jnp.array([4, 8, 7, 11])}
  batch = texts() | {"length": jnp.array([16, 9, 8, 12]), "context": context} | ends
  logits = np.asarray(compiled(model, "spans")(params, batch))
  share = np.asarray(jax.nn.softmax(logits, axis=1))
  assert not share[~np.asarray(context)].any()
  np.testing.assert_allclose(share.sum(1), 1, rtol=1e-5)
  rows = np.arange(4)
  first, last = (share[rows, ends[name], i] for i, name in enumerate(("first", "last")))
  nats = compiled(model, "objective")(params, batch, ())[0]
  np.testing.assert_allclose(nats, -(np.log(first) + np.log(last)) / 2, rtol=1e-5)


def test_pairs_are_info_nce_and_rows_that_share_a_text_are_no_negatives():
  model, params = build(TextEmbedder(SMALL, temperature=0.5))
  batch = texts() | {
    "other": texts(1)["tokens"],
    "other_length": jnp.array([16, 3, 5, 8], jnp.int32),
    "group": jnp.array([0, 1, 1, 2], jnp.int32),
    "other_group": jnp.array([5, 6, 7, 5], jnp.int32),
  }
  nats = compiled(model, "objective")(params, batch, ())[0]
  embed_rows = compiled(model, "embed")
  other = {"tokens": batch["other"], "length": batch["other_length"]}
  a = np.asarray(embed_rows(params, batch), float)  # [B, D]
  b = np.asarray(embed_rows(params, other), float)
  np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
  scores = np.exp(a @ b.T / 0.5)
  for i, j in ((1, 2), (0, 3)):
    scores[i, j] = scores[j, i] = 0
  positive = scores.diagonal()
  expected = -(np.log(positive / scores.sum(1)) + np.log(positive / scores.sum(0))) / 2
  np.testing.assert_allclose(nats, expected, rtol=1e-4)


def test_logits_at_some_positions_are_those_of_the_loss():
  model, params = build(MaskedLM(SMALL))
  batch = texts()
  reset = jnp.zeros((4, 16), bool).at[:, 0].set(True).at[:, 7].set(True)
  batch |= {"targets": batch["tokens"], "reset": reset}
  position = jnp.array([[0, 9], [3, 4], [15, 1], [7, 6]], jnp.int32)
  logits = jax.jit(functools.partial(model.apply, method="logits"))(
    params, batch["tokens"], reset, position
  )
  nats = compiled(model, "losses")(params, batch)
  targets = jnp.take_along_axis(batch["targets"], position, axis=1)
  expected = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
  np.testing.assert_allclose(
    jnp.take_along_axis(nats, position, axis=1), expected, rtol=1e-4
  )
