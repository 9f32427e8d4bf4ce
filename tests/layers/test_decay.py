"""Every parameter declares whether weight decay acts on it, as these tables say."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxmem import mixers
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry, mixer, options
from jaxmem.parallel import mesh as meshes
from jaxmem.testing import example_of
from jaxmem.training import optimizer as optim
from jaxmem.training.config import OptimConfig
from support.every_model import MODELS

# Options that add parameters, switched on wherever a memory has them.
EXTRAS = {
  "qk_norm": True,
  "gate": True,
  "use_bias": True,
  "bias": "buckets",
  "learned_sink": True,
  "peepholes": True,
  "layer_norm": True,
}
HEADS = "gate/kernel k/kernel out/kernel q/kernel v/kernel"
HEADS_NOT = "gate/bias k/bias k_norm/scale out/bias q/bias q_norm/scale v/bias"
DELTA = "conv/taps decay/kernel gate/kernel out/kernel qkv/kernel write/kernel"

# What decays in each memory, and what does not.
MEMORIES = {
  "additive_attention": ("k/kernel out/kernel q/kernel", "q/bias w"),
  "attention": (HEADS, f"{HEADS_NOT} buckets sink"),
  "bigbird": (HEADS, f"{HEADS_NOT} buckets sink"),
  "cross_attention": (HEADS, f"{HEADS_NOT} sink"),
  "delta_net": ("conv/taps out/kernel qkv/kernel write/kernel", "norm/scale"),
  "encoder_attention": (HEADS, f"{HEADS_NOT} buckets sink"),
  "forgetting_attention": (f"{HEADS} forget/kernel", f"{HEADS_NOT} forget/bias"),
  "gated_delta": (DELTA, "norm/scale rate step"),
  "gated_delta_product": (DELTA, "norm/scale rate step"),
  "gla": (f"{HEADS} decay/kernel decay_in/kernel", "decay/bias norm/scale"),
  "gru": ("input recurrent", "bias read_bias"),
  "hgrn": (
    "candidate/kernel forget/kernel gate/kernel out/kernel",
    "bound forget/bias norm/scale",
  ),
  "hgrn2": ("forget/kernel out/kernel q/kernel v/kernel", "norm/scale"),
  "kda": (f"{DELTA} decay_in/kernel gate_in/kernel", "norm/scale rate step"),
  "linear_attention": ("k/kernel out/kernel q/kernel v/kernel", ""),
  "longformer": (
    f"{HEADS} k_global/kernel q_global/kernel v_global/kernel",
    f"{HEADS_NOT} buckets sink k_global/bias k_norm_global/scale q_global/bias "
    "q_norm_global/scale v_global/bias",
  ),
  "lru": ("gate/kernel read value/kernel", "gain nu skip theta write"),
  "lstm": ("input recurrent", "bias cell_gain input_gain peepholes recurrent_gain"),
  "mamba": (
    "conv/taps in/kernel out/kernel read/kernel step_kernel",
    "conv/bias in/bias out/bias rate skip step",
  ),
  "mamba2": (
    "conv/taps dt/kernel gate/kernel out/kernel xbc/kernel",
    "conv/bias dt/bias gate/bias norm/scale out/bias rate skip step xbc/bias",
  ),
  "mingru": ("candidate/kernel gate/kernel", "candidate/bias gate/bias"),
  "minlstm": (
    "candidate/kernel forget/kernel write/kernel",
    "candidate_bias forget_bias write_bias",
  ),
  "mlstm": (
    f"{HEADS} forget/kernel input/kernel",
    "forget_bias input_bias norm/scale",
  ),
  "retention": (HEADS, ""),
  "rglru": (
    "conv/taps gate/kernel in/kernel input_gate_kernel out/kernel "
    "recurrence_gate_kernel",
    "conv/bias decay gate/bias in/bias input_gate_bias out/bias recurrence_gate_bias",
  ),
  "rnn": ("input recurrent", "bias"),
  "rwkv6": (
    "g/kernel k/kernel out/kernel r/kernel v/kernel",
    "bonus decay/kernel decay_base decay_in/kernel norm/bias norm/scale shift shift_g "
    "shift_in/kernel shift_k shift_out shift_r shift_v shift_w",
  ),
  "rwkv7": (
    "k/kernel out/kernel r/kernel v/kernel",
    "a/kernel a_in/kernel bonus decay g/kernel g_in/kernel norm/bias norm/scale rate "
    "removed replaced shift_a shift_g shift_k shift_r shift_v shift_w w/kernel "
    "w_in/kernel",
  ),
  "s5": ("gate/kernel read", "frequency rate skip step write"),
  "slstm": (
    "cell_input_kernel conv/taps forget_gate_kernel input_gate_kernel "
    "output_gate_kernel recurrent",
    "cell_input_bias conv/bias forget_gate_bias input_gate_bias norm output_gate_bias",
  ),
  "transformer_xl": (f"{HEADS} distance/kernel", f"{HEADS_NOT} content place"),
  "window": (HEADS, f"{HEADS_NOT} buckets sink"),
}
SETTINGS = {
  "s4d": (
    entry("s5", mimo=False),
    "gate/kernel read value/kernel",
    "frequency rate skip step write",
  ),
  "learned start": (
    entry("gated_delta", num_heads=2, learned_start=True),
    " ".join(f"mixer/{name}" for name in DELTA.split()),
    "mixer/norm/scale mixer/rate mixer/step start_s",
  ),
  "beside": (
    entry("rnn", beside="lru"),
    "base/input base/recurrent memory/gate/kernel memory/read memory/value/kernel",
    "base/bias memory/gain memory/nu memory/skip memory/theta memory/write scale",
  ),
  "both ways": (
    entry("rnn", both_ways=True),
    "backward/input backward/recurrent forward/input forward/recurrent out/kernel",
    "backward/bias forward/bias",
  ),
}


def _declared(init):
  """Maps the path of each boxed parameter to what it declares."""
  names = meshes.param_names(jax.eval_shape(init)["params"])
  flat = jax.tree_util.tree_leaves_with_path(names, is_leaf=meshes.is_names)
  return {"/".join(k.key for k in path): axes.decay for path, axes in flat}


def _of_mixer(item):
  layer = mixer(item, 8, "float32")
  x, state = jnp.ones((1, 4, 8)), layer.init_state(1)
  return _declared(lambda: layer.init(jax.random.key(0), x, state))


def _table(decays, not_decayed):
  table = dict.fromkeys(decays.split(), True)
  return table | dict.fromkeys(not_decayed.split(), False)


@pytest.mark.parametrize("name", mixers.names())
def test_every_parameter_says_whether_it_decays(name):
  declared = _of_mixer(entry(name, **example_of(name)))
  assert [path for path, decay in declared.items() if decay is None] == []


@pytest.mark.parametrize("name", sorted(MEMORIES))
def test_what_decays_in_a_memory(name):
  extras = {k: v for k, v in EXTRAS.items() if k in options(name)}
  if name == "cross_attention":  # it has no distances
    del extras["bias"]
  item = entry(name, **extras, **example_of(name))
  assert _of_mixer(item) == _table(*MEMORIES[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_what_decays_around_a_memory(name):
  item, *tables = SETTINGS[name]
  assert _of_mixer(item) == _table(*tables)


# Blocks around a recurrent network by its path in the model.
PRE = (
  "{0}/input {0}/recurrent {1}/mlp/down/kernel {1}/mlp/gate/kernel {1}/mlp/up/kernel",
  "{0}/bias {1}/mixer_norm/scale {1}/mlp_norm/scale",
)
WAYS = (
  "{0}/forward/input {0}/forward/recurrent {0}/backward/input {0}/backward/recurrent "
  "{0}/out/kernel",
  "{0}/forward/bias {0}/backward/bias",
)
MLP = (
  "{1}/mlp/down/kernel {1}/mlp/gate/kernel {1}/mlp/up/kernel",
  "{1}/mixer_norm/scale {1}/mlp_norm/scale",
)
POST = (
  "{1}/down/kernel {1}/up/kernel",
  "{1}/down/bias {1}/up/bias {1}/mixer_norm/scale {1}/mixer_norm/bias "
  "{1}/mlp_norm/scale {1}/mlp_norm/bias",
)
ADDITIVE = ("{0}/k/kernel {0}/q/kernel {0}/out/kernel", "{0}/q/bias {0}/w")


def _blocks(stack, *tables):
  block = f"{stack}/groups/block_0"

  def path(text):
    return text.format(f"{block}/mixer", block)

  return {k: v for t in tables for k, v in _table(*map(path, t)).items()}


TABLES = "embedding positions types"
# What decays in each model of `every_model`.
MODEL_TABLES = {
  "lm": _table("embedding head", "norm/scale") | _blocks("stack", PRE),
  "masked": _table(TABLES, "norm/scale") | _blocks("stack", WAYS, MLP),
  "labels": (
    _table(f"{TABLES} head/kernel", "norm/scale head/bias")
    | _blocks("stack", WAYS, MLP)
    | _blocks("carry", PRE)
  ),
  "spans": (
    _table(
      f"{TABLES} head/kernel", "embedding_norm/scale embedding_norm/bias head/bias"
    )
    | _blocks("stack", WAYS, POST)
  ),
  "embedding": (
    _table(TABLES, "norm/scale") | _blocks("stack", WAYS, MLP) | _blocks("carry", PRE)
  ),
  "vae": (
    _table(
      "embedding gaussian/kernel given/kernel",
      "gaussian/bias norm/scale reader/norm/scale reader/norm_0/scale",
    )
    | _table(*(text.format("reader/mixer_0") for text in WAYS))
    | _blocks("stack", PRE)
  ),
  "encoder_decoder": (
    _table("embedding", "encoder_norm/scale decoder_norm/scale")
    | _blocks("encoder", WAYS, MLP)
    | _blocks("decoder", ADDITIVE, MLP)
  ),
  "forecaster": (
    _table("embed/kernel head/kernel", "embed/bias head/bias norm/scale")
    | _blocks("stack", PRE)
  ),
  "dlinear": _table("rest/kernel trend/kernel", "rest/bias trend/bias"),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_decays_in_a_model(name):
  model = MODELS[name]
  batch, state = model.example(1, 32), model.init_state(1)

  def init():
    return model.init(jax.random.key(0), batch, state, method="objective")

  assert _declared(init) == MODEL_TABLES[name]


class Foreign(nn.Module):
  """A layer of Flax with parameters that are not boxed."""

  @nn.compact
  def __call__(self, x):
    scale = self.param("scale", nn.initializers.ones, (4, 4))
    return nn.Dense(4)(x * scale)


def _moved(names, params):
  """Returns the parameters that a step without a gradient moves."""
  config = OptimConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0.5)
  optimizer = optim.make(config, 1000, names)
  zeros = jax.tree.map(jnp.zeros_like, params)
  with jax.numpy_dtype_promotion("standard"):
    updates, state = optimizer.update(zeros, optimizer.init(params), params)
  return jax.tree.map(lambda a: bool(np.asarray(a).any()), updates), state


def test_undeclared_parameters_decay_by_flax_names_of_weights():
  params = Foreign().init(jax.random.key(0), jnp.ones((4, 4)))["params"]
  params["Dense_0"]["bias"] += 1
  want = {"scale": False, "Dense_0": {"kernel": True, "bias": False}}
  plain = jax.tree.map(lambda a: (None,) * a.ndim, params)
  for names in (meshes.param_names(params), plain):
    assert _moved(names, params)[0] == want


def test_rates_are_left_alone_through_the_layers_of_a_stack():
  """The optimizer itself is applied to parameters with the axis of a scan."""
  model = LM(LMConfig(11, d_model=8, pattern=(entry("mamba"),), num_groups=2))
  batch, state = model.example(1, 4), model.init_state(1)
  boxed = model.init(jax.random.key(0), batch, state, method="objective")["params"]
  names, params = meshes.param_names(boxed), meshes.unboxed(boxed)
  moved, opt_state = _moved(names, params)
  inner = moved["stack"]["groups"]["block_0"]["mixer"]
  assert not inner["rate"] and not inner["skip"] and not inner["step"]
  assert inner["in"]["kernel"] and inner["conv"]["taps"] and moved["embedding"]
  assert names["stack"]["groups"]["block_0"]["mixer"]["rate"] == (
    "layers",
    "key",
    "heads",
  )
  # a checkpoint made before decay was declared restores into the same tree
  other = jax.tree.map(lambda a: a.ndim > 1, params)
  old = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adamw(optax.constant_schedule(0.1), weight_decay=0.1, mask=other),
  ).init(params)
  assert jax.tree.structure(old) == jax.tree.structure(opt_state)
