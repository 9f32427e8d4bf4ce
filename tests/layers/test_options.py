"""Every option of every mixer and MLP has the effect that its case declares.

The programs are traced and not run, so an option costs milliseconds; the options whose
docstring promises other outputs are also computed, once each.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxmem import mixers
from jaxmem.models.entries import mlps
from jaxmem.models.pattern import options

WIDTH, LENGTH = 16, 24
# Outputs are computed once, so that compiling costs more than running.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


Choices = tuple[tuple[str, Any], ...]  # options and their values


class Case(NamedTuple):
  """How the effect of an option is tested.

  Attributes:
    effect: "shapes" of parameters or state; "start", the initial parameters; "outputs"
      of the same parameters; "program", which computes the same in another way; or
      "refused" here.
    values: other than the default, one of which at least has the effect.
    base: what other options must be, for this one to have an effect.
  """

  effect: str
  values: tuple[Any, ...]
  base: Choices = ()


def case(effect: str, *values: Any, **base: Any) -> Case:
  return Case(effect, values, tuple(base.items()))


YARN = dict(rotary_scaling="yarn", rotary_factor=4.0, trained_length=16, head_dim=16)
# The case of one mixer has precedence over that of all.
CASES = {
  # sizes
  "num_heads": case("shapes", 2),
  "num_kv_heads": case("shapes", 2),
  "head_dim": case("shapes", 8),
  "num_key_heads": case("shapes", 2),
  "key_dim": case("shapes", 6),
  "value_dim": case("shapes", 6),
  "width": case("shapes", 24),
  "expand": case("shapes", 3),
  "state_size": case("shapes", 6),
  "state_dim": case("shapes", 8),
  "step_rank": case("shapes", 5),
  "gate_rank": case("shapes", 5),
  "shift_rank": case("shapes", 5),
  "decay_rank": case("shapes", 5),
  "rate_rank": case("shapes", 5),
  "value_rank": case("shapes", 5, value_residual=True),
  "value_residual": case("shapes", True),
  "num_groups": case("shapes", 2),
  "num_writes": case("shapes", 3),
  "conv_size": case("shapes", 3),
  "mimo": case("shapes", False),
  "d_encoded": case("shapes", 8),
  "memory_size": case("shapes", 8),
  "window_size": case("shapes", 6),
  "num_sinks": case("shapes", 2),
  "num_global": case("shapes", 3),
  "dilation": case("shapes", 2),
  "capacity": case("shapes", 32),
  "memory_length": case("shapes", 8),
  "transformer_xl.segment_length": case("shapes", 8),
  "causal": case("outputs", False),
  # layers that an option adds
  "qk_norm": case("shapes", True),
  "gate": case("shapes", True),
  "use_bias": case("shapes", True),
  "out_bias": case("shapes", True),
  "gate_bias": case("shapes", True),
  "gelu.use_bias": case("shapes", False),
  "relu.use_bias": case("shapes", False),
  "conv_bias": case("shapes", False),
  "learned_sink": case("shapes", True),
  "bias": case("shapes", "buckets"),
  "num_buckets": case("shapes", 8, bias="buckets"),
  "peepholes": case("shapes", True),
  "layer_norm": case("shapes", True),
  "reset_after": case("shapes", False),
  "norm": case("shapes", "rms"),
  "receptance": case("shapes", True),
  # functions
  "qk_norm_offset": case("outputs", 1.0, qk_norm=True),
  "query_scale": case("outputs", 0.1),
  "qk_norm_epsilon": case("outputs", 0.1, qk_norm=True),
  "read_norm": case("outputs", True),
  "read_norm_epsilon": case("outputs", 0.1, read_norm=True),
  "first_unscaled": case("shapes", True),
  "shortest_step": case("outputs", 3.0),
  "longest_step": case("outputs", 0.1),
  "rotary_base": case("outputs", 100.0),
  "rotary_dim": case("outputs", 2),
  "rotary_scaling": case("outputs", "linear", rotary_factor=4.0),
  "rotary_factor": case("outputs", 8.0, rotary_scaling="linear"),
  "trained_length": case("outputs", 4096, **YARN),
  "rotary_fast": case("outputs", 2.0, **YARN | {"trained_length": 4096}),
  "rotary_slow": case("outputs", 10.0, **YARN | {"trained_length": 4096}),
  "farthest": case("outputs", 8, bias="buckets", num_buckets=4),
  "logit_cap": case("outputs", 0.5),
  "sparse_block": case("outputs", 2),
  "num_random": case("outputs", 0, sparse_block=2, num_random=1),
  "seed": case("outputs", 1, sparse_block=2, num_random=1),
  "through_memory": case("program", True),
  "negative_eigenvalues": case("outputs", True),
  "gated_delta_product.negative_eigenvalues": case("outputs", False),
  "temperature": case("outputs", 2.0),
  "feature_map": case("outputs", "relu"),
  "normalize": case("outputs", False),
  "gate_cap": case("outputs", 1.0),
  "hgrn.lower_bound": case("start", 0.1),
  "lower_bound": case("outputs", 0.5),
  "norm_epsilon": case("outputs", 0.1),
  "activation": case("outputs", "relu"),
  "forget": case("outputs", "exp"),
  "discretisation": case("outputs", "bilinear"),
  "approximate": case("outputs", True),
  "geglu.approximate": case("outputs", False),
  # initial parameters
  "forget_bias": case("start", 3.0),
  "min_decay": case("start", 0.5),
  "max_decay": case("start", 0.95),
  "max_phase": case("start", 1.0),
  "min_step": case("start", 0.01),
  "max_step": case("start", 1.0),
  # the way of the computation
  "chunk_size": case("program", 4),
  "block_size": case("program", 4),
  "form": case("program", "recurrent", "sequential", "parallel", "chunk", "dense"),
  "implementation": case("refused", "cudnn"),
  # nothing has a distance in another sequence
  "cross_attention.rotary_base": case("refused", 100.0),
  "cross_attention.rotary_dim": case("refused", 2),
  "cross_attention.rotary_scaling": case("refused", "linear"),
  "cross_attention.rotary_factor": case("refused", 2.0),
  "cross_attention.trained_length": case("refused", 16),
  "cross_attention.rotary_fast": case("refused", 2.0),
  "cross_attention.rotary_slow": case("refused", 1.5),
  "cross_attention.bias": case("refused", "buckets"),
  "cross_attention.num_buckets": case("refused", 8),
  "cross_attention.farthest": case("refused", 8),
}
LAYERS = {name: mixers.get(name).Mixer for name in mixers.names()} | mlps()


def options_of(name: str) -> list[str]:
  """Returns the options of a layer without its sizes, which are those of the model."""
  return [key for key in options(name) if key != "d_ff"]


def key_of(name: str, option: str) -> str:
  """Returns the key of an option's case: that of the layer, else that of all layers."""
  specific = f"{name}.{option}"
  return specific if specific in CASES else option


