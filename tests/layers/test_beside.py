"""A sum of memories begins as the first one alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.models import capacity
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import (
  PatternError,
  check_language,
  entry,
  mixer,
  parse,
  show,
  walk,
)
from jaxmem.models.wrappers.sum import Sum
from jaxmem.testing import check_laws, check_shards, example_of
from jaxmem.training import config

OLD = "window:rotary_base=1e+20:window_size=6+mingru"
TEXT = "sum(window:rotary_base=1e+20:window_size=6,mingru)"
SMALL = "window:block_size=8:num_heads=2:window_size=6"


def _mixer(text):
  return mixer(parse(text)[0], 8, "float32", parent=None)


def test_sum_obeys_the_laws():
  check_laws(_mixer(f"sum({SMALL},mingru)"))


@pytest.mark.full
@pytest.mark.parametrize("name", ["gated_delta", "mamba2", "retention"])
def test_sum_obeys_the_laws_with_any_memory(name):
  item = entry("window", **example_of("window"), beside=entry(name, **example_of(name)))
  check_laws(mixer(item, 8, "float32", parent=None), full=True)


@pytest.mark.full
def test_shards_do_not_matter_to_a_sum():
  check_shards(_mixer(f"sum({SMALL},mingru)"), shards=(2,))


def test_sum_begins_as_its_base_and_can_learn():
  both = _mixer(f"sum({SMALL},mingru)")
  x = jax.random.normal(jax.random.key(0), (2, 12, 8))
  state = both.init_state(2)
  params = jax.jit(both.init)(jax.random.key(1), x, state)["params"]

  @jax.jit
  def run(params):
    alone = both.base.apply({"params": params["base"]}, x, state[0])
    y, pull, after = jax.vjp(
      lambda p: both.apply({"params": p}, x, state), params, has_aux=True
    )
    (grads,) = pull(jnp.ones_like(y))
    return y, after, alone, grads["scale"].unbox()

  y, after, (alone, base_state), grad = run(params)

  np.testing.assert_array_equal(y, alone)
  jax.tree.map(np.testing.assert_array_equal, after[0], base_state)
  assert jnp.abs(grad).min() > 0


def test_pattern_writes_a_sum_and_reads_it_back():
  (item,) = parse(TEXT)

  assert show(parse(TEXT)) == show(parse(OLD)) == TEXT and hash(item)
  options = {"rotary_base": 1e20, "window_size": 6, "beside": entry("mingru")}
  assert item == entry("window", **options)
  assert item == entry(
    "sum", entry("window", rotary_base=1e20, window_size=6), "mingru"
  )
  layer = mixer(item, 8, "float32", parent=None)
  assert isinstance(layer, Sum) and layer.base.rotary_base == 1e20
  run = config.Config(model=LMConfig(11, pattern=parse(f"gru,{OLD}+lstm")))
  assert config.from_json(config.to_json(run)) == run


def test_a_sum_of_three_is_taken_apart():
  names = [item.name for item in walk(parse("gru,window+mingru+lstm"))]
  assert names == ["gru", "window", "mingru", "lstm"]
  assert len(_mixer("window+mingru+lstm").init_state(1)[1]) == 2


@pytest.mark.parametrize(
  "text, message",
  [
    ("window+grru", "no memory 'grru': did you mean 'gru'"),
    ("window+gru:size=3", "memory 'gru' has no option 'size'"),
    ("window+", "no memory"),
  ],
)
def test_what_a_sum_cannot_hold_is_named(text, message):
  with pytest.raises(PatternError, match=message):
    parse(text)


def test_a_sum_is_refused_for_any_of_its_memories():
  with pytest.raises(PatternError, match="reads both ways"):
    check_language(parse("window+encoder_attention"))
  limit = capacity.limit(parse("window+attention:capacity=7"))
  assert limit == capacity.Limit("attention", 7)


def test_parallel_parts_are_added():
  both = _mixer(f"parallel({SMALL},mingru)")
  x = jax.random.normal(jax.random.key(0), (2, 12, 8))
  state = both.init_state(2)
  params = jax.jit(both.init)(jax.random.key(1), x, state)["params"]

  y, after = both.apply({"params": params}, x, state)
  parts = [
    part.apply({"params": params[f"parts_{i}"]}, x, state[i])
    for i, part in enumerate(both.parts)
  ]

  np.testing.assert_allclose(y, parts[0][0] + parts[1][0], rtol=1e-5, atol=1e-6)
  jax.tree.map(np.testing.assert_array_equal, after, (parts[0][1], parts[1][1]))


@pytest.mark.full
def test_parallel_parts_obey_the_laws():
  check_laws(_mixer(f"parallel({SMALL},mingru)"))
