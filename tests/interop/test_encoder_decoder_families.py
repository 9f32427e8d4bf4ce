"""T5, BART and their relatives answer as transformers does, and are written again."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.make_folders import DRAWN, FOLDERS
from interop.make_seq2seq_folders import LENGTHS, SEQ2SEQ
from jaxmem.core import ranges
from jaxmem.core.errors import DataError, UserError
from jaxmem.evaluation import exported
from jaxmem.interop import pretrained
from jaxmem.interop.families import Settings, family_of
from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture(scope="module", params=SEQ2SEQ)
def loaded(request):
  """A model, its parameters, and what transformers answers."""
  folder = FOLDERS / request.param
  config, params = pretrained.read(folder)
  ranges.check(config)
  return folder, config, params, dict(np.load(folder / "answers.npz"))


def _batch(answers):
  read, tokens = (jnp.asarray(answers[k], jnp.int32) for k in ("read", "tokens"))
  length, targets = jnp.array(LENGTHS, jnp.int32), jnp.roll(tokens, -1, axis=1)
  return {"read": read, "length": length, "tokens": tokens, "targets": targets}


def test_loss_and_gradients_are_those_of_transformers(loaded, tmp_path):
  folder, config, params, answers = loaded
  model, batch = EncoderDecoder(config), _batch(answers)

  @jax.jit
  @jax.value_and_grad
  def loss(params):
    return model.apply({"params": params}, batch, method="losses")[:, :-1].mean()

  value, grads = loss(params)

  np.testing.assert_allclose(value, answers["loss"], rtol=1e-5)
  # a gradient has the layout of its parameter, so it is written as one
  pretrained.save(tmp_path, config, grads, SEQ2SEQ[folder.name][0])
  written = safetensors.load_file(tmp_path / "model.safetensors")
  expected = {k[2:]: a for k, a in answers.items() if k.startswith("d ")}
  if config.head_bias:  # a buffer in transformers, which has no gradient there
    picked = jax.nn.one_hot(batch["targets"], config.vocab_size)
    errors = (jax.nn.softmax(answers["logits"]) - picked)[:, :-1]  # [B, T - 1, V]
    expected["final_logits_bias"] = errors.mean((0, 1))[None]
  assert written.keys() == expected.keys()
  largest = max(np.abs(grad).max() for grad in expected.values())
  for name, grad in written.items():
    # a bias of keys adds the same to all scores of a query: its gradient is 0
    zero = name.endswith(("k_proj.bias", "key.bias", "key_global.bias"))
    scale = largest if zero else np.abs(expected[name]).max()
    assert np.abs(grad - expected[name]).max() <= 1e-4 * scale, name
    assert not zero or np.abs(grad).max() <= 1e-6 * largest


def test_logits_and_greedy_text_are_those_of_transformers_token_by_token(loaded):
  _, config, params, answers = loaded
  model, batch = EncoderDecoder(config), _batch(answers)
  apply = functools.partial(jax.jit(model.apply, static_argnames="method"))
  variables = {"params": params}
  first = batch["read"], batch["length"], batch["tokens"][:, 0]

  begun, start = apply(variables, *first, method="start")
  logits, state, given = begun, start, [begun]
  for t in range(1, batch["tokens"].shape[1]):
    logits, state = apply(variables, batch["tokens"][:, t], state, method="step")
    given.append(logits)
  error = np.abs(jnp.stack(given, 1) - answers["logits"]).max()
  assert error <= 1e-5 * np.abs(answers["logits"]).max()

  logits, state, drawn = begun, start, []
  while len(drawn) < DRAWN:
    drawn.append(logits.argmax(-1))
    logits, state = apply(variables, drawn[-1], state, method="step")
  np.testing.assert_array_equal(jnp.stack(drawn, 1), answers["greedy"])


def test_a_folder_is_written_as_it_was_read(loaded, tmp_path):
  folder, config, params, _ = loaded

  assert exported.fitting(config) in (SEQ2SEQ[folder.name][0], "mt5")
  pretrained.save(tmp_path, config, params, SEQ2SEQ[folder.name][0])

  before = safetensors.load_file(folder / "model.safetensors")
  after = safetensors.load_file(tmp_path / "model.safetensors")
  assert before.keys() == after.keys()
  assert all(np.array_equal(before[name], after[name]) for name in before)
  assert pretrained.read(tmp_path)[0] == config


def _config(folder, **changed):
  """The config that the changed settings of a folder describe."""
  settings = json.loads((FOLDERS / folder / "config.json").read_text()) | changed
  return family_of(settings, "it")[1].to_config(Settings(settings, "it"))


def test_settings_of_relatives_are_read_and_others_are_refused():
  assert _config("t5_v1_1", model_type="mt5") == _config("t5_v1_1")
  assert not _config("bart", architectures=["BartModel"]).head_bias
  with pytest.raises(DataError, match="feed_forward_proj 'gated-relu': one of relu,"):
    _config("t5", feed_forward_proj="gated-relu")
  with pytest.raises(DataError, match="activation_function 'swish': one of gelu,"):
    _config("bart", activation_function="swish")
  with pytest.raises(DataError, match=r"attention_window \[4, 8, 4\]: only one for"):
    _config("led", attention_window=[4, 8, 4])
  with pytest.raises(DataError, match="decoder_ffn_dim 8: only 24 can be read"):
    _config("pegasus", decoder_ffn_dim=8)
  with pytest.raises(UserError, match="is none of the"):
    exported.fitting(EncoderDecoderConfig(vocab_size=9))