def first_with() -> dict[str, str]:
  """Maps the key of a case to the layer for which its outputs are computed."""
  layers = {}
  for name in LAYERS:
    if not hasattr(LAYERS[name], "remember"):  # of an encoder, and empty here
      for option in options_of(name):
        layers.setdefault(key_of(name, option), name)
  return layers


# An option that several layers share is computed for one of them, and traced for all.
COMPUTED = first_with()


def build(name: str, choices: Choices) -> nn.Module:
  sizes = {} if name in mixers.names() else {"d_ff": 2 * WIDTH}
  return LAYERS[name](d_model=WIDTH, **sizes, **dict(choices))


def arguments(layer: nn.Module) -> tuple:
  """Returns inputs of two rows, the second of which has two documents."""
  x = jax.random.normal(jax.random.key(1), (2, LENGTH, WIDTH))
  reset = jnp.zeros((2, LENGTH), bool).at[1, 9].set(True)
  return x, layer.init_state(2), reset


def text(function: Callable, *args: Any) -> str:
  """Returns the text of a program and of its constants."""
  jaxpr = jax.make_jaxpr(function)(*args)
  return str(jaxpr) + "".join(str(np.asarray(const)) for const in jaxpr.consts)


@functools.cache
def shapes(name: str, choices: Choices, _: Choices = ()) -> tuple[Any, Any]:
  """Returns the shapes of the parameters and of the state."""
  layer = build(name, choices)
  args = arguments(layer)
  params = jax.eval_shape(layer.init, jax.random.key(0), *args)
  plain = functools.partial(jax.tree.map, lambda a: jax.ShapeDtypeStruct(*_shape(a)))
  return plain(params), plain(args[1])


def _shape(array: Any) -> tuple[tuple[int, ...], Any]:
  return array.shape, array.dtype


@functools.cache
def start(name: str, choices: Choices, _: Choices = ()) -> str:
  """Returns the program that draws the parameters."""
  layer = build(name, choices)
  return text(layer.init, jax.random.key(0), *arguments(layer))


@functools.cache
def program(name: str, choices: Choices, base: Choices) -> str:
  """Returns the program of a layer with the parameters of the options `base`."""
  layer, (params, _) = build(name, choices), shapes(name, base)
  return text(layer.apply, params, *arguments(layer))


@functools.cache
def outputs(name: str, choices: Choices, base: Choices) -> np.ndarray:
  """Computes outputs with nonzero parameters: zeros would hide an option."""
  layer, draw = build(name, choices), np.random.default_rng(0)
  if hasattr(layer, "form"):  # the definition compiles the fastest
    layer = layer.clone(form="recurrent" if getattr(layer, "causal", True) else "dense")
  params, _ = shapes(name, base)
  params = jax.tree.map(lambda a: jnp.asarray(draw.normal(0.3, 0.3, a.shape)), params)
  args = params, *arguments(layer)
  y = np.asarray(jax.jit(layer.apply).lower(*args).compile(QUICK)(*args)[0])
  assert np.isfinite(y).all()
  return y


def changes(name: str, option: str, case: Case) -> bool:
  """Returns whether an option has the effect of its case."""
  if case.effect == "outputs" and COMPUTED.get(key_of(name, option)) == name:
    choices = (*case.base, (option, case.values[0]))
    y, other = (outputs(name, each, case.base) for each in (case.base, choices))
    return np.abs(y - other).max() > 1e-4
  trace = {"shapes": shapes, "start": start}.get(case.effect, program)
  usual = trace(name, case.base, case.base)
  for value in case.values:
    with contextlib.suppress(ValueError):  # another op has that form
      if trace(name, (*case.base, (option, value)), case.base) != usual:
        return True
  return False


def test_every_option_of_every_layer_has_a_case():
  """A new option must declare its effect here."""
  keys = {key_of(name, option) for name in LAYERS for option in options_of(name)}
  assert keys == CASES.keys()


@pytest.mark.parametrize("name", LAYERS)
def test_every_option_does_what_its_case_says(name):
  for option in options_of(name):
    case = CASES[key_of(name, option)]
    if case.effect == "refused":
      with pytest.raises(ValueError, match=str(case.values[0])):
        program(name, ((option, case.values[0]),), ())
    else:
      assert changes(name, option, case), f"{option} of {name}: no {case.effect}"
