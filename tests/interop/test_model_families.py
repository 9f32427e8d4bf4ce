"""Models of Hugging Face folders answer as transformers does, and are written again."""

import json
import shutil
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from interop.make_folders import DRAWN, FOLDERS, MODELS, PROMPT
from jaxmem.core.errors import DataError
from jaxmem.interop import families, pretrained
from jaxmem.models.lm import LM
from jaxmem.models.pattern import entry
from jaxmem.parallel import mesh as meshes

safetensors = pytest.importorskip("safetensors.numpy")
NAMES = sorted(MODELS)


@pytest.fixture(scope="module", params=NAMES)
def loaded(request):
  """A model, its parameters, and what transformers answers."""
  folder = FOLDERS / request.param
  config, params = pretrained.read(folder)
  return folder, config, params, dict(np.load(folder / "answers.npz"))


def _loss(model, tokens):
  """Mean nats of each token but the first, and the logits."""

  def loss(params):
    logits, _ = model.apply({"params": params}, tokens, model.init_state(len(tokens)))
    log_p = jax.nn.log_softmax(logits[:, :-1])  # [B, T - 1, V]
    picked = jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)
    return -picked.mean(), logits

  return loss


def test_logits_and_gradients_are_those_of_transformers(loaded, tmp_path):
  folder, config, params, answers = loaded
  loss = _loss(LM(config), jnp.asarray(answers["tokens"], jnp.int32))

  (value, logits), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)

  np.testing.assert_allclose(value, answers["loss"], rtol=1e-5)
  scale = np.abs(answers["logits"]).max()
  assert np.abs(logits - answers["logits"]).max() <= 1e-5 * scale
  # a gradient has the layout of its parameter, so it is written as one
  pretrained.save(tmp_path, config, grads, MODELS[folder.name][0])
  written = safetensors.load_file(tmp_path / "model.safetensors")
  expected = {k[2:]: a for k, a in answers.items() if k.startswith("d ")}
  assert written.keys() == expected.keys()
  for name, grad in written.items():
    error = np.abs(grad - expected[name]).max()
    assert error <= 1e-4 * np.abs(expected[name]).max(), name


def test_greedy_text_is_that_of_transformers_with_the_memory_carried(loaded):
  _, config, params, answers = loaded
  model = LM(config)

  @jax.jit
  def read(tokens, state):
    logits, state = model.apply({"params": params}, tokens, state)
    return logits[:, -1].argmax(-1)[:, None], state

  prompt = jnp.asarray(answers["tokens"][:, :PROMPT], jnp.int32)
  token, state = read(prompt, model.init_state(len(prompt)))
  drawn = [token]
  while len(drawn) < DRAWN:
    token, state = read(token, state)
    drawn.append(token)

  np.testing.assert_array_equal(jnp.concatenate(drawn, 1), answers["greedy"])


def test_a_folder_is_written_as_it_was_read(loaded, tmp_path):
  folder, config, params, _ = loaded
  model_type = MODELS[folder.name][0]

  pretrained.save(tmp_path, config, params, model_type)

  before = safetensors.load_file(folder / "model.safetensors")
  after = safetensors.load_file(tmp_path / "model.safetensors")
  assert before.keys() == after.keys()
  assert all(np.array_equal(before[name], after[name]) for name in before)
  theirs = json.loads((folder / "config.json").read_text())
  ours = json.loads((tmp_path / "config.json").read_text())
  assert _bases(ours.get("rope_parameters")) == _bases(theirs.get("rope_parameters"))
  assert pretrained.read(tmp_path)[0] == config


def _bases(rope):
  """The bases of rotary positions; some models have them for each kind of layer."""
  ropes = rope or {}
  return ropes.get("rope_theta") or {
    kind: value["rope_theta"] for kind, value in ropes.items()
  }


def test_packed_texts_are_read_as_apart(loaded):
  _, config, params, answers = loaded
  model = LM(config)
  tokens = jnp.asarray(answers["tokens"][:1], jnp.int32)
  begins = 17  # the second text, within a window and a block
  reset = jnp.arange(tokens.shape[1])[None] == begins
  apply = jax.jit(model.apply)

  packed, _ = apply({"params": params}, tokens, model.init_state(1), reset)
  apart, _ = apply({"params": params}, tokens[:, begins:], model.init_state(1))

  np.testing.assert_allclose(packed[:, begins:], apart, atol=2e-4)


