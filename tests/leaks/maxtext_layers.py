"""MaxText's gated delta net, as its training calls it."""

import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

from .layer import D_MODEL, Layer, of_call

# Beside sizes and float32 these are the settings of its `base.yml` and of its model.
SETTINGS = {
  "model_name": "qwen3-next-80b-a3b",
  "override_model_config": True,
  "base_emb_dim": D_MODEL,
  "gdn_num_value_heads": 4,
  "gdn_num_key_heads": 2,
  "gdn_key_head_dim": 4,
  "gdn_value_head_dim": 3,
  "gdn_chunk_size": 8,
  "dtype": "float32",
  "weight_dtype": "float32",
  "attention": "dot_product",
  "hardware": "cpu",
  "run_name": "leaks",
  "enable_checkpointing": False,
  "per_device_batch_size": 1,
  "skip_jax_distributed_system": True,
}
NOTE = (
  "`packing` is on by default and not refused for this model; the layer reads the ids "
  "as a mask of padding: it asks whether they are 0."
)


def _config():
  from maxtext import configs
  from maxtext.configs import pyconfig

  (folder,) = configs.__path__
  arguments = [f"{key}={value}" for key, value in SETTINGS.items()]
  output = f"base_output_directory={tempfile.gettempdir()}"
  base = os.path.join(folder, "base.yml")
  return pyconfig.initialize(["leaks", base, *arguments, output])


def layers() -> list[Layer]:
  """Returns the row of MaxText."""
  from maxtext.inference import kvcache
  from maxtext.models import qwen3
  from maxtext.utils import maxtext_utils

  config = _config()
  assert config.packing, "packing is no longer on by default: change the note"
  devices = np.asarray(maxtext_utils.create_device_mesh(config))
  mesh = jax.sharding.Mesh(devices, config.mesh_axes)
  module = qwen3.Qwen3NextGatedDeltaNet(config, mesh=mesh, rngs=nnx.Rngs(0))
  graph, params, rest = nnx.split(module, nnx.Param, ...)
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    a + 0.2 * jax.random.normal(k, a.shape, a.dtype)
    for a, k in zip(leaves, keys, strict=True)
  ]

  def built(params):
    return nnx.merge(graph, jax.tree.unflatten(tree, params), rest)

  def ids(reset):
    # documents are 1, 2 ..., and 0 is padding, as MaxText's packing numbers them
    return 1 + jnp.cumsum(reset.at[:, 0].set(False), axis=1)

  def call(params, x, state, reset):
    with mesh, nn.logical_axis_rules(config.logical_axis_rules):
      y, _ = built(params)(x, decoder_segment_ids=ids(reset))
    return y, state

  def cache(batch_size):
    size = config.gdn_value_head_dim, config.gdn_key_head_dim
    heads = config.gdn_num_value_heads
    width = 2 * config.gdn_num_key_heads * size[1] + heads * size[0]
    return kvcache.KVCache(
      max_prefill_length=64, max_target_length=128, batch=batch_size, key_seq_len=1,
      value_seq_len=1, key_heads=heads, value_heads=heads, key_head_size=size[1],
      value_head_size=size[0], dtype=jnp.float32, is_gdn=True,
      conv_kernel_size=config.gdn_conv_kernel_dim, conv_dim=width,
      model_mode="prefill", rngs=nnx.Rngs(0),
    )  # fmt: skip

  def carried(params, x, state, reset):
    kept = cache(len(x))
    mode = "prefill" if x.shape[1] > 1 else "autoregressive"
    with mesh, nn.logical_axis_rules(config.logical_axis_rules):
      kept.update_gdn_states(*state)
      y, kept = built(params)(x, model_mode=mode, kv_cache=kept)
    return y, kept.get_gdn_states()

  def empty(batch_size):
    return tuple(cache(batch_size).get_gdn_states())

  def convolution(params, x, state, reset):
    layer, seen = built(params), []
    conv = layer.conv1d

    def see(*args, **kwargs):
      seen.append(conv(*args, **kwargs))
      return seen[-1]

    layer.conv1d = see
    with mesh, nn.logical_axis_rules(config.logical_axis_rules):
      layer(x, decoder_segment_ids=ids(reset))
    return seen[0][:, -x.shape[1] :], state

  name = "MaxText Qwen3NextGatedDeltaNet"
  return [
    Layer(
      name=name, package="maxtext",
      path="JAX, a mesh of one device; training, and its cache in prefill and decoding",
      told="`decoder_segment_ids`", claims=True, note=NOTE,
      packed=of_call(name, moved, call),
      carried=of_call(name, moved, carried, empty),
      convolution=of_call(name, moved, convolution),
    )
  ]  # fmt: skip
