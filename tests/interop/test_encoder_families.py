"""Encoders of Hugging Face folders, and their heads, answer as transformers does."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.make_encoder_folders import FOLDERS, MODELS
from jaxmem.core.errors import DataError
from jaxmem.interop import pretrained
from jaxmem.models.encoder import Encoder
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.question_answering.model import SpanReader

safetensors = pytest.importorskip("safetensors.numpy")

# Ends of the names of the biases of keys -> those of queries.
_KEY_BIASES = {
  "key.bias": "query.bias",
  "key_global.bias": "query_global.bias",
  "k_lin.bias": "q_lin.bias",
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def loaded(request):
  """A model, its parameters, and what transformers answers."""
  folder = FOLDERS / request.param
  config, params = pretrained.read(folder)
  return folder, config, params, dict(np.load(folder / "answers.npz"))


def _classes(config, params, batch, kind):
  """Logits of the classes, from the first token."""
  classes = params["head"]["bias"].shape[0]
  first = dataclasses.replace(config, pool="first")
  choices = jnp.ones((len(batch["tokens"]), classes), bool)
  return Classifier(first, classes, hidden=kind).apply(
    {"params": params}, batch | {"choices": choices}, method="logits"
  )


def _outputs(name, config, params, batch):
  """What the task's model makes of a batch, with the head of the folder."""
  auto, model_type, _ = MODELS[name]
  rows, length = batch["tokens"].shape
  if auto.endswith("MaskedLM"):
    position = jnp.broadcast_to(jnp.arange(length), (rows, length))
    # the text is a document, and what is behind it another
    reset = (position == 0) | (position == batch["length"][:, None])
    return MaskedLM(config, transform=True).apply(
      {"params": params}, batch["tokens"], reset, position, method="logits"
    )
  if auto.endswith("QuestionAnswering"):
    context = jnp.ones((rows, length), bool)
    return SpanReader(config).apply(
      {"params": params}, batch | {"context": context}, method="spans"
    )
  if auto.endswith("SequenceClassification"):
    kind = "relu" if model_type == "distilbert" else "tanh"
    return _classes(config, params, batch, kind)
  return Encoder(config).apply({"params": params}, batch, method="tokens")


def test_outputs_and_gradients_are_those_of_transformers(loaded, tmp_path):
  folder, config, params, answers = loaded
  batch = {k: jnp.asarray(answers[k]) for k in ("tokens", "length")}
  batch |= {k: jnp.asarray(answers[k]) for k in ("types",) if k in answers}
  read = np.arange(batch["tokens"].shape[1]) < answers["length"][:, None]  # [B, T]

  def loss(params):
    outputs = _outputs(folder.name, config, params, batch)
    if outputs.ndim == 3:
      outputs = jnp.where(read[..., None], outputs, 0)
    value = (outputs * answers["factors"]).sum()
    pooled = None
    if "pooled" in answers:  # the pooler is the classifier's map before its head
      head = {"kernel": jnp.eye(config.d_model), "bias": jnp.zeros(config.d_model)}
      pooled = _classes(config, params | {"head": head}, batch, "tanh")
      value = value + (pooled * answers["factors"][:, 0]).sum()
    hidden = Encoder(config).apply({"params": params}, batch, method="tokens")
    return value, (hidden, outputs, pooled)

  (_, (hidden, outputs, pooled)), grads = jax.jit(
    jax.value_and_grad(loss, has_aux=True)
  )(params)

  _near(hidden[read], answers["hidden"][read], 1e-5, "hidden")
  _near(outputs, answers["outputs"], 1e-5, "outputs")
  if pooled is not None:
    _near(pooled, answers["pooled"], 1e-5, "pooled")
  # a gradient has the layout of its parameter, so it is written as one
  pretrained.save(tmp_path, config, grads, MODELS[folder.name][1])
  written = safetensors.load_file(tmp_path / "model.safetensors")
  expected = {k[2:]: a for k, a in answers.items() if k.startswith("d ")}
  assert written.keys() == expected.keys()
  for name, grad in written.items():
    # the bias of keys shifts all scores of a query, which changes nothing: its gradient
    # is what rounding leaves, and is held to that of queries
    as_query = name
    for key, query in _KEY_BIASES.items():
      as_query = as_query.replace(key, query)
    _near(grad, expected[name], 1e-4, name, np.abs(expected[as_query]).max())


def _near(ours, theirs, tolerance, name, scale=None):
  scale = np.abs(theirs).max() if scale is None else scale
  assert np.abs(ours - theirs).max() <= tolerance * scale, name