@pytest.mark.parametrize(
  "layers, first, pattern, groups",
  [
    ("aaa", "", "a", 3),
    ("abb", "a", "b", 2),
    ("ababab", "", "ab", 3),
    ("cababab", "c", "ab", 3),
    ("abc", "", "abc", 1),
    ("aabaab", "", "aab", 2),
  ],
)
def test_layers_are_folded_into_groups(layers, first, pattern, groups):
  names = {"a": "gru", "b": "lstm", "c": "rnn"}

  def entries(text):
    return tuple(entry(names[letter]) for letter in text)

  assert families.folded(entries(layers)) == (entries(first), entries(pattern), groups)


@pytest.mark.parametrize("name", ["rwkv6", "qwen3_next"])
def test_parts_of_tensors_are_read_onto_a_mesh_as_onto_one_device(name):
  """Rows of groups and parts of parameters are then written on the devices."""
  count = min(2, jax.device_count())
  mesh = meshes.make(meshes.MeshConfig(data=1, fsdp=count), jax.devices()[:count])

  _, params = pretrained.read(FOLDERS / name, mesh=mesh)

  _, expected = pretrained.read(FOLDERS / name)
  same = jax.tree.map(np.array_equal, params, expected)
  assert jax.tree.all(same), same
  assert params["stack"]["groups"]["block_0"]["mlp"]["up"]["kernel"].sharding.mesh


def _copy(tmp_path, name="llama", **settings):
  """A copy of a folder, with other settings."""
  folder = tmp_path / "model"
  shutil.copytree(FOLDERS / name, folder)
  values = json.loads((folder / "config.json").read_text()) | settings
  (folder / "config.json").write_text(json.dumps(values))
  return folder


@pytest.mark.parametrize(
  "settings, message",
  [
    ({"model_type": "lama"}, "type 'lama'.*did you mean 'llama'"),
    ({"hidden_act": "gelu"}, "hidden_act 'gelu': only 'silu'"),
    ({"intermediate_size": None}, "has no intermediate_size"),
    ({"num_hidden_layers": 2}, "an unknown model.layers.2.input_layernorm"),
    ({"num_hidden_layers": 4}, "no model.layers.3.input_layernorm.weight"),
    ({"vocab_size": 38}, r"embed_tokens.weight of \[37, 24\] and not \[38, 24\]"),
    ({"rope_parameters": {"rope_type": "longrope"}}, "rope_type 'longrope'"),
  ],
)
def test_settings_that_are_none_of_the_model_are_refused(tmp_path, settings, message):
  with pytest.raises(DataError, match=message):
    pretrained.read(_copy(tmp_path, **settings))


def test_a_model_with_experts_is_refused_by_name(tmp_path):
  folder = _copy(tmp_path, "qwen3_next", num_experts=8, mlp_only_layers=[0, 2])
  with pytest.raises(DataError, match="layer 1 has 8 experts"):
    pretrained.read(folder)


@pytest.mark.parametrize("name", ["qwen3_next", "qwen3_5"])
def test_heads_that_guess_further_tokens_are_left_out(tmp_path, name):
  folder = _copy(tmp_path, name)
  file = folder / "model.safetensors"
  more = {"mtp.fc.weight": np.ones((24, 48), np.float32)}
  safetensors.save_file(safetensors.load_file(file) | more, file)

  _, params = pretrained.read(folder)

  _, expected = pretrained.read(FOLDERS / name)
  assert jax.tree.all(jax.tree.map(np.array_equal, params, expected))


def test_bounds_that_layers_learn_together_are_refused_by_name(tmp_path):
  folder = _copy(tmp_path, "hgrn2", use_lower_bound=True)
  with pytest.raises(DataError, match="use_lower_bound True: only False can be read"):
    pretrained.read(folder)


@pytest.mark.parametrize(
  "settings, message",
  [
    ({"model_type": "mixtral", "num_local_experts": 8}, "'mixtral' with experts"),
    (
      {"model_type": "qwen9", "text_config": {"model_type": "qwen3"}},
      "several kinds of input: its text model alone, a 'qwen3'",
    ),
  ],
)
def test_what_a_model_would_need_is_said(tmp_path, settings, message):
  with pytest.raises(DataError, match=message):
    pretrained.read(_copy(tmp_path, **settings))


