"""Every field of a language model's config changes the model."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry

GRU = (entry("gru"),)
BASE = LMConfig(vocab_size=11, d_model=8, d_ff=8, pattern=GRU)
# Field -> another value, and what other fields must be for it to have an effect.
CASES = {
  "vocab_size": (13, {}),
  "d_model": (16, {}),
  "d_ff": (16, {}),
  "pattern": ((entry("lstm"),), {}),
  "num_groups": (2, {}),
  "first": (GRU, {}),
  "last": (GRU, {}),
  "mlp": ("gelu", {}),
  "norm": ("layer", {}),
  "norm_epsilon": (1e-3, {}),
  "norm_offset": (1.0, {}),
  "norm_bias": (False, {"norm": "layer"}),
  "norm_position": ("post", {}),
  "parallel": (True, {}),
  "residual_scale": (0.5, {}),
  "final_norm": (False, {}),
  "embedding_scale": (2.0, {}),
  "embedding_norm": (True, {}),
  "positions": (32, {}),
  "logit_cap": (5.0, {}),
  "dropout": (0.5, {}),
  "tied": (False, {}),
  "remat": (True, {}),
  "loss_chunk": (4, {}),
  "dtype": ("bfloat16", {}),
}


def traced(config: LMConfig) -> str:
  """Returns the shapes of the parameters, and the program of the training losses."""
  model, key = LM(config), jax.random.key(0)
  tokens = jnp.zeros((2, 12), jnp.int32)
  state, reset = model.init_state(2), jnp.zeros((2, 12), bool)

  def losses(params):
    args = tokens, tokens, state, reset, False
    return model.apply(params, *args, rngs={"dropout": key}, method="losses")

  with jax.numpy_dtype_promotion("standard"):  # flax's norms need it
    params = jax.eval_shape(model.init, key, tokens, state, reset)
    return f"{params}{jax.make_jaxpr(losses)(params)}"


def test_every_field_has_a_case():
  assert [field.name for field in dataclasses.fields(LMConfig)] == [*CASES]


@pytest.mark.parametrize("name", CASES)
def test_every_field_changes_the_model(name):
  value, options = CASES[name]
  base = dataclasses.replace(BASE, **options)
  assert traced(base) != traced(dataclasses.replace(base, **{name: value}))
