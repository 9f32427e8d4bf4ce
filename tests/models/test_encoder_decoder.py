"""Decoding step by step equals teacher forcing, and padding changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxmem.core import ranges
from jaxmem.mixers.additive_attention import AdditiveAttention
from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from jaxmem.models.pattern import entry, parse
from jaxmem.ops.losses import chunked_cross_entropy

KINDS = {
  "transformer": ("encoder_attention:num_heads=2", "attention:capacity=16:num_heads=2,"
                  "cross_attention:num_heads=2"),
  "recurrent, dot product": ("gru", "gru,cross_attention:num_heads=1"),
  "recurrent, additive": ("lstm", "lstm,additive_attention:key_dim=8"),
  "long input": ("longformer:num_heads=2:window_size=4:causal=False",
                 "rglru:num_heads=2,cross_attention:num_heads=2"),
  "shared buckets": ("encoder_attention:num_heads=2:bias=buckets:num_buckets=4",
                     "attention:capacity=16:num_heads=2:bias=buckets:"
                     "num_buckets=4/none,cross_attention:num_heads=2"),
  "learned positions": ("encoder_attention:num_heads=2:rotary_base=None",
                        "attention:capacity=16:num_heads=2:rotary_base=None/none,"
                        "cross_attention:num_heads=2"),
}  # fmt: skip
# Fields of the config.
FIELDS = {
  "shared buckets": {
    "shared_buckets": True,
    "encoder_groups": 3,
    "mlp": "relu:use_bias=False",
    "embedding_scale": 1.0,
    "tied": False,
    "head_scale": 0.5,
  },
  "learned positions": {
    "positions": 8,
    "encoder_positions": 10,
    "position_offset": 2,
    "norm": "layer",
    "norm_epsilon": 1e-5,
    "norm_position": "post",
    "final_norm": False,
    "embedding_norm": True,
    "head_bias": True,
  },
}


@functools.cache
def compiled(model, method):
  """Compiles a method of the model as a function of (params, batch, ...)."""
  return jax.jit(functools.partial(model.apply, method=method))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def built(request):
  encoder, pattern = map(parse, KINDS[request.param])
  config = EncoderDecoderConfig(
    vocab_size=20,
    d_model=16,
    encoder=encoder,
    pattern=pattern,
    memory_size=8,
    **FIELDS.get(request.param, {}),
  )
  ranges.check(config)
  model = EncoderDecoder(config)
  draw = np.random.default_rng(0)
  batch = {
    "read": draw.integers(0, 20, (3, 8)).astype(np.int32),
    "length": np.array([8, 5, 1], np.int32),
    "tokens": draw.integers(0, 20, (3, 6)).astype(np.int32),
    "targets": draw.integers(0, 20, (3, 6)).astype(np.int32),
    "weights": np.ones((3, 6), np.float32),
  }
  batch = jax.tree.map(jnp.asarray, batch)
  batch["targets"] = jnp.roll(batch["tokens"], -1, axis=1)
  init = jax.jit(functools.partial(model.init, method="objective"))
  params = init(jax.random.key(0), batch, ())
  return model, params, batch


def test_step_by_step_decoding_equals_teacher_forcing(built):
  model, params, batch = built
  losses = compiled(model, "losses")(params, batch)
  args = batch["read"], batch["length"], batch["tokens"][:, 0]
  logits, state = compiled(model, "start")(params, *args)
  step = functools.partial(compiled(model, "step"), params)
  for t in range(6):
    nats = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch["targets"][:, t]
    )
    np.testing.assert_allclose(nats, losses[:, t], atol=1e-5)
    if t < 5:
      logits, state = step(batch["tokens"][:, t + 1], state)


def test_padding_of_what_is_read_moves_nothing(built):
  model, params, batch = built
  mask = jnp.arange(8) < batch["length"][:, None]
  other = batch | {"read": jnp.where(mask, batch["read"], 3)}
  run = functools.partial(compiled(model, "losses"), params)
  np.testing.assert_allclose(run(batch), run(other), rtol=0, atol=1e-6)
  shorter = {"read": batch["read"][:2, :8], "length": batch["length"][:2]}
  wider = {k: v[:2] for k, v in batch.items()} | shorter
  np.testing.assert_allclose(run(wider), run(batch)[:2], atol=1e-6)


def test_every_token_that_is_read_moves_what_is_written_and_is_learned(built):
  model, params, batch = built
  run = compiled(model, "losses")
  slope = jax.jit(jax.grad(lambda p: model.apply(p, batch, method="losses").sum()))
  grads = jax.tree.leaves(slope(params)["params"]["encoder"])
  assert all(np.abs(np.asarray(g)).max() > 0 for g in grads)
  base = run(params, batch)
  for position in (0, 7):
    read = batch["read"].at[0, position].add(1) % 20
    moved = run(params, batch | {"read": read})
    assert np.abs(moved[0] - base[0]).max() > 1e-5
    np.testing.assert_array_equal(moved[1:], base[1:])


def test_groups_share_their_buckets_and_each_side_has_its_own():
  encoder, pattern = map(parse, KINDS["shared buckets"])
  own = EncoderDecoderConfig(
    vocab_size=20, d_model=16, encoder=encoder, pattern=pattern, memory_size=8
  )
  shared = dataclasses.replace(own, shared_buckets=True)
  batch = EncoderDecoder(own).example(2, 8) | {"length": jnp.array([8, 3])}
  read = jnp.arange(16).reshape(2, 8)
  batch |= {"read": read, "tokens": read[::-1, ::-1]}
  params = {
    config.shared_buckets: nn.meta.unbox(
      jax.jit(functools.partial(EncoderDecoder(config).init, method="objective"))(
        jax.random.key(0), batch, ()
      )
    )
    for config in (own, shared)
  }

  def tables(tree):
    return [tree["params"][side]["groups"]["block_0"]["mixer"]["buckets"]
            for side in ("encoder", "decoder")]  # fmt: skip

  assert [table.shape for table in tables(params[True])] == 2 * [(1, 4, 2)]
  copied = jax.tree.map(
    lambda a, b: jnp.broadcast_to(a, b.shape), params[True], params[False]
  )
  value, grads = jax.value_and_grad(
    lambda p: EncoderDecoder(shared).apply(p, batch, method="losses").sum()
  )(params[True])
  expected, apart = jax.value_and_grad(
    lambda p: EncoderDecoder(own).apply(p, batch, method="losses").sum()
  )(copied)
  np.testing.assert_allclose(value, expected, rtol=1e-6)
  for ours, theirs in zip(tables(grads), tables(apart), strict=True):
    np.testing.assert_allclose(ours[0], theirs.sum(0), rtol=1e-4, atol=1e-6)
    assert np.abs(ours).max() > 1e-6


@pytest.mark.parametrize("built", ["learned positions"], indirect=True)
def test_a_text_longer_than_the_positions_is_refused_or_nan(built):
  model, params, batch = built
  tokens = jnp.pad(batch["tokens"], ((0, 0), (0, 4)))
  losses = model.apply(
    params, batch | {"tokens": tokens, "targets": tokens}, method="losses"
  )
  assert jnp.isfinite(losses[:, :8]).all() and jnp.isnan(losses[:, 8:]).all()
  with pytest.raises(ValueError, match="11 tokens to read and 10 positions"):
    read = jnp.pad(batch["read"], ((0, 0), (0, 3)))
    model.apply(params, batch | {"read": read}, method="losses")


def test_smoothing_is_optax_s_and_nothing_else_changes():
  x = jax.random.normal(jax.random.key(0), (2, 5, 8))
  table = jax.random.normal(jax.random.key(1), (11, 8))
  targets = jnp.arange(10).reshape(2, 5)
  soft = optax.smooth_labels(jax.nn.one_hot(targets, 11), 0.2)
  expected = optax.softmax_cross_entropy(x @ table.T, soft)
  actual = chunked_cross_entropy(x, table, targets, chunk_size=2, smoothing=0.2)
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_bias_of_a_head_is_part_of_the_logits():
  x = jax.random.normal(jax.random.key(0), (2, 5, 8))
  table = jax.random.normal(jax.random.key(1), (11, 8))
  bias = 2 * jax.random.normal(jax.random.key(2), (11,))
  targets = jnp.arange(10).reshape(2, 5)
  expected = optax.softmax_cross_entropy_with_integer_labels(
    x @ table.T + bias, targets
  )
  actual = chunked_cross_entropy(x, table, targets, chunk_size=2, bias=bias)
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_smoothing_and_dropout_are_of_training_alone(built):
  model, params, batch = built

  @functools.partial(jax.jit, static_argnums=1)
  def objective(params, quiet, key):
    args = params, batch, (), quiet
    return model.apply(*args, method="objective", rngs={"dropout": key})[0]

  def nats(quiet, key):
    return objective(params, quiet, jax.random.key(key))

  np.testing.assert_array_equal(nats(True, 0), nats(True, 1))
  assert np.abs(nats(False, 0) - nats(False, 1)).max() > 1e-3


def test_additive_attention_is_bahdanau_s():
  mixer = AdditiveAttention(d_model=4, key_dim=3, memory_size=5)
  x = jax.random.normal(jax.random.key(0), (2, 6, 4))
  encoded = jax.random.normal(jax.random.key(1), (2, 5, 4))
  valid = jnp.array([5, 2], jnp.int32)
  params = jax.jit(mixer.init)(jax.random.key(2), x, mixer.init_state(2))
  state = compiled(mixer, "remember")(params, encoded, valid)
  y, _ = jax.jit(mixer.apply)(params, x, state)
  p = jax.tree.map(
    lambda a: np.asarray(a, float),
    jax.tree.map(
      lambda b: b.unbox() if hasattr(b, "unbox") else b,
      params["params"],
      is_leaf=lambda b: hasattr(b, "unbox"),
    ),
  )
  h, s = np.asarray(encoded, float), np.asarray(x, float)
  for row, count in enumerate((5, 2)):
    for t in range(6):
      q = s[row, t] @ p["q"]["kernel"] + p["q"]["bias"]
      e = np.tanh(q + h[row, :count] @ p["k"]["kernel"]) @ p["w"]
      a = np.exp(e - e.max())
      expected = (a / a.sum()) @ h[row, :count] @ p["out"]["kernel"]
      np.testing.assert_allclose(y[row, t], expected, rtol=1e-4, atol=1e-5)


def test_sizes_that_cannot_be_built_are_named():
  base = EncoderDecoderConfig(vocab_size=20)
  for changes, words in (
    ({"pattern": (entry("gru"),)}, "reads nothing of the encoder"),
    ({"encoder": ()}, "encoder is empty"),
    ({"smoothing": 1.0}, "smoothing is 1.0"),
    ({"memory_size": -1}, "memory_size is -1"),
  ):
    with pytest.raises(ValueError, match=words):
      ranges.check(dataclasses.replace(base, **changes))
  with pytest.raises(ValueError, match="reads both ways"):
    pattern = (entry("encoder_attention"), entry("cross_attention"))
    ranges.check(dataclasses.replace(base, pattern=pattern))
  with pytest.raises(ValueError, match="nothing remembers"):
    ranges.check(dataclasses.replace(base, encoder=(entry("cross_attention"),)))
