"""Every mixer refuses impossible sizes when it is made."""

import dataclasses
import math

import numpy as np
import pytest

from jaxmem import mixers
from jaxmem.commands import draw
from jaxmem.core.errors import UserError
from jaxmem.layers.mixer import Memory
from jaxmem.models.pattern import PatternError, built, entry, options

HEADS = [name for name in mixers.names() if "num_heads" in options(name)]
# Of each option a number that no mixer can have.
IMPOSSIBLE = {
  "num_heads": -4,
  "num_kv_heads": -1,
  "head_dim": -2,
  "key_dim": -1,
  "value_dim": -1,
  "window_size": 0,
  "num_sinks": -1,
  "capacity": 0,
  "segment_length": 0,
  "memory_length": -1,
  "memory_size": 0,
  "d_encoded": -1,
  "chunk_size": 0,
  "block_size": 0,
  "conv_size": 0,
  "state_size": -1,
  "state_dim": 0,
  "step_rank": -1,
  "gate_rank": -1,
  "shift_rank": 0,
  "decay_rank": -1,
  "rate_rank": -1,
  "num_groups": 0,
  "num_writes": 0,
  "num_global": -1,
  "num_random": -1,
  "sparse_block": 0,
  "dilation": 0,
  "expand": 0,
  "width": -1,
  "num_buckets": 0,
  "farthest": 0,
  "trained_length": -1,
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_do_not_divide_are_refused(name):
  mixer = mixers.get(name).Mixer
  with pytest.raises(ValueError, match=r"\b(16|8)\b.*\b3 heads"):
    mixer(d_model=8, num_heads=3)
  with pytest.raises(ValueError, match="num_heads is 0: it must be at least 1"):
    mixer(d_model=8, num_heads=0)


@pytest.mark.parametrize("name", mixers.names())
def test_impossible_sizes_are_refused(name):
  mixer = mixers.get(name).Mixer
  wrong = {k: v for k, v in IMPOSSIBLE.items() if k in options(name)}
  for key, value in (wrong | {"d_model": 0}).items():
    with pytest.raises(ValueError, match=f"{key} is {value}: "):
      mixer(**({"d_model": 8} | {key: value}))


class UserMixer(Memory):
  """A mixer that a user of the package has written."""

  d_model: int
  taps: int = 4
  seed: int = 0
  gate: bool = False
  kind: str = "none"
  cap: float | None = None
  rate: float = 1.0


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"d_model": 8.0}, "d_model is 8.0: it must be a whole number"),
    ({"d_model": 8, "taps": "4"}, "taps is '4': it must be a whole number"),
    ({"d_model": 8, "taps": True}, "taps is True: it must be a whole number"),
    ({"d_model": 8, "seed": 2.5}, "seed is 2.5: it must be a whole number"),
    ({"d_model": 8, "gate": "false"}, "gate is 'false': it must be True or False"),
    ({"d_model": 8, "gate": 0}, "gate is 0: it must be True or False"),
    ({"d_model": 8, "kind": None}, "kind is None: it must be a word"),
    ({"d_model": 8, "cap": "x"}, "cap is 'x': it must be a number"),
    ({"d_model": 8, "rate": None}, "rate is None: it must be a number"),
    ({"d_model": 8, "rate": True}, "rate is True: it must be a number"),
    ({"d_model": -1}, "d_model is -1: it must be at least 1"),
  ],
)
def test_options_of_any_mixer_have_the_type_of_their_field(values, message):
  with pytest.raises(ValueError, match=message):
    UserMixer(**values)
  assert UserMixer(d_model=8, seed=-1, rate=np.float32(2), cap=3).taps == 4


# Of each type of an option numbers that it cannot be.
WRONG = {
  int: (2**40,),
  float: (math.nan, math.inf, -math.inf, 1e39),
  float | None: (math.nan, -math.inf, 0.0, -1.0),
}


@pytest.mark.parametrize("name", mixers.names())
def test_numbers_and_dtypes_out_of_range_are_refused(name):
  mixer = mixers.get(name).Mixer
  for field in dataclasses.fields(mixer):
    values = ("nonsense", "int32") if field.name == "dtype" else WRONG.get(field.type)
    for value in values or ():
      with pytest.raises(ValueError, match=f"{field.name} is "):
        mixer(**({"d_model": 8} | {field.name: value}))


@pytest.mark.parametrize(
  ("name", "values", "message"),
  [
    ("gla", {"temperature": 0.0}, "temperature is 0.0: it must be above 0"),
    ("mlstm", {"gate_cap": -1.0}, "gate_cap is -1.0: it must be above 0"),
    ("retention", {"rotary_base": 0.0}, "rotary_base is 0.0: it must be above 0"),
    ("lru", {"max_decay": 1.0}, "max_decay is 1.0: .* and below 1"),
    (
      "lru",
      {"min_decay": 0.9, "max_decay": 0.5},
      "max_decay is 0.5: .* min_decay .0.9.",
    ),
    ("s5", {"discretisation": "zho"}, "discretisation is 'zho': one of zoh, bilinear"),
    ("window", {"bias": "alibbi"}, "did you mean 'alibi'"),
    ("s5", {"min_step": 1.0}, "max_step is 0.1: .* min_step .1.0."),
    ("window", {"rotary_scaling": "yarn"}, "needs the trained length"),
    (
      "window",
      {"rotary_dim": 3, "head_dim": 8},
      "rotary dim 3: it is 0 or made of pairs",
    ),
    ("attention", {"rotary_dim": 64}, "rotary_dim 64 is more than head_dim"),
    ("cross_attention", {"rotary_scaling": "x"}, "rotary scaling 'x': it is one of"),
    ("longformer", {"dilation": ()}, "dilation is \\(\\): a whole number"),
    ("gated_delta", {"num_key_heads": 3}, "4 heads do not divide among 3 key heads"),
    ("attention", {"num_kv_heads": 3}, "4 heads do not divide among 3 key heads"),
    ("mamba2", {"num_groups": 3}, "16 channels, 4 heads and 3 groups"),
    ("s5", {"state_size": 7}, "state_size 7 is odd"),
    ("retention", {"key_dim": 3}, "key_dim 3 is odd"),
    ("window", {"head_dim": 3}, "head_dim 3 is odd"),
  ],
)
def test_sizes_that_do_not_fit_one_another_are_refused(name, values, message):
  with pytest.raises(ValueError, match=message):
    mixers.get(name).Mixer(d_model=8, **values)


def test_a_pattern_says_which_memory_cannot_be_built():
  with pytest.raises(PatternError, match="'gla:num_heads=3' cannot be built: d_mod"):
    built(entry("gla", num_heads=3), 8, "float32")
  with pytest.raises(PatternError, match="'hgrn:lower_bound=2.0' cannot be built: "):
    built(entry("hgrn", lower_bound=2.0), 8, "float32")


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["window:window_size=0"], "cannot be built: window_size is 0"),
    (["gru:chunk_size=0+window:window_size=0"], "cannot be built: "),
    (["causal", "--documents", "4,x"], "whole numbers, with commas between"),
  ],
)
def test_draw_refuses_in_one_sentence(argv, message):
  with pytest.raises(UserError, match=message):
    draw.main(argv)
