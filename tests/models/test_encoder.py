"""The encoder: texts read both ways, heads, windows, and what padding does not do."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmem.models.encoder import Encoder, EncoderConfig
from jaxmem.models.pattern import both_ways, entry, parse, show

SMALL = EncoderConfig(vocab_size=30, d_model=16, num_groups=2, classes=3)
PATTERNS = (
  "encoder_attention:num_heads=2",
  "longformer:num_heads=2:window_size=4:causal=False",
  "bigbird:num_heads=2:sparse_block=4",
  "gru",
  "lstm",
  "mamba2:num_heads=2",
)


def compiled(model, method):
  """A method of the model as one program of (params, batch, ...)."""
  return jax.jit(functools.partial(model.apply, method=method))


def build(**changes):
  config = dataclasses.replace(SMALL, **changes)
  model = Encoder(config)
  example = model.example(4, 16)
  init = jax.jit(functools.partial(model.init, method="objective"))
  params = init(jax.random.key(0), example, ())
  # zeros at first, heads and biases tell nothing apart
  noise = jax.random.normal(jax.random.key(1), (997,))
  params = jax.tree.map(
    lambda a: a + 0.1 * jnp.resize(noise, a.shape).astype(a.dtype), params
  )
  return model, params


def texts(seed=0, rows=4, length=16):
  draw = np.random.default_rng(seed)
  batch = {
    "tokens": draw.integers(0, 30, (rows, length)).astype(np.int32),
    "types": (np.arange(length) > 5).astype(np.int32) * np.ones((rows, 1), np.int32),
    "length": np.array([16, 9, 1, 12], np.int32)[:rows],
    "label": np.array([0, 1, 2, 1], np.int32)[:rows],
    "choices": np.ones((rows, 3), bool),
    "weights": np.ones(rows, np.float32),
  }
  return jax.tree.map(jnp.asarray, batch)


@pytest.mark.parametrize("block", ["pre", "post"])
@pytest.mark.parametrize("text", PATTERNS)
def test_padding_moves_nothing(text, block):
  model, params = build(pattern=parse(text), block=block, positions=16, types=2)
  batch = texts()
  mask = jnp.arange(16) < batch["length"][:, None]
  other = batch | {"tokens": jnp.where(mask, batch["tokens"], 7)}
  run = jax.jit(lambda b: model.apply(params, b, method="vector"))
  np.testing.assert_allclose(run(batch), run(other), rtol=0, atol=1e-6)


@pytest.mark.parametrize("text", PATTERNS[:4])
def test_a_token_sees_what_stands_before_and_behind(text):
  model, params = build(pattern=parse(text), head="spans")
  batch = texts() | {"context": jnp.ones((4, 16), bool)}
  spans = compiled(model, "spans")
  out = lambda b: spans(params, b)[0, 8]
  base = out(batch)
  for place in (7, 9):
    tokens = batch["tokens"].at[0, place].add(1) % 30
    assert np.abs(out(batch | {"tokens": tokens}) - base).max() > 1e-4


def test_a_pattern_both_ways_says_so_once():
  pattern = parse("gru,encoder_attention,lstm:chunk_size=8")
  twice = both_ways(pattern)
  text = "bidirectional(gru),encoder_attention,bidirectional(lstm:chunk_size=8)"
  assert show(twice) == text
  assert both_ways(twice) == twice
  mixed = both_ways(parse("sum(learned_init(gru),encoder_attention)/none"))
  text = "sum(bidirectional(learned_init(gru)),encoder_attention)/none"
  assert show(mixed) == text and both_ways(mixed) == mixed


def test_windows_do_not_see_each_other_and_their_mean_is_the_text():
  model, params = build(window=8)
  batch = texts(rows=1)
  run = compiled(model, "vector")
  whole = run(params, batch)
  halves = []
  for i in (0, 1):
    part = lambda a, i=i: a[:, 8 * i : 8 * i + 8]
    own = {"tokens": part(batch["tokens"]), "types": part(batch["types"])}
    halves.append(run(params, own | {"length": jnp.array([8])}))
  np.testing.assert_allclose(whole, (halves[0] + halves[1]) / 2, atol=1e-6)


def test_a_memory_between_windows_knows_their_order_and_stops_at_the_last():
  model, params = build(window=4, between=(entry("gru"),))
  batch = texts(rows=1)
  run = functools.partial(compiled(model, "vector"), params)
  turned = batch | {"tokens": jnp.roll(batch["tokens"], 8, axis=1)}
  assert np.abs(run(batch) - run(turned)).max() > 1e-3
  short = batch | {"length": jnp.array([8])}
  longer = short | {"tokens": batch["tokens"].at[:, 8:].set(3)}
  np.testing.assert_array_equal(run(short), run(longer))
  mean, params = build(window=4)
  run = functools.partial(compiled(mean, "vector"), params)
  np.testing.assert_allclose(run(batch), run(turned), atol=1e-5)


def test_classes_that_a_row_may_not_have_get_nothing():
  model, params = build()
  batch = texts()
  batch["choices"] = batch["choices"].at[:, 2].set(False)
  share = jax.nn.softmax(compiled(model, "logits")(params, batch))
  np.testing.assert_array_equal(share[:, 2], 0)
  batch["label"] = jnp.minimum(batch["label"], 1)
  loss = lambda p: model.apply(p, batch, (), method="objective")[0].sum()
  grads = jax.jit(jax.grad(loss))(params)["params"]["head"]["kernel"].unbox()
  assert np.isfinite(grads).all() and not grads[:, 2].any() and grads[:, 0].any()


def test_smoothing_is_optax_s_and_only_while_learning():
  model, params = build(smoothing=0.3)
  batch = texts()
  objective = jax.jit(
    lambda params, quiet: model.apply(params, batch, (), quiet, method="objective"),
    static_argnums=1,
  )
  nats = lambda quiet: objective(params, quiet)[0]
  logits = compiled(model, "logits")(params, batch)
  hot = jax.nn.one_hot(batch["label"], 3)
  soft = optax.softmax_cross_entropy(logits, optax.smooth_labels(hot, 0.3))
  np.testing.assert_allclose(nats(False), soft, rtol=1e-5)
  np.testing.assert_allclose(
    nats(True), optax.softmax_cross_entropy(logits, hot), rtol=1e-5
  )


def test_pairs_are_info_nce_and_rows_that_share_a_text_are_no_rivals():
  model, params = build(head="embedding", temperature=0.5)
  batch = texts() | {
    "other": texts(1)["tokens"],
    "other_length": jnp.array([16, 3, 5, 8], jnp.int32),
    "group": jnp.array([0, 1, 1, 2], jnp.int32),
    "other_group": jnp.array([5, 6, 7, 5], jnp.int32),
  }
  nats = compiled(model, "objective")(params, batch, ())[0]
  run = compiled(model, "embed")
  embed = lambda tokens, length: np.asarray(
    run(params, {"tokens": tokens, "length": length}), float
  )
  a = embed(batch["tokens"], batch["length"])
  b = embed(batch["other"], batch["other_length"])
  np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
  scores = np.exp(a @ b.T / 0.5)
  for one, other in ((1, 2), (0, 3)):
    scores[one, other] = scores[other, one] = 0
  own = scores.diagonal()
  wanted = -(np.log(own / scores.sum(1)) + np.log(own / scores.sum(0))) / 2
  np.testing.assert_allclose(nats, wanted, rtol=1e-4)


def test_documents_of_a_row_do_not_leak_into_each_other():
  model, params = build(head="masked", pattern=parse("gru,encoder_attention"))
  batch = texts()
  reset = jnp.zeros((4, 16), bool).at[:, 0].set(True).at[:, 7].set(True)
  batch |= {"targets": batch["tokens"], "reset": reset}
  run = functools.partial(compiled(model, "losses"), params)
  other = batch | {"tokens": batch["tokens"].at[:, 7:].set(2)}
  np.testing.assert_array_equal(run(batch)[:, :7], run(other)[:, :7])
  assert np.abs(run(batch)[:, 7:] - run(other)[:, 7:]).max() > 0.01


def test_numbers_out_of_range_are_said():
  for changes, words in (
    ({"smoothing": 1.0}, "smoothing is 1.0"),
    ({"temperature": 0.0}, "temperature is 0.0"),
    ({"between": (entry("gru"),)}, "set window"),
    ({"between": (entry("gru"),), "head": "spans"}, "reads tokens"),
    ({"window": -1}, "window is -1"),
  ):
    with pytest.raises(ValueError, match=words):
      dataclasses.replace(SMALL, **changes).check()
  with pytest.raises(ValueError, match="17 tokens and 16 positions"):
    init = Encoder(dataclasses.replace(SMALL, positions=16)).init
    init = functools.partial(init, method="objective")
    jax.eval_shape(init, jax.random.key(0), Encoder(SMALL).example(1, 17), ())


def test_pooling_takes_the_mean_the_largest_or_the_first_of_a_text():
  model, params = build()
  batch = texts()
  x = np.asarray(model.apply(params, batch, method="tokens"), np.float32)
  read = [row[:length] for row, length in zip(x, batch["length"], strict=True)]
  for pool, of in (
    ("mean", lambda row: row.mean(0)),
    ("max", lambda row: row.max(0)),
    ("first", lambda row: row[0]),
  ):
    other = Encoder(dataclasses.replace(model.config, pool=pool))
    found = other.apply(params, batch, method="vector")
    np.testing.assert_allclose(found, np.stack([*map(of, read)]), rtol=1e-5, atol=1e-6)