def test_a_folder_is_written_as_it_was_read(loaded, tmp_path):
  folder, config, params, _ = loaded

  pretrained.save(tmp_path, config, params, MODELS[folder.name][1])

  before = safetensors.load_file(folder / "model.safetensors")
  after = safetensors.load_file(tmp_path / "model.safetensors")
  assert before.keys() == after.keys()
  assert all(np.array_equal(before[name], after[name]) for name in before)
  theirs = json.loads((folder / "config.json").read_text())
  ours = json.loads((tmp_path / "config.json").read_text())
  assert ours["architectures"] == theirs["architectures"]
  two = {"0": "LABEL_0", "1": "LABEL_1"}  # what transformers leaves out
  assert ours.get("id2label", two) == theirs.get("id2label", two)
  assert pretrained.read(tmp_path)[0] == config


def _copy(tmp_path, name, **settings):
  """A copy of a folder, with other settings."""
  folder = tmp_path / "model"
  shutil.copytree(FOLDERS / name, folder)
  values = json.loads((folder / "config.json").read_text()) | settings
  (folder / "config.json").write_text(json.dumps(values))
  return folder


def _rewritten(folder, **renamed):
  """Renames tensors of a folder: an end of their names -> another."""
  tensors = safetensors.load_file(folder / "model.safetensors")
  for now, new in renamed.items():
    now, new = now.replace("__", "."), new.replace("__", ".")
    tensors = {name.replace(now, new): value for name, value in tensors.items()}
  safetensors.save_file(tensors, folder / "model.safetensors")
  return tensors


def test_older_names_are_read(tmp_path):
  folder = _copy(tmp_path, "bert_language")
  _rewritten(
    folder, LayerNorm__weight="LayerNorm__gamma", LayerNorm__bias="LayerNorm__beta"
  )
  ours, theirs = (pretrained.read(f)[1] for f in (folder, FOLDERS / "bert_language"))
  assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


def test_what_no_head_reads_is_left_out_by_name_alone(tmp_path):
  folder = _copy(tmp_path, "bert_answers")
  tensors = safetensors.load_file(folder / "model.safetensors")
  named = {
    "cls.seq_relationship.weight": np.ones((2, 24), np.float32),
    "bert.embeddings.position_ids": np.arange(16, dtype=np.float32)[None],
    # of a model that finds answers the pooler was written once, and never trained
    "bert.pooler.dense.weight": np.ones((24, 24), np.float32),
    "bert.pooler.dense.bias": np.ones(24, np.float32),
  }
  safetensors.save_file(tensors | named, folder / "model.safetensors")
  _, params = pretrained.read(folder)
  _, expected = pretrained.read(FOLDERS / "bert_answers")
  assert jax.tree.structure(params) == jax.tree.structure(expected)

  _rewritten(folder, qa_outputs="score")
  with pytest.raises(DataError, match="an unknown score.bias"):
    pretrained.read(folder)


def test_a_head_of_the_task_alone_is_not_written(tmp_path):
  config, params = pretrained.read(FOLDERS / "bert")
  # three sizes: a head of the task, whose name a head of the family has
  head = {"kernel": jnp.ones((2, 24, 3)), "bias": jnp.ones(3)}
  pretrained.save(tmp_path, config, params | {"head": head}, "bert")
  written = safetensors.load_file(tmp_path / "model.safetensors")
  before = safetensors.load_file(FOLDERS / "bert" / "model.safetensors")
  assert written.keys() == before.keys()


@pytest.mark.parametrize(
  "name, settings, message",
  [
    ("bert", {"hidden_act": "relu"}, "hidden_act 'relu': only 'gelu'"),
    ("bert", {"is_decoder": True}, "is_decoder True"),
    ("bert", {"position_embedding_type": "relative_key"}, "only 'absolute'"),
    ("bert", {"num_hidden_layers": 2}, "an unknown encoder.layer.2"),
    ("roberta_language", {"hidden_act": "gelu_new"}, "hidden_act 'gelu_new'"),
    ("distilbert", {"sinusoidal_pos_embds": True}, "sinusoidal_pos_embds True"),
    ("bert_language", {"tie_word_embeddings": False}, "tie_word_embeddings False"),
  ],
)
def test_settings_that_are_none_of_the_model_are_refused(
  tmp_path, name, settings, message
):
  with pytest.raises(DataError, match=message):
    pretrained.read(_copy(tmp_path, name, **settings))


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"pattern": (entry("gru"),)}, "is no BERT"),
    ({"block": "pre"}, "block is 'pre'"),
    ({"mlp": "geglu"}, "the MLP 'geglu'"),
    ({"position_offset": 2}, "position_offset is 2"),
    ({"window": 8, "between": (entry("gru"),)}, "between is"),
  ],
)
def test_a_model_of_another_family_is_not_written(tmp_path, changes, message):
  config, params = pretrained.read(FOLDERS / "bert")
  with pytest.raises(DataError, match=message):
    pretrained.save(tmp_path, dataclasses.replace(config, **changes), params, "bert")


def test_a_table_of_positions_is_needed_for_an_offset():
  with pytest.raises(ValueError, match="set positions"):
    EncoderConfig(vocab_size=8, position_offset=2).check_fields()