def test_a_mistral_without_a_window_stays_one(tmp_path):
  folder = tmp_path / "model"
  shutil.copytree(FOLDERS / "mistral", folder)
  values = json.loads((folder / "config.json").read_text())
  (folder / "config.json").write_text(json.dumps(values | {"sliding_window": None}))

  config, params = pretrained.read(folder)
  pretrained.save(tmp_path / "out", config, params, "mistral")

  assert config.pattern[0].name == "attention"
  # without the key transformers would have a window of 4096
  written = json.loads((tmp_path / "out" / "config.json").read_text())
  assert written["sliding_window"] is None
  del values["sliding_window"]
  (folder / "config.json").write_text(json.dumps(values))
  (item,) = pretrained.read(folder)[0].pattern
  assert dict(item.options)["window_size"] == 4096


def test_weights_in_one_file_win_over_an_index(tmp_path):
  folder = _copy(tmp_path)
  index = folder / "model.safetensors.index.json"
  index.write_text(json.dumps({"weight_map": {"model.norm.weight": "gone"}}))

  config, params = pretrained.read(folder)
  pretrained.save(folder, config, params, "llama")

  assert not index.exists()


def _cut(folder):
  content = (folder / "model.safetensors").read_bytes()
  (folder / "model.safetensors").write_bytes(content[:-8])
  return f"{len(content):,}, the file at {len(content) - 8:,}"


def _huge_header(folder):
  content = (folder / "model.safetensors").read_bytes()
  (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 50) + content[8:])
  return "its header would end at byte 1,125,899,906,842,632"


def _huge_tensor(folder):
  shape = [1 << 40, 1 << 40]
  header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}
  text = json.dumps(header).encode()
  content = struct.pack("<Q", len(text)) + text + bytes(4)
  (folder / "model.safetensors").write_bytes(content)
  return "damaged"


def _pickled(folder):
  (folder / "model.safetensors").unlink()
  (folder / "pytorch_model.bin").write_bytes(b"")
  return "pytorch_model.bin, which is pickled"


def _outside(folder):
  (folder / "model.safetensors").unlink()
  index = {"weight_map": {"model.norm.weight": "../secret.safetensors"}}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  return "no file of its folder"


def _float8(folder):
  tensors = safetensors.load_file(folder / "model.safetensors")
  content = (folder / "model.safetensors").read_bytes()
  (length,) = struct.unpack("<Q", content[:8])
  header = json.loads(content[8 : 8 + length])
  header["model.norm.weight"] |= {"dtype": "F8_E4M3"}
  start = header["model.norm.weight"]["data_offsets"][0]
  size = tensors["model.norm.weight"].size
  # shorter numbers leave a gap: the others move up
  body = content[8 + length :]
  body = body[: start + size] + body[start + 4 * size :]
  for name, value in header.items():
    if name != "__metadata__":
      a, b = value["data_offsets"]
      moved = 3 * size
      value["data_offsets"] = [a - moved * (a > start), b - moved * (b > start)]
  text = json.dumps(header).encode()
  text += b" " * (-len(text) % 8)
  (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
  return "model.norm.weight.*F8_E4M3"


def _missing_shard(folder):
  (folder / "model.safetensors").unlink()
  index = {"weight_map": {"model.norm.weight": "part-1.safetensors"}}
  (folder / "model.safetensors.index.json").write_text(json.dumps(index))
  return "part-1.safetensors is missing"


FAULTS = [_cut, _huge_header, _huge_tensor, _pickled, _outside, _float8, _missing_shard]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__.strip("_"))
def test_a_damaged_folder_is_refused(tmp_path, fault):
  folder = _copy(tmp_path)
  message = fault(folder)
  with pytest.raises(DataError, match=message):
    pretrained.read(folder)


def test_shards_are_read_through_their_index(tmp_path):
  folder = _copy(tmp_path)
  tensors = safetensors.load_file(folder / "model.safetensors")
  (folder / "model.safetensors").unlink()
  names = sorted(tensors)
  parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
  for file, part in parts.items():
    safetensors.save_file({name: tensors[name] for name in part}, folder / file)
  weight_map = {name: file for file, part in parts.items() for name in part}
  index = json.dumps({"weight_map": weight_map})
  (folder / "model.safetensors.index.json").write_text(index)

  _, params = pretrained.read(folder)

  _, expected = pretrained.read(FOLDERS / "llama")
  assert jax.tree.all(jax.tree.map(jnp.array_equal, params, expected))


def test_a_model_of_another_family_is_not_written(tmp_path):
  config, params = pretrained.read(FOLDERS / "qwen3")
  with pytest.raises(DataError, match="llama would have"):
    pretrained.save(tmp_path, config, params, "llama")
