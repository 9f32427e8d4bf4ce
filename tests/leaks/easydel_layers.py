"""EasyDeL's gated delta net, as its training calls it, and with its cache's states."""

import jax
import jax.numpy as jnp
from flax import nnx

from .layer import D_MODEL, Layer, of_call

NOTE = (
  "It documents its mask as that of padding, and asks whether the ids are -1; the "
  "attention layers of the same model keep these ids apart."
)


def layers() -> list[Layer]:
  """Returns the row of EasyDeL."""
  from easydel.caching.recurrent import cache
  from easydel.modules.qwen3_next import modeling_qwen3_next as modeling
  from ejkernel.types.mask import MaskInfo

  config = modeling.Qwen3NextConfig(
    hidden_size=D_MODEL, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, head_dim=4, linear_key_head_dim=4, linear_value_head_dim=3,
    linear_num_key_heads=2, linear_num_value_heads=4, num_experts=2, vocab_size=32,
    layer_types=["linear_attention"],
  )  # fmt: skip
  mesh = config.mesh
  module = modeling.Qwen3NextLinearAttention(
    config, dtype=jnp.float32, param_dtype=jnp.float32, rngs=nnx.Rngs(0), layer_idx=0
  )
  graph, params, rest = nnx.split(module, nnx.Param, ...)
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    a + 0.2 * jax.random.normal(k, a.shape, a.dtype)
    for a, k in zip(leaves, keys, strict=True)
  ]

  def built(params):
    return nnx.merge(graph, jax.tree.unflatten(tree, params), rest)

  def run(layer, x, reset):
    mask = MaskInfo.from_segments(jnp.cumsum(reset, axis=1))
    with mesh:
      return layer(x, mask).attention_output

  def call(params, x, state, reset):
    return run(built(params), x, reset), state

  def view(batch_size):
    keys = config.linear_num_key_heads * config.linear_key_head_dim
    heads = config.linear_num_value_heads
    sizes = cache.RecurrentCacheConfig(
      num_hidden_layers=1, partition_axis=config.partition_axis, batch_size=batch_size,
      conv_dim=2 * keys + heads * config.linear_value_head_dim,
      conv_kernel_size=config.linear_conv_kernel_dim,
      recurrent_state_shape=(
        heads, config.linear_key_head_dim, config.linear_value_head_dim
      ),
    )  # fmt: skip
    with mesh:
      return cache.RecurrentCacheView.init(sizes, 0, dtype=jnp.float32)

  def carried(params, x, state, reset):
    conv, recurrent = state
    kept = view(len(x)).replace(conv_state=conv, recurrent_state=recurrent)
    with mesh:
      result = built(params)(x, None, cache_view=kept)
    kept = result.cache_view
    return result.attention_output, (kept.conv_state, kept.recurrent_state)

  def empty(batch_size):
    kept = view(batch_size)
    return kept.conv_state, kept.recurrent_state

  def convolution(params, x, state, reset):
    layer, seen = built(params), []
    conv = layer.conv1d

    def see(*args, **kwargs):
      seen.append(conv(*args, **kwargs))
      return seen[-1]

    layer.conv1d = see
    run(layer, x, reset)
    return seen[0], state

  name = "EasyDeL Qwen3NextLinearAttention"
  return [
    Layer(
      name=name, package="easydel",
      path="JAX on the CPU; without a cache, and with its recurrent cache",
      told="`mask_info` of segment ids", claims=False, note=NOTE,
      packed=of_call(name, moved, call),
      carried=of_call(name, moved, carried, empty),
      convolution=of_call(name, moved, convolution),
    )
  ]  # fmt: skip
