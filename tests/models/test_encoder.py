"""The encoder reads both ways and by windows, and padding changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.core import ranges
from jaxmem.core.errors import ConfigError
from jaxmem.models.encoder import Encoder, EncoderConfig
from jaxmem.models.pattern import both_ways, entry, parse, show

SMALL = EncoderConfig(vocab_size=30, d_model=16, num_groups=2)
PATTERNS = (
  "encoder_attention:num_heads=2",
  "longformer:num_heads=2:window_size=4:causal=False",
  "bigbird:num_heads=2:sparse_block=4",
  "gru",
  "lstm",
  "mamba2:num_heads=2",
)


def compiled(model, method):
  """Compiles a method of the model as a function of (params, batch, ...)."""
  return jax.jit(functools.partial(model.apply, method=method))


def build(**changes):
  model = Encoder(dataclasses.replace(SMALL, **changes))
  init = jax.jit(functools.partial(model.init, method="vector"))
  params = init(jax.random.key(0), texts())
  # biases start as zeros, at which a change would have no effect
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
def test_a_token_sees_tokens_before_and_after_it(text):
  model, params = build(pattern=parse(text))
  batch, read = texts(), compiled(model, "tokens")

  def out(b):
    return read(params, b)[0, 8]

  base = out(batch)
  for position in (7, 9):
    tokens = batch["tokens"].at[0, position].add(1) % 30
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
  mean = run(params, batch)
  halves = []
  for i in (0, 1):

    def part(a, i=i):
      return a[:, 8 * i : 8 * i + 8]

    window = {"tokens": part(batch["tokens"]), "types": part(batch["types"])}
    halves.append(run(params, window | {"length": jnp.array([8])}))
  np.testing.assert_allclose(mean, (halves[0] + halves[1]) / 2, atol=1e-6)


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


def test_documents_of_a_row_do_not_leak_into_each_other():
  model, params = build(pattern=parse("gru,encoder_attention"))
  tokens = texts()["tokens"]
  reset = jnp.zeros((4, 16), bool).at[:, 0].set(True).at[:, 7].set(True)
  run = functools.partial(compiled(model, "features"), params)
  x, other = run(tokens, reset), run(tokens.at[:, 7:].set(2), reset)
  np.testing.assert_array_equal(x[:, :7], other[:, :7])
  assert np.abs(x[:, 7:] - other[:, 7:]).max() > 0.01


def test_fields_that_a_task_has_now_are_named():
  for key, now in (
    ("head", "decided by the task"),
    ("smoothing", "task.label_smoothing of classification"),
    ("temperature", "task.temperature of retrieval"),
  ):
    with pytest.raises(ConfigError, match=f"{key}=. is now {now}"):
      EncoderConfig(**{key: "x"})


def test_numbers_out_of_range_are_named():
  for changes, words in (
    ({"between": (entry("gru"),)}, "set window"),
    ({"window": -1}, "window is -1"),
  ):
    with pytest.raises(ValueError, match=words):
      ranges.check(dataclasses.replace(SMALL, **changes))
  with pytest.raises(ValueError, match="17 tokens and 16 positions"):
    init = Encoder(dataclasses.replace(SMALL, positions=16)).init
    init = functools.partial(init, method="vector")
    jax.eval_shape(init, jax.random.key(0), texts(length=17))


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
    pooled = other.apply(params, batch, method="vector")
    np.testing.assert_allclose(pooled, np.stack([*map(of, read)]), rtol=1e-5, atol=1e-6)
